"""The passes of a profile's rules over the open rows of a run.

A pass finds in one statement which rows its rule would match; of pairs it takes the
nearest first (`matching.nearest_first`). A match is known by the least transaction of
our side in it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from django.db import connection

from reconciliation.fragments import (
    SET_BASED,
    days_between,
    due,
    ordinal,
    tolerance,
    values_of,
)
from reconciliation.matching import (
    MOST_OF_A_KEY,
    Rule,
    Shape,
    Terms,
    nearest_first,
)
from reconciliation.scope import Range, Scope

_READ_AT_ONCE: Final = 10_000
_WRITTEN_AT_ONCE: Final = 10_000

_FREE: Final = """
free AS (
    SELECT o.transaction_id, o.side, o.{key}, o.amount, o.currency, o.direction,
           o.status, o.at, o.day
    FROM reconciliation_openrow o
    WHERE o.run_id = %(holder)s AND o.match IS NULL AND NOT o.is_held
      AND o.{key} IS NOT NULL AND {within}
), counted AS (
    SELECT free.{key} AS key, count(*) FILTER (WHERE side = 'I') AS ours,
           count(*) FILTER (WHERE side = 'E') AS theirs
    FROM free GROUP BY free.{key}
)
"""
# Rows of a key that too many share are kept out before they meet.
_PAIRS: Final = f"""
WITH {_FREE}, few AS (
    SELECT free.* FROM free WHERE free.{{key}} NOT IN (
        SELECT key FROM counted WHERE GREATEST(ours, theirs) > %(most)s)
)
SELECT i.transaction_id, e.transaction_id
FROM few i JOIN few e ON e.{{key}} = i.{{key}} AND e.currency = i.currency
    AND e.status = i.status
WHERE i.side = 'I' AND e.side = 'E' AND i.status <> 'PENDING'
  AND abs({{due}} - e.amount) <= {tolerance("i.amount")} AND {{days}} <= %(days)s
ORDER BY abs({{due}} - e.amount),
         GREATEST(i.at - e.at, e.at - i.at), i.transaction_id, e.transaction_id
"""  # noqa: S608 - constants
_WRITE: Final = """
UPDATE reconciliation_openrow o
SET rule = %(place)s, match = p.match, touched_by = %(run)s
FROM (SELECT unnest(%(ours)s::bigint[]) AS row, unnest(%(ours)s::bigint[]) AS match
      UNION ALL
      SELECT unnest(%(theirs)s::bigint[]), unnest(%(ours)s::bigint[])) AS p
WHERE o.run_id = %(holder)s AND o.transaction_id = p.row
"""
# Days count between any row of one side and any of the other.
_SUMS: Final = f"""
WITH {_FREE}, summed AS (
    SELECT lone.{{key}} AS key, min(transaction_id) FILTER (WHERE side = 'I') AS match,
           abs(sum(signed) FILTER (WHERE side = 'I')) AS ours_amount,
           abs(sum(signed) FILTER (WHERE side = 'E')) AS theirs_amount,
           GREATEST(max(number) FILTER (WHERE side = 'I')
                        - min(number) FILTER (WHERE side = 'E'),
                    max(number) FILTER (WHERE side = 'E')
                        - min(number) FILTER (WHERE side = 'I')) AS days
    FROM (SELECT *, {{number}} AS number,
                 CASE direction WHEN 'C' THEN amount ELSE -amount END AS signed
          FROM free WHERE free.{{key}} IN (
              SELECT key FROM counted
              WHERE {{one}} = 1 AND {{many}} BETWEEN 2 AND %(most)s)) AS lone
    GROUP BY lone.{{key}}
    HAVING min(currency) = max(currency) AND min(status) = max(status)
       AND min(status) <> 'PENDING'
)
UPDATE reconciliation_openrow o
SET rule = %(place)s, match = s.match, touched_by = %(run)s
FROM summed s
WHERE o.run_id = %(holder)s AND o.match IS NULL AND NOT o.is_held AND {{within}}
  AND o.{{key}} = s.key
  AND abs({{due}} - s.theirs_amount) <= {tolerance("s.ours_amount")}
  AND s.days <= %(days)s
"""  # noqa: S608 - constants


def apply_rules(
    scope: Scope,
    terms: Terms,
    *,
    places: Iterable[int] | None = None,
    keys: Range | None = None,
) -> None:
    """Match the open rows of a run, rule by rule.

    Only by the rules in these places, from 1, if they are given, which keep their
    order; and only in a range of the primary key, for which rules of that key ask.
    """
    within = "true" if keys is None else keys.holds("o.key")
    every = range(1, len(terms.rules) + 1)
    for place in every if places is None else places:
        rule = terms.rules[place - 1]
        values = {
            **values_of(rule, terms),
            **(Range() if keys is None else keys).bounds,
            **scope.values,
            "place": place,
            "most": MOST_OF_A_KEY,
        }
        match = _match_pairs if rule.shape is Shape.ONE_TO_ONE else _match_sums
        match(rule, terms, within, values)


def _match_pairs(rule: Rule, terms: Terms, within: str, values: dict[str, Any]) -> None:
    statement = _PAIRS.format(
        key=rule.key.value,
        due=due("i.amount", rule, terms),
        days=days_between("i.day", "e.day", rule),
        within=within,
    )
    with connection.cursor() as cursor, connection.chunked_cursor() as found:
        cursor.execute(SET_BASED)
        # All of it is read, in the order of preference: a quick first row is no good.
        cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
        found.execute(statement, values)
        for pairs in _pieces(nearest_first(_rows(found))):
            ours, theirs = (list(column) for column in zip(*pairs, strict=True))
            cursor.execute(_WRITE, {**values, "ours": ours, "theirs": theirs})


def _rows(found: Any) -> Iterator[tuple[int, int]]:
    """Yield the rows of a cursor on the server; pairs may be more than rows by far."""
    while rows := found.fetchmany(_READ_AT_ONCE):
        yield from rows


def _pieces(pairs: Iterator[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    while piece := list(islice(pairs, _WRITTEN_AT_ONCE)):
        yield piece


def _match_sums(rule: Rule, terms: Terms, within: str, values: dict[str, Any]) -> None:
    one, many = "ours", "theirs"
    if rule.shape is Shape.MANY_TO_ONE:
        one, many = many, one
    statement = _SUMS.format(
        key=rule.key.value,
        one=one,
        many=many,
        number=ordinal("day", rule),
        due=due("s.ours_amount", rule, terms),
        within=within,
    )
    with connection.cursor() as cursor:
        cursor.execute(SET_BASED)
        cursor.execute(statement, values)
