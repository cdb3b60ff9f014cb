"""Tells what files say of themselves and does not hold, among a profile's mismatches.

Faults of loaded files are found while they load (ingestion): balances that do not lead
from one to the next, gaps and repeats in the numbers of statements.
"""

from typing import Final

from django.db import connection

from ingestion.sources.base import Control
from jobs.statements import to_json
from reconciliation.scope import Scope

_GAPS: Final = (Control.STATEMENT_GAP, Control.STATEMENT_REPEAT, Control.PAGE)
_MEANINGS: Final = {control.value: control.sentence for control in Control}

# Of the files whose days the profile has counted since it was first run.
_NEW: Final = """
WITH made AS (
    INSERT INTO reconciliations (
        tenant_id, profile_id, run_id, mismatch_type, fault_id, notes, day, state)
    SELECT f.tenant_id, %(profile)s, %(run)s,
           CASE WHEN x.control = ANY(%(gaps)s) THEN 'file_gap'
                ELSE 'statement_balance' END,
           x.id, concat(%(meanings)s::jsonb ->> x.control,
                        ' Expected ' || NULLIF(x.expected, ''),
                        ', found ' || NULLIF(x.found, ''),
                        format('. Line %%s of %%s', x.line, f.path)),
           d.day, 'open'
    FROM ingestion_filefault x JOIN ingestion_ingestedfile f ON f.id = x.file_id
    JOIN (SELECT file_id, max(day) AS day FROM reconciliation_fileday
          WHERE profile_id = %(profile)s GROUP BY file_id) AS d ON d.file_id = f.id
    WHERE x.tenant_id = %(tenant)s AND f.id = ANY(%(files)s) AND x.settled_at IS NULL
      AND d.day >= %(since)s
    ON CONFLICT DO NOTHING
    RETURNING id, tenant_id, notes
), said AS (
    INSERT INTO reconciliation_mismatchevent
        (tenant_id, mismatch_id, actor, action, text, at)
    SELECT tenant_id, id, %(actor)s, 'found', notes, now() FROM made
)
SELECT count(*) FROM made
"""
_SETTLED: Final = """
WITH gone AS (
    SELECT r.id FROM reconciliations r
    WHERE r.profile_id = %(profile)s AND r.state IN ('open', 'assigned')
      AND r.fault_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM ingestion_filefault x
        WHERE x.id = r.fault_id AND x.settled_at IS NULL)
    ORDER BY r.id FOR NO KEY UPDATE
), moved AS (
    UPDATE reconciliations r
    SET state = 'closed', resolved_at = now(), run_id = %(run)s
    FROM gone WHERE r.id = gone.id RETURNING r.id, r.tenant_id
), said AS (
    INSERT INTO reconciliation_mismatchevent
        (tenant_id, mismatch_id, actor, action, text, at)
    SELECT tenant_id, id, %(actor)s, 'closed', 'A later file brought what was missing',
           now()
    FROM moved
)
SELECT count(*) FROM moved
"""


def apply_faults(scope: Scope, *, since: str) -> tuple[int, int]:
    """Bring the mismatches of files up to date; returns how many came and went.

    `since` is the first day, in ISO form, of which the profile has been told.
    """
    values = scope.values | {
        "gaps": [control.value for control in _GAPS],
        "meanings": to_json(_MEANINGS),
        "since": since,
    }
    counts = []
    with connection.cursor() as cursor:
        for statement in (_NEW, _SETTLED):
            cursor.execute(statement, values)
            counts.append(int(cursor.fetchone()[0]))
    return counts[0], counts[1]
