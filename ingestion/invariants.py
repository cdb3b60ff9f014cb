"""What is always true of files and of the rows they brought, for the audit."""

from typing import Final

from jobs.invariants import Invariant

_BY_HAND: Final = (
    "Rows were written or removed past the loader. Keep this report and the logs, find "
    "out who wrote to the database, and correct the rows by hand."
)

INVARIANTS: Final = (
    Invariant(
        name="file_rows_add_up",
        meaning="Inserted, duplicate, conflicting and rejected rows make up a file.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.state, f.rows, f.inserted,
                   f.duplicate, f.conflicting, f.rejected
            FROM ingestion_ingestedfile f
            WHERE f.rows <> f.inserted + f.duplicate + f.conflicting + f.rejected
        """,
        remedy=_BY_HAND,
    ),
    # The counts are written with the rows, chunk by chunk: true while a file loads.
    Invariant(
        name="file_has_its_transactions",
        meaning="A file has as many transactions as it says it inserted.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.state, f.inserted,
                   COALESCE(t.rows, 0) AS transactions
            FROM ingestion_ingestedfile f LEFT JOIN (
                SELECT file_id, count(*) AS rows FROM fintech_transactions
                GROUP BY file_id
            ) AS t ON t.file_id = f.id
            WHERE f.inserted <> COALESCE(t.rows, 0)
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="file_has_its_kept_out_rows",
        meaning="A file has as many kept-out rows as it says it rejected and found "
        "conflicting, and as many flagged ones as it says.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.state, f.rejected,
                   f.conflicting, f.flagged, COALESCE(k.rejected, 0) AS rejected_rows,
                   COALESCE(k.conflicting, 0) AS conflicting_rows,
                   COALESCE(k.flagged, 0) AS flagged_rows
            FROM ingestion_ingestedfile f LEFT JOIN (
                SELECT file_id, count(*) FILTER (WHERE why = 'rejected') AS rejected,
                       count(*) FILTER (WHERE why = 'conflicting') AS conflicting,
                       count(DISTINCT line) FILTER (WHERE why = 'flagged') AS flagged
                FROM ingestion_keptoutrow GROUP BY file_id
            ) AS k ON k.file_id = f.id
            WHERE (f.rejected, f.conflicting, f.flagged)
               <> (COALESCE(k.rejected, 0), COALESCE(k.conflicting, 0),
                   COALESCE(k.flagged, 0))
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="file_has_its_statements",
        meaning="A file has as many statements as it says.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.state, f.statement_count,
                   COALESCE(s.rows, 0) AS statements
            FROM ingestion_ingestedfile f LEFT JOIN (
                SELECT file_id, count(*) AS rows FROM ingestion_statement
                GROUP BY file_id
            ) AS s ON s.file_id = f.id
            WHERE f.statement_count <> COALESCE(s.rows, 0)
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="file_has_its_faults",
        meaning="A file has no more faults than it says, and some if it says so.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.state, f.fault_count,
                   COALESCE(x.rows, 0) AS faults
            FROM ingestion_ingestedfile f LEFT JOIN (
                SELECT file_id, count(*) AS rows FROM ingestion_filefault
                GROUP BY file_id
            ) AS x ON x.file_id = f.id
            WHERE f.fault_count < COALESCE(x.rows, 0)
               OR f.fault_count > 0 AND x.rows IS NULL
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="file_state_follows_its_job",
        meaning="The file of a succeeded job is loaded, quarantined, or was refused by "
        "a person; that of a dead one has failed, unless it was closed before.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.state,
                   j.state AS job_state
            FROM ingestion_ingestedfile f JOIN jobs_job j ON j.id = f.job_id
            WHERE j.state = 'succeeded' AND f.state NOT IN ('loaded', 'quarantined')
                  AND NOT (f.state = 'failed' AND f.decision = 'refused')
               OR j.state = 'dead'
                  AND f.state NOT IN ('failed', 'loaded', 'quarantined')
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="quarantined_file_posted_nothing",
        meaning="A file is in quarantine for a fault, and nothing of it is stored.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.rows, f.fault_count,
                   f.statement_count
            FROM ingestion_ingestedfile f
            WHERE f.state = 'quarantined'
              AND (f.rows > 0 OR f.statement_count > 0 OR f.fault_count = 0)
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="file_is_the_same_as_it_says",
        meaning="A file that names another as the same has its size and content, and "
        "brought nothing.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.rows,
                   s.id AS same_as_file
            FROM ingestion_ingestedfile f
            JOIN ingestion_ingestedfile s ON s.id = f.same_as_id
            WHERE (f.state, f.rows, f.source, f.size, f.content_digest)
               <> ('loaded', 0, s.source, s.size, s.content_digest)
               OR s.state <> 'loaded' OR s.same_as_id IS NOT NULL
        """,
        remedy=_BY_HAND,
    ),
    # Blank lines behind the last row are bytes that no chunk has; a statement without
    # rows has bytes.
    Invariant(
        name="file_usage_is_its_size",
        meaning="The usage counted for a loaded file is its rows, and bytes no more "
        "than were read of it.",
        statement="""
            SELECT f.tenant_id, f.job_id, f.id AS file_id, f.rows, f.size,
                   f.plain_size, COALESCE(u.rows, 0) AS counted_rows,
                   COALESCE(u.bytes, 0) AS counted_bytes
            FROM ingestion_ingestedfile f
            JOIN jobs_job j ON j.id = f.job_id AND j.state = 'succeeded'
            LEFT JOIN (
                SELECT job_id,
                       COALESCE(sum(quantity) FILTER (WHERE meter = 'rows'), 0)::bigint
                           AS rows,
                       COALESCE(sum(quantity) FILTER (WHERE meter = 'bytes'), 0)::bigint
                           AS bytes
                FROM usage_events WHERE meter IN ('rows', 'bytes') GROUP BY job_id
            ) AS u ON u.job_id = f.job_id
            WHERE f.rows <> COALESCE(u.rows, 0)
               OR COALESCE(u.bytes, 0) > COALESCE(f.plain_size, f.size)
               OR f.rows > 0 AND COALESCE(u.bytes, 0) = 0
        """,
        remedy="Bills of this time would be wrong: close no period before it is clear. "
        + _BY_HAND,
    ),
)
