"""Takes over what the run before left open, and what people have said since.

Every question that is open is asked again by a run over a period: so it is known of
each whether it still stands, and an answer is found whenever it comes. A run of changes
works on the open rows of the run before it, and asks again only what may have another
answer by now.
"""

from typing import Final

from django.db import connection

from reconciliation.fragments import day_of
from reconciliation.matching import Key, Terms
from reconciliation.opening import (
    OPEN,
    UNLESS_OPEN,
    open_keys,
    open_rows,
    values_for,
)
from reconciliation.scope import IN_SCOPE, KEYLESS, Range, Scope

# Rows of mismatches to be worked off, of suggestions, of payments that are not final,
# and of matches about which people decided since, by the range of their references.
# Those are taken as they were written down: a row of another reference that a mismatch
# names is no question itself, and is of another range.
_CARRIED: Final = """
    SELECT r.key, unnest(ARRAY[r.internal_id, r.external_id]) AS id
    FROM reconciliations r
    WHERE r.profile_id = %(profile)s AND r.state IN ('open', 'assigned')
      AND r.fault_id IS NULL AND {mismatch}
    UNION ALL
    SELECT o.key, o.transaction_id FROM reconciliation_openrow o
    WHERE o.run_id = %(previous_holder)s AND o.match IS NULL AND o.status = 'PENDING'
      AND {row}
    UNION ALL
    SELECT r.key, r.transaction_id
    FROM reconciliation_matchrow r JOIN reconciliation_match m ON m.id = r.match_id
    WHERE r.profile_id = %(profile)s AND {match}
      AND (m.state = 'suggested' OR m.decided_at >= (
          SELECT p.as_of FROM reconciliation_run p WHERE p.id = %(previous)s))
"""
# New files that brought rows of days of which no run has told: as a rule there is none,
# and then no question is looked at.
_WITH_OTHER_DAYS: Final = f"""
    SELECT d.file_id FROM reconciliation_fileday d
    WHERE d.profile_id = %(profile)s AND d.file_id = ANY(%(fresh)s)
      AND (d.day <= {day_of("(%(since)s - interval '1 microsecond')")}
           OR d.day >= {day_of("%(until)s")})
"""  # noqa: S608 - constants
_OF_OTHER_DAYS: Final = f"""
    {IN_SCOPE} AND t.file_id = ANY(ARRAY({_WITH_OTHER_DAYS}))
    AND NOT (t.txn_timestamp >= %(since)s AND t.txn_timestamp < %(until)s)
"""
# Each key is looked up by itself, and OFFSET 0 keeps the files out of that, as where
# keys are opened.
_LOOKED_UP: Final = f"""
    EXISTS (SELECT FROM (
        SELECT * FROM fintech_transactions t
        WHERE t.tenant_id = %(tenant)s AND t.{{key}} = r.key OFFSET 0) AS t
        WHERE {_OF_OTHER_DAYS})
"""  # noqa: S608 - constants
# No index finds rows by the bank's id.
_COMPARED: Final = f"""
    r.key IN (SELECT t.{{key}} FROM fintech_transactions t WHERE {_OF_OTHER_DAYS})
"""  # noqa: S608 - constants
# Payments that have grown old, what a run that failed has touched, what people have
# decided since, and questions that such days answer, which nobody looks at else.
_ASKED_AGAIN: Final = f"""
    SELECT o.key, o.transaction_id AS id FROM reconciliation_openrow o
    WHERE o.run_id = %(holder)s AND {{row}} AND o.touched_by <> %(run)s
      AND (o.match IS NULL AND o.status = 'PENDING' OR o.touched_by > %(previous)s)
    UNION ALL
    SELECT r.key, r.transaction_id
    FROM reconciliation_matchrow r JOIN reconciliation_match m ON m.id = r.match_id
    WHERE r.profile_id = %(profile)s AND {{match}} AND m.decided_at >= (
        SELECT p.as_of FROM reconciliation_run p WHERE p.id = %(previous)s)
    UNION ALL
    SELECT r.key, unnest(ARRAY[r.internal_id, r.external_id])
    FROM reconciliations r
    WHERE r.profile_id = %(profile)s AND r.state IN ('open', 'assigned')
      AND r.fault_id IS NULL AND {{mismatch}}
      AND EXISTS ({_WITH_OTHER_DAYS}) AND {{answered}}
"""  # noqa: S608 - constants
# What was asked is taken to this side and back, never joined: of a tenant that came
# since the last ANALYZE PostgreSQL expects one row, and would look at each pair.
_KEYS: Final = "SELECT array_agg(DISTINCT c.key)::text, count(*) FROM ({asked}) AS c"
_IDS: Final = "SELECT array_agg(DISTINCT c.id), count(*) FROM ({asked}) AS c"
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
    """
    UPDATE reconciliation_openrow o SET key = o.{key} FROM reconciliation_run r
    WHERE r.id = o.run_id AND r.profile_id = %(profile)s AND NOT r.is_dry
      AND o.key IS DISTINCT FROM o.{key}
    """,
)
# Matches of which a row is open in a range. Who makes one by hand names no lead.
_STANDING: Final = """
    SELECT m.id, min(every.transaction_id) FILTER (WHERE every.side = 'I') AS lead
    FROM reconciliation_match m JOIN reconciliation_matchrow every
        ON every.match_id = m.id
    WHERE {whose} AND m.id IN (
        SELECT r.match_id FROM reconciliation_openrow o
        JOIN reconciliation_matchrow r ON r.transaction_id = o.transaction_id
        WHERE o.run_id = %(holder)s AND o.touched_by = %(run)s AND {within}
          AND r.profile_id = %(profile)s AND r.is_live)
    GROUP BY m.id
"""
# Whose match is looked at is open as well, of whichever reference it is.
_JOIN: Final = f"""
{OPEN} JOIN reconciliation_matchrow r ON r.transaction_id = t.id
JOIN ({_STANDING}) AS m ON m.id = r.match_id
WHERE {IN_SCOPE}
{UNLESS_OPEN}
"""
_STANDS: Final = f"""
UPDATE reconciliation_openrow o SET rule = 0, match = m.lead, touched_by = %(run)s
FROM reconciliation_matchrow r JOIN ({_STANDING}) AS m ON m.id = r.match_id
WHERE o.run_id = %(holder)s AND r.transaction_id = o.transaction_id
"""  # noqa: S608 - constants
_IS_HELD: Final = """
UPDATE reconciliation_openrow o SET is_held = true
WHERE o.run_id = %(holder)s AND o.touched_by = %(run)s AND {within}
  AND o.match IS NULL AND EXISTS (
    SELECT FROM reconciliation_matchrow r
    JOIN reconciliation_match m ON m.id = r.match_id
    WHERE r.profile_id = %(profile)s AND r.transaction_id = o.transaction_id
      AND m.state = 'undone')
"""


def carry(scope: Scope, terms: Terms, keys: Range) -> int:
    """Open the rows in a range whose questions are to be asked; returns how many."""
    answered = _COMPARED if terms.primary is Key.ID else _LOOKED_UP
    asked = (_CARRIED if scope.is_whole else _ASKED_AGAIN).format(
        mismatch=keys.holds("r.key"),
        row=keys.holds("o.key"),
        match=keys.holds("r.key"),
        answered=answered.format(key=terms.primary.value),
    )
    form = _IDS if keys == KEYLESS else _KEYS
    values = values_for(scope, terms) | keys.bounds
    with connection.cursor() as cursor:
        cursor.execute(form.format(asked=asked), values)
        found, number = cursor.fetchone()
        if not number:
            return 0
        if keys == KEYLESS:
            return open_rows(cursor, terms, values | {"ids": found})
        return open_keys(cursor, terms, values | {"keys": found})


def rekey(profile_id: int, terms: Terms) -> None:
    """Write the keys anew by which mismatches and matches are found."""
    with connection.cursor() as cursor:
        for statement in _REKEY:
            statement = statement.format(key=terms.primary.value)
            cursor.execute(statement, {"profile": profile_id})


def keep_standing(scope: Scope, terms: Terms, keys: Range, *, is_dry: bool) -> int:
    """Mark those open rows of a range whose matches stand, or that a person holds.

    A dry run tries rules, so only what people matched stands there. Returns how many
    rows were opened for such a match.
    """
    whose = "m.rule IS NULL" if is_dry else "true"
    pieces = {"key": terms.primary.value, "within": keys.holds("o.key"), "whose": whose}
    values = values_for(scope, terms) | keys.bounds
    with connection.cursor() as cursor:
        cursor.execute(_JOIN.format(**pieces), values)
        opened = cursor.rowcount
        cursor.execute(_STANDS.format(**pieces), values)
        cursor.execute(_IS_HELD.format(**pieces), values)
    return int(opened)
