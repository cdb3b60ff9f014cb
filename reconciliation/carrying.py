"""Takes over what the run before left open, and what people have said since.

Every question that is open is asked again by every run: so it is known of each whether
it still stands, and an answer is found whenever it comes.
"""

from typing import Any, Final

from django.db import connection

from reconciliation.matching import Terms
from reconciliation.opening import OPEN, values_for
from reconciliation.scope import IN_SCOPE, KEYLESS, Range, Scope

# Rows of mismatches to be worked off, of suggestions, and of payments that are not
# final, by the range of their references.
_CARRIED: Final = """
    SELECT unnest(ARRAY[r.internal_id, r.external_id]) AS id FROM reconciliations r
    WHERE r.profile_id = %(profile)s AND r.state IN ('open', 'assigned')
      AND r.fault_id IS NULL AND {mismatch}
    UNION
    SELECT o.transaction_id FROM reconciliation_openrow o
    WHERE o.run_id = %(previous)s AND o.match IS NULL AND o.status = 'PENDING'
      AND {row}
    UNION
    SELECT r.transaction_id
    FROM reconciliation_matchrow r JOIN reconciliation_match m ON m.id = r.match_id
    WHERE r.profile_id = %(profile)s AND m.state = 'suggested' AND {match}
"""
# One table at a time, never joined: of a tenant that came since its last ANALYZE
# PostgreSQL expects one row, and would look at each pair of rows anew.
_KEYS: Final = """
SELECT DISTINCT c.{key} FROM fintech_transactions c
WHERE c.id = ANY(%(ids)s) AND c.{key} IS NOT NULL
"""
_OF_KEYS: Final = f"""
{OPEN} WHERE {IN_SCOPE} AND t.{{key}} = ANY(%(keys)s)
ON CONFLICT DO NOTHING
"""
_OF_ROWS: Final = f"""
{OPEN} WHERE {IN_SCOPE} AND t.id = ANY(%(ids)s)
ON CONFLICT DO NOTHING
"""
# Keys are what the primary key says, and a profile may get another one.
_REKEY: Final = (
    """
    UPDATE reconciliations r SET key = t.{key} FROM fintech_transactions t
    WHERE t.id = COALESCE(r.internal_id, r.external_id) AND r.profile_id = %(profile)s
      AND r.state <> 'closed' AND r.key IS DISTINCT FROM t.{key}
    """,
    """
    UPDATE reconciliation_matchrow r SET key = t.{key} FROM fintech_transactions t
    WHERE t.id = r.transaction_id AND r.profile_id = %(profile)s
      AND r.key IS DISTINCT FROM t.{key}
    """,
)
_STANDS: Final = """
UPDATE reconciliation_openrow o SET rule = 0, match = m.lead
FROM reconciliation_matchrow r JOIN reconciliation_match m ON m.id = r.match_id
WHERE o.run_id = %(run)s AND {within} AND r.profile_id = %(profile)s
  AND r.transaction_id = o.transaction_id AND r.is_live AND {whose}
"""
_IS_HELD: Final = """
UPDATE reconciliation_openrow o SET is_held = true
WHERE o.run_id = %(run)s AND {within} AND o.match IS NULL AND EXISTS (
    SELECT FROM reconciliation_matchrow r
    JOIN reconciliation_match m ON m.id = r.match_id
    WHERE r.profile_id = %(profile)s AND r.transaction_id = o.transaction_id
      AND m.state = 'undone')
"""


def carry(scope: Scope, terms: Terms, keys: Range) -> int:
    """Open the rows in a range whose questions are open; returns how many."""
    key = terms.primary.value
    carried = _CARRIED.format(
        mismatch=keys.holds("r.key"),
        row=keys.holds("o.key"),
        match=keys.holds("r.key"),
    )
    values: dict[str, Any] = values_for(scope, terms) | keys.bounds
    with connection.cursor() as cursor:
        cursor.execute(carried, values)
        values["ids"] = [row for (row,) in cursor.fetchall() if row is not None]
        if not values["ids"]:
            return 0
        if keys == KEYLESS:
            cursor.execute(_OF_ROWS.format(key=key), values)
            return int(cursor.rowcount)
        cursor.execute(_KEYS.format(key=key), values)
        values["keys"] = [found for (found,) in cursor.fetchall()]
        cursor.execute(_OF_KEYS.format(key=key), values)
        return int(cursor.rowcount)


def rekey(profile_id: int, terms: Terms) -> None:
    """Write the keys anew by which mismatches and matches are found."""
    with connection.cursor() as cursor:
        for statement in _REKEY:
            statement = statement.format(key=terms.primary.value)
            cursor.execute(statement, {"profile": profile_id})


def keep_standing(scope: Scope, keys: Range, *, is_dry: bool) -> None:
    """Mark those open rows of a range whose matches stand, or that a person holds.

    A dry run tries rules, so only what people matched stands there.
    """
    whose = "m.rule IS NULL" if is_dry else "true"
    with connection.cursor() as cursor:
        for statement in (_STANDS, _IS_HELD):
            statement = statement.format(within=keys.holds("o.key"), whose=whose)
            cursor.execute(statement, scope.values | keys.bounds)
