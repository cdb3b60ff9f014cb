"""Brings a profile's mismatches to what a run has told: new ones in, gone ones closed.

A mismatch is known by its profile, its type and its rows, so what is told again is no
second one, whoever has worked on it meanwhile. Each change is a line of its history.
"""

from dataclasses import dataclass
from typing import Final

from django.db import connection

from reconciliation.fragments import SET_BASED
from reconciliation.matching import Terms
from reconciliation.scope import KEYLESS, Range, Scope

_SAME: Final = """
    r.profile_id = %(profile)s AND r.mismatch_type = {other}.mismatch_type
    AND COALESCE(r.internal_id, 0) = COALESCE({other}.internal_id, 0)
    AND COALESCE(r.external_id, 0) = COALESCE({other}.external_id, 0)
    AND COALESCE(r.fault_id, 0) = 0
"""
# Looked up one by one, which OFFSET 0 keeps PostgreSQL to: there may be many more open
# rows than a range has findings, and else all would be read for each range.
_ROW: Final = """
    SELECT o.txn_id, o.day, o.amount, o.currency FROM reconciliation_openrow o
    WHERE o.run_id = %(holder)s AND o.transaction_id = {column} OFFSET 0
"""
# What is at stake is what our side says, or else theirs.
_TOLD: Final = f"""
told AS MATERIALIZED (
    SELECT f.tenant_id, f.mismatch_type, f.key, f.internal_id, f.external_id, f.notes,
           i.txn_id AS internal_txn_id, e.txn_id AS external_txn_id,
           COALESCE(i.day, e.day) AS day, COALESCE(i.amount, e.amount) AS amount,
           COALESCE(i.currency, e.currency) AS currency,
           CASE WHEN i.amount IS NULL OR e.amount IS NULL
                    THEN COALESCE(i.amount, e.amount)
                WHEN f.mismatch_type IN ('amount', 'fee') THEN abs(i.amount - e.amount)
           END AS difference
    FROM reconciliation_finding f
    LEFT JOIN LATERAL ({_ROW.format(column="f.internal_id")}) AS i ON true
    LEFT JOIN LATERAL ({_ROW.format(column="f.external_id")}) AS e ON true
    WHERE f.run_id = %(run)s AND {{within}}
), judged AS (
    SELECT told.*, CASE
        WHEN told.mismatch_type = 'amount' AND told.difference <= %(closes_up_to)s
            THEN 'rounding'
        WHEN told.mismatch_type = 'fee' AND %(closes_fees)s THEN 'fee'
        ELSE '' END AS reason
    FROM told
)
"""  # noqa: S608 - constants
_SAY: Final = """
    INSERT INTO reconciliation_mismatchevent
        (tenant_id, mismatch_id, actor, action, text, at)
"""
_NEW: Final = f"""
WITH {_TOLD}, made AS (
    INSERT INTO reconciliations (
        tenant_id, profile_id, run_id, mismatch_type, key, internal_id, external_id,
        internal_txn_id, external_txn_id, notes, day, amount, currency, difference,
        state, reason_code, resolved_at)
    SELECT tenant_id, %(profile)s, %(run)s, mismatch_type, key, internal_id,
           external_id, internal_txn_id, external_txn_id, notes, day, amount, currency,
           difference, CASE reason WHEN '' THEN 'open' ELSE 'resolved' END, reason,
           CASE reason WHEN '' THEN NULL ELSE now() END
    FROM judged
    ON CONFLICT (
        profile_id, mismatch_type, COALESCE(internal_id, 0), COALESCE(external_id, 0),
        COALESCE(fault_id, 0)) WHERE profile_id IS NOT NULL DO NOTHING
    RETURNING id, tenant_id, notes, reason_code
), said AS (
    {_SAY}
    SELECT tenant_id, id, %(actor)s, 'found', notes, now() FROM made
    UNION ALL
    SELECT tenant_id, id, 'rule', 'resolved', reason_code, now() FROM made
    WHERE reason_code <> ''
)
SELECT count(*), (SELECT count(*) FROM told) - count(*) FROM made
"""  # noqa: S608 - constants
# What nobody has is resolved by rule though it was open before: a profile may resolve
# more by now. Not so what a person has opened again.
_BY_RULE: Final = """
    judged.reason <> '' AND (r.state = 'closed' OR r.state = 'open' AND NOT EXISTS (
        SELECT FROM reconciliation_mismatchevent e
        WHERE e.mismatch_id = r.id AND e.action = 'reopened'))
"""
_IS_OTHER: Final = """
    (r.notes, r.amount, r.difference, r.day)
    IS DISTINCT FROM (judged.notes, judged.amount, judged.difference, judged.day)
"""
# People may be at work on the same rows: they are locked before they are judged.
_AGAIN: Final = f"""
WITH {_TOLD}, before AS (
    SELECT r.id, r.state, judged.notes, judged.amount, judged.difference, judged.day,
           judged.key, {_IS_OTHER} AS is_other,
           CASE WHEN {_BY_RULE} THEN judged.reason ELSE '' END AS reason
    FROM judged JOIN reconciliations r ON {_SAME.format(other="judged")}
    WHERE r.state = 'closed' OR r.key IS DISTINCT FROM judged.key
       OR {_IS_OTHER} OR {_BY_RULE}
    ORDER BY r.id FOR NO KEY UPDATE OF r
), moved AS (
    UPDATE reconciliations r SET
        run_id = %(run)s, notes = before.notes, amount = before.amount,
        difference = before.difference, day = before.day, key = before.key,
        state = CASE WHEN before.reason <> '' THEN 'resolved'
                     WHEN before.state = 'closed' THEN 'open' ELSE before.state END,
        assignee_id = CASE WHEN before.state <> 'closed' THEN r.assignee_id END,
        reason_code = CASE WHEN before.state = 'closed' OR before.reason <> ''
                           THEN before.reason ELSE r.reason_code END,
        resolved_at = CASE WHEN before.reason <> '' THEN now()
                           WHEN before.state <> 'closed' THEN r.resolved_at END
    FROM before WHERE r.id = before.id
    RETURNING r.id, r.tenant_id, r.notes, before.state AS old, before.is_other,
              before.reason
), said AS (
    {_SAY}
    SELECT tenant_id, id, %(actor)s,
           CASE old WHEN 'closed' THEN 'found' ELSE 'changed' END, notes, now()
    FROM moved WHERE old = 'closed' OR is_other
    UNION ALL
    SELECT tenant_id, id, 'rule', 'resolved', reason, now() FROM moved
    WHERE reason <> ''
)
SELECT count(*) FILTER (WHERE old = 'closed') FROM moved
"""  # noqa: S608 - constants
_GONE: Final = f"""
WITH gone AS (
    SELECT r.id, (
        SELECT min(f.mismatch_type) FROM reconciliation_finding f
        WHERE f.run_id = %(run)s AND f.key = r.key
          AND (f.internal_id = r.internal_id OR f.external_id = r.external_id)
    ) AS now_told
    FROM reconciliations r
    WHERE r.profile_id = %(profile)s AND r.state IN ('open', 'assigned')
      AND r.fault_id IS NULL AND {{mismatch}} AND {{is_asked}} AND NOT EXISTS (
        SELECT FROM reconciliation_finding f
        WHERE f.run_id = %(run)s AND {{within}} AND {_SAME.format(other="f")})
    ORDER BY r.id FOR NO KEY UPDATE
), moved AS (
    UPDATE reconciliations r
    SET state = 'closed', resolved_at = now(), run_id = %(run)s
    FROM gone WHERE r.id = gone.id
    RETURNING r.id, r.tenant_id, gone.now_told
), said AS (
    {_SAY}
    SELECT tenant_id, id, %(actor)s, 'closed', CASE
        WHEN now_told IS NULL THEN 'The rows match by now, or count no more'
        ELSE 'Told as ' || now_told || ' by now' END, now()
    FROM moved
)
SELECT count(*) FROM moved
"""  # noqa: S608 - constants
# Who had the old mismatch of a row gets the one that took its place.
_INHERIT: Final = f"""
WITH heir AS (
    SELECT DISTINCT ON (n.id) n.id, old.assignee_id, old.id AS old_id
    FROM reconciliations old JOIN reconciliations n
        ON n.profile_id = old.profile_id AND n.key = old.key AND n.id <> old.id
       AND (n.internal_id = old.internal_id OR n.external_id = old.external_id)
    WHERE old.profile_id = %(profile)s AND old.run_id = %(run)s
      AND old.state = 'closed' AND old.assignee_id IS NOT NULL AND {{old}}
      AND n.run_id = %(run)s AND n.state = 'open'
    ORDER BY n.id, old.id
), moved AS (
    UPDATE reconciliations r SET state = 'assigned', assignee_id = heir.assignee_id
    FROM heir WHERE r.id = heir.id
    RETURNING r.id, r.tenant_id, heir.old_id
)
{_SAY}
SELECT tenant_id, id, %(actor)s, 'assigned',
       format('To who had mismatch %%s, in whose place it is', old_id), now()
FROM moved
"""  # noqa: S608 - constants


# Of a run of changes: of references, or of rows without one, that it has touched.
_OF_TOUCHED_KEYS: Final = """r.key IN (
    SELECT x.key FROM reconciliation_openrow x
    WHERE x.run_id = %(holder)s AND x.touched_by = %(run)s)"""
_OF_TOUCHED_ROWS: Final = """EXISTS (
    SELECT FROM reconciliation_openrow x
    WHERE x.run_id = %(holder)s AND x.touched_by = %(run)s
      AND x.transaction_id IN (r.internal_id, r.external_id))"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a run changed of a profile's mismatches."""

    #: New ones, and those that had been closed.
    found: int
    closed: int


def apply(scope: Scope, terms: Terms, keys: Range) -> Changes:
    """Bring the mismatches of a range of references to what the run told of them."""
    pieces = {
        "within": keys.holds("f.key"),
        "mismatch": keys.holds("r.key"),
        "old": keys.holds("old.key"),
        "is_asked": _is_asked(scope, keys),
    }
    values = scope.values | keys.bounds
    values |= {"closes_up_to": terms.closes_up_to, "closes_fees": terms.closes_fees}
    with connection.cursor() as cursor:
        cursor.execute(SET_BASED)

        def ask(statement: str) -> list[int]:
            cursor.execute(statement.format(**pieces), values)
            return list(cursor.fetchone())

        new, known = ask(_NEW)
        (again,) = ask(_AGAIN) if known else (0,)
        (closed,) = ask(_GONE)
        if closed:
            cursor.execute(_INHERIT.format(**pieces), values)
    return Changes(new + again, closed)


def _is_asked(scope: Scope, keys: Range) -> str:
    if scope.is_whole:
        return "true"
    return _OF_TOUCHED_ROWS if keys == KEYLESS else _OF_TOUCHED_KEYS
