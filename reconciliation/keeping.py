"""Keeps the matches of a run that its rows do not say by themselves.

Rows with one primary key are matched again, and alike, by whoever looks at all of them.
Not so rows that another key brought together, nor what a person has yet to confirm.
"""

from typing import Final

from django.db import connection

from reconciliation.fragments import SET_BASED
from reconciliation.matching import Terms
from reconciliation.scope import Scope

# A suggestion is known by its rows.
_LOTS: Final = """
lots AS (
    SELECT o.rule, o.match AS lead,
           array_agg(o.transaction_id ORDER BY o.transaction_id) AS rows
    FROM reconciliation_openrow o
    WHERE o.run_id = %(holder)s AND o.rule = ANY(%(places)s)
    GROUP BY o.rule, o.match
)
"""
_SUGGESTED: Final = """
suggested AS (
    SELECT m.id, array_agg(r.transaction_id ORDER BY r.transaction_id) AS rows
    FROM reconciliation_match m JOIN reconciliation_matchrow r ON r.match_id = m.id
    WHERE m.profile_id = %(profile)s AND m.state = 'suggested'
    GROUP BY m.id
)
"""
# Every run looks at all rows of suggestions again. What a person has matched or refused
# while it was at work stands, and nobody decides what is looked at here.
_DROP: Final = f"""
WITH {_LOTS}, {_SUGGESTED}, gone AS (
    SELECT m.id FROM reconciliation_match m JOIN suggested USING (id)
    WHERE m.state = 'suggested' AND suggested.rows NOT IN (
        SELECT lots.rows FROM lots WHERE lots.rule <> ALL(%(confirmed)s))
    FOR UPDATE OF m
), rows_gone AS (
    DELETE FROM reconciliation_matchrow r USING gone WHERE r.match_id = gone.id
)
DELETE FROM reconciliation_match m USING gone WHERE m.id = gone.id
"""  # noqa: S608 - constants
_KEEP: Final = f"""
WITH {_LOTS}, {_SUGGESTED}
INSERT INTO reconciliation_match
    (tenant_id, profile_id, run_id, rule, lead, state, created_at)
SELECT %(tenant)s, %(profile)s, %(run)s, rule, lead,
       CASE WHEN rule = ANY(%(confirmed)s) THEN 'confirmed' ELSE 'suggested' END, now()
FROM lots WHERE rows NOT IN (SELECT rows FROM suggested) AND NOT EXISTS (
    SELECT FROM reconciliation_matchrow r
    JOIN reconciliation_match m ON m.id = r.match_id
    WHERE r.profile_id = %(profile)s AND r.transaction_id = ANY(rows)
      AND (r.is_live OR m.state = 'undone'))
"""  # noqa: S608 - constants
_ROWS: Final = """
INSERT INTO reconciliation_matchrow
    (tenant_id, match_id, profile_id, transaction_id, txn_id, side, key, is_live)
SELECT m.tenant_id, m.id, m.profile_id, o.transaction_id, o.txn_id, o.side, o.key,
       m.state = 'confirmed'
FROM reconciliation_match m JOIN reconciliation_openrow o
    ON o.run_id = %(holder)s AND o.match = m.lead AND o.rule = m.rule
WHERE m.run_id = %(run)s AND m.profile_id = %(profile)s
"""


def keep_matches(scope: Scope, terms: Terms) -> None:
    """Keep the matches of a run as the profile's; suggestions that are gone go."""
    kept = [
        place
        for place, rule in enumerate(terms.rules, start=1)
        if rule.key is not terms.primary or not rule.is_confirmed
    ]
    confirmed = [place for place in kept if terms.rules[place - 1].is_confirmed]
    values = scope.values | {"places": kept, "confirmed": confirmed}
    with connection.cursor() as cursor:
        cursor.execute(SET_BASED)
        for statement in (_DROP, _KEEP, _ROWS):
            cursor.execute(statement, values)
