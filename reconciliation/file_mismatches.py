"""Tells what files say of themselves and does not hold, among a profile's mismatches.

Faults of loaded files are found while they load (ingestion): balances that do not lead
from one to the next, gaps and repeats in the numbers of statements.
"""

from typing import Final

from django.db import connection

from ingestion.sources.base import Control
from jobs.statements import to_json
from reconciliation.fragments import day_of, values_of
from reconciliation.matching import Terms
from reconciliation.scope import Scope

_GAPS: Final = (Control.STATEMENT_GAP, Control.STATEMENT_REPEAT, Control.PAGE)
_MEANINGS: Final = {control.value: control.sentence for control in Control}

# Of files with days since the profile was first run: of their rows, or else of their
# statements.
_NEW: Final = f"""
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
           of.day, 'open'
    FROM ingestion_filefault x JOIN ingestion_ingestedfile f ON f.id = x.file_id
    CROSS JOIN LATERAL (
        SELECT COALESCE(
            (SELECT max(d.day) FROM reconciliation_fileday d
             WHERE d.profile_id = %(profile)s AND d.file_id = f.id),
            (SELECT max(s.day) FROM ingestion_statement s WHERE s.file_id = f.id),
            {day_of("COALESCE(f.loaded_at, f.created_at)")}) AS day) AS of
    WHERE x.tenant_id = %(tenant)s AND f.id = ANY(%(files)s) AND x.settled_at IS NULL
      AND of.day >= %(since)s
    ON CONFLICT DO NOTHING
    RETURNING id, tenant_id, notes
), said AS (
    INSERT INTO reconciliation_mismatchevent
        (tenant_id, mismatch_id, actor, action, text, at)
    SELECT tenant_id, id, %(actor)s, 'found', notes, now() FROM made
)
SELECT count(*) FROM made
"""  # noqa: S608 - constants
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


def apply_faults(scope: Scope, terms: Terms, *, since: str) -> tuple[int, int]:
    """Bring the mismatches of files up to date; returns how many came and went.

    `since` is the first day, in ISO form, of which the profile has been told.
    """
    values = values_of(terms.rules[0], terms) | scope.values
    values |= {
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
