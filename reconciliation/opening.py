"""Finds, set by set, the rows that do not plainly match, and writes them down as open.

Nearly all references are plain: one row of each side, and they agree by the profile's
first rule. One pass over a range of references, in the order of their index, counts
those and keeps the others, with every row that has such a reference whenever that was,
so that a late answer meets its question.

Two passes find the references to look at: `open_range` takes those of the period, and
`open_fresh` those of files that came since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from reconciliation.fragments import day_of, ordinal, tolerance, values_of
from reconciliation.matching import Terms
from reconciliation.scope import IN_SCOPE, Range, Scope

_LONGEST_DAY: Final = timedelta(hours=25)
#: Two moments closer than that many days less this are as many days apart or fewer.
_CLOCK_CHANGE: Final = timedelta(hours=1)

#: Writes rows as open; the rows are named behind it.
OPEN: Final = f"""
    INSERT INTO reconciliation_openrow (
        tenant_id, run_id, transaction_id, txn_id, side, key, reference_id,
        source_txn_id, account_id, amount, currency, direction, status, at, day)
    SELECT t.tenant_id, %(run)s, t.id, t.txn_id,
           CASE WHEN t.source = ANY(%(internal)s) THEN 'I' ELSE 'E' END,
           t.{{key}}, t.reference_id, t.source_txn_id, t.account_id, t.amount,
           t.currency, t.direction, t.status, t.txn_timestamp,
           {day_of("t.txn_timestamp")}
    FROM fintech_transactions t
"""  # noqa: S608 - constants
_IS_HERE: Final = "t.txn_timestamp >= %(starts)s AND t.txn_timestamp < %(ends)s"
_ROW: Final = """
    SELECT t.{key}, t.amount, t.currency, t.status, t.txn_timestamp AS at,
           t.source = ANY(%(internal)s) AS is_ours, {is_here} AS is_here
    FROM fintech_transactions t
"""
_OF_THE_PERIOD: Final = f"""
    {_ROW}
    WHERE {IN_SCOPE} AND {{within}}
      AND t.txn_timestamp >= %(starts)s - %(reach)s
      AND t.txn_timestamp < %(ends)s + %(reach)s
"""
_FRESH: Final = """
    t.file_id = ANY(%(fresh)s) AND t.txn_timestamp >= %(since)s
    AND t.txn_timestamp < %(until)s
"""
_IS_LATE: Final = f"{_FRESH} AND NOT ({_IS_HERE})"
_OF_FRESH: Final = f"""
    {_ROW} JOIN (
        SELECT t.{{key}}, min(t.txn_timestamp) AS first, max(t.txn_timestamp) AS last
        FROM fintech_transactions t WHERE {IN_SCOPE} AND {{is_here}} AND {{within}}
        GROUP BY t.{{key}}
    ) AS fresh ON fresh.{{key}} = t.{{key}}
    WHERE {IN_SCOPE} AND t.txn_timestamp >= fresh.first - %(reach)s
      AND t.txn_timestamp <= fresh.last + %(reach)s
"""  # noqa: S608 - constants
# References of matches that a person or another key has made, and those that are open
# already, are no plain ones, whatever their rows say.
_PASS: Final = f"""
WITH grouped AS (
    SELECT t.{{key}} AS key, count(*) AS rows,
           count(*) FILTER (WHERE t.is_ours) AS ours,
           count(*) FILTER (WHERE t.is_here) AS here,
           max(t.amount) FILTER (WHERE t.is_ours) AS due,
           max(t.amount) - min(t.amount) AS gap,
           min(t.currency) = max(t.currency) AND min(t.status) = max(t.status)
               AND min(t.status) <> 'PENDING' AS is_alike,
           min(t.at) AS first, max(t.at) AS last
    FROM ({{rows}}) AS t
    GROUP BY t.{{key}} HAVING bool_or(t.is_here)
), told AS (
    SELECT key, here, due,
           rows = 2 AND ours = 1 AND is_alike AND gap <= {tolerance("due")}
               AND (last - first < %(near)s OR {{days}} <= %(days)s)
               AND NOT key IN (
                   SELECT r.key FROM reconciliation_matchrow r
                   WHERE r.profile_id = %(profile)s AND {{matched}}
                   UNION ALL
                   SELECT o.key FROM reconciliation_openrow o
                   WHERE o.run_id = %(run)s AND {{opened}}) AS is_plain
    FROM grouped
), opened AS (
    {OPEN} JOIN told ON told.key = t.{{key}}
    WHERE NOT told.is_plain AND {IN_SCOPE}
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT COALESCE(sum(here), 0)::bigint, count(*) FILTER (WHERE is_plain),
       COALESCE(sum(due) FILTER (WHERE is_plain), 0), (SELECT count(*) FROM opened)
FROM told
"""  # noqa: S608 - constants
_WITHOUT_KEY: Final = f"""
{OPEN}
WHERE {IN_SCOPE} AND t.{{key}} IS NULL AND ({{which}})
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a range of references held."""

    #: Rows that were looked at: of the period, or of the new files.
    rows: int = 0
    #: References that match plainly, and what our side says that they moved.
    plain: int = 0
    plain_amount: Decimal = Decimal(0)
    #: Rows that were written down as open.
    opened: int = 0


def open_range(scope: Scope, terms: Terms, keys: Range) -> Counted:
    """Write the open rows of a range of the period's references; counts all rows."""
    return _pass(scope, terms, keys, _OF_THE_PERIOD, _IS_HERE, {})


def open_fresh(
    scope: Scope, terms: Terms, keys: Range, *, files: Sequence[int] | None = None
) -> Counted:
    """Write the open rows of the references of new files; counts the new rows.

    With `files`, only what those brought of days that are not of the period.
    """
    if files is None:
        return _pass(scope, terms, keys, _OF_FRESH, _FRESH, {})
    late = {"fresh": list(files)}
    return _pass(scope, terms, keys, _OF_FRESH, _IS_LATE, late)


def open_without_key(scope: Scope, terms: Terms, *, is_fresh: bool) -> int:
    """Write down the rows without a reference: of the period, or of new files.

    Returns how many.
    """
    which = _FRESH if is_fresh else _IS_HERE
    if not is_fresh and scope.since is not None:
        which = f"{_IS_HERE} OR {_FRESH}"
    values = values_for(scope, terms)
    statement = _WITHOUT_KEY.format(key=terms.primary.value, which=which)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def values_for(scope: Scope, terms: Terms) -> dict[str, Any]:
    """Return the parameters of statements that open rows."""
    return {
        **values_of(terms.rules[0], terms),
        **scope.values,
        "internal": list(terms.internal),
        "sources": [*terms.internal, *terms.external],
    }


def _pass(
    scope: Scope,
    terms: Terms,
    keys: Range,
    rows: str,
    is_here: str,
    more: dict[str, Any],
) -> Counted:
    rule, key = terms.rules[0], terms.primary.value
    reach = _calendar_days(rule.days, is_business=rule.is_business_days) + 1
    values = values_for(scope, terms) | keys.bounds | more
    values |= {
        "near": rule.days * timedelta(days=1) - _CLOCK_CHANGE,
        "reach": reach * _LONGEST_DAY,
    }
    statement = _PASS.format(
        key=key,
        rows=rows.format(key=key, is_here=is_here, within=keys.holds(f"t.{key}")),
        days=f"{_day_number('last', terms)} - {_day_number('first', terms)}",
        matched=keys.holds("r.key"),
        opened=keys.holds("o.key"),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return Counted(*cursor.fetchone())


def _day_number(moment: str, terms: Terms) -> str:
    return ordinal(day_of(moment), terms.rules[0])


def _calendar_days(days: int, *, is_business: bool) -> int:
    return days + 2 * (days // 5 + 1) if is_business else days
