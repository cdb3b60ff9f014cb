"""Finds, set by set, the rows that do not plainly match, and writes them down as open.

Nearly all references are plain: one row of each side, and they agree by the profile's
first rule. One pass over a range of references, in the order of their index, counts
those and keeps the others, with every row that has such a reference whenever that was,
so that a late answer meets its question.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from reconciliation.fragments import day_of, ordinal, tolerance, values_of
from reconciliation.matching import Terms
from reconciliation.ranges import Range, ranges

_LONGEST_DAY: Final = timedelta(hours=25)
#: Two moments closer than that many days less this are as many days apart or fewer.
_CLOCK_CHANGE: Final = timedelta(hours=1)

_IN_SCOPE: Final = """
    t.tenant_id = %(tenant)s AND t.source = ANY(%(sources)s)
    AND t.file_id = ANY(%(files)s)
"""
_IS_HERE: Final = "t.txn_timestamp >= %(starts)s AND t.txn_timestamp < %(ends)s"
_OPEN: Final = f"""
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
_RANGE: Final = f"""
WITH grouped AS (
    SELECT t.{{key}} AS key, count(*) AS rows,
           count(*) FILTER (WHERE t.is_ours) AS ours,
           count(*) FILTER (WHERE t.is_here) AS here,
           max(t.amount) FILTER (WHERE t.is_ours) AS due,
           max(t.amount) - min(t.amount) AS gap,
           min(t.currency) = max(t.currency) AND min(t.status) = max(t.status)
               AND min(t.status) <> 'PENDING' AS is_alike,
           min(t.at) AS first, max(t.at) AS last
    FROM (
        SELECT t.{{key}}, t.amount, t.currency, t.status, t.txn_timestamp AS at,
               t.source = ANY(%(internal)s) AS is_ours, {_IS_HERE} AS is_here
        FROM fintech_transactions t
        WHERE {_IN_SCOPE} AND t.{{key}} IS NOT NULL
          AND (%(after)s IS NULL OR t.{{key}} > %(after)s)
          AND (%(upto)s IS NULL OR t.{{key}} <= %(upto)s)
          AND t.txn_timestamp >= %(reach_from)s AND t.txn_timestamp < %(reach_to)s
    ) AS t
    GROUP BY t.{{key}} HAVING bool_or(t.is_here)
), told AS (
    SELECT key, here, due,
           rows = 2 AND ours = 1 AND is_alike AND gap <= {tolerance("due")}
               AND (last - first < %(near)s OR {{days}} <= %(days)s) AS is_plain
    FROM grouped
), opened AS (
    {_OPEN} JOIN told ON told.key = t.{{key}}
    WHERE NOT told.is_plain AND {_IN_SCOPE}
    RETURNING 1
)
SELECT COALESCE(sum(here), 0), count(*) FILTER (WHERE is_plain),
       COALESCE(sum(due) FILTER (WHERE is_plain), 0), (SELECT count(*) FROM opened)
FROM told
"""  # noqa: S608 - constants
_WITHOUT_KEY: Final = f"""
{_OPEN}
WHERE {_IN_SCOPE} AND t.{{key}} IS NULL AND {_IS_HERE}
"""


@dataclass(frozen=True, slots=True)
class Period:
    """What a run looks at: the rows of these files between two moments."""

    run_id: int
    tenant: str
    files: list[int]
    starts: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """What a range of references held."""

    #: Rows of the period.
    rows: int = 0
    #: References that match plainly, and what our side says that they moved.
    plain: int = 0
    plain_amount: Decimal = Decimal(0)
    #: Rows that were written down as open.
    opened: int = 0


def open_range(period: Period, terms: Terms, keys: Range) -> Counted:
    """Write the open rows of a range of references; counts all of its rows."""
    rule = terms.rules[0]
    days = f"{_day_number('last', terms)} - {_day_number('first', terms)}"
    values = _values(period, terms) | {"after": keys.after, "upto": keys.upto}
    reach = _calendar_days(rule.days, is_business=rule.is_business_days) + 1
    values |= {
        "near": rule.days * timedelta(days=1) - _CLOCK_CHANGE,
        "reach_from": period.starts - reach * _LONGEST_DAY,
        "reach_to": period.ends + reach * _LONGEST_DAY,
    }
    statement = _RANGE.format(key=terms.primary.value, days=days)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return Counted(*cursor.fetchone())


def ranges_of(period: Period, terms: Terms, *, rows: int) -> list[Range]:
    """Return ranges of references, of about so many rows, to be opened one by one."""
    return ranges(_values(period, terms), terms.primary, rows=rows)


def open_without_key(period: Period, terms: Terms) -> int:
    """Write down the rows of the period that have no reference; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            _WITHOUT_KEY.format(key=terms.primary.value), _values(period, terms)
        )
        return int(cursor.rowcount)


def _day_number(moment: str, terms: Terms) -> str:
    return ordinal(day_of(moment), terms.rules[0])


def _calendar_days(days: int, *, is_business: bool) -> int:
    return days + 2 * (days // 5 + 1) if is_business else days


def _values(period: Period, terms: Terms) -> dict[str, Any]:
    return {
        **values_of(terms.rules[0], terms),
        "run": period.run_id,
        "tenant": period.tenant,
        "files": period.files,
        "starts": period.starts,
        "ends": period.ends,
        "internal": list(terms.internal),
        "sources": [*terms.internal, *terms.external],
    }
