"""Finds, set by set, the rows that do not plainly match, and writes them down as open.

Nearly all references are plain: one row of each side, and they agree by the profile's
first rule. One pass over the rows of a range of references counts those and keeps the
others, with every row that has such a reference whenever that was, so that a late
answer meets its question.

Two passes find the references to look at: `open_range` takes those of the period, and
`open_fresh` those of files that came since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection
from django.db.backends.utils import CursorWrapper

from reconciliation.fragments import (
    SET_BASED,
    day_of,
    days_between,
    tolerance,
    values_of,
)
from reconciliation.matching import Key, Terms
from reconciliation.scope import IN_SCOPE, Range, Scope

#: Nowhere are clocks put forward or back by more than two hours.
_LONGEST_DAY: Final = timedelta(hours=26)
#: Two moments closer than that many days less this are as many days apart or fewer.
_CLOCK_CHANGE: Final = timedelta(hours=2)

#: Writes rows as open; the rows `t` are named behind it.
_WRITE: Final = f"""
    INSERT INTO reconciliation_openrow (
        tenant_id, run_id, touched_by, transaction_id, txn_id, side, key, reference_id,
        source_txn_id, account_id, amount, currency, direction, status, at, day)
    SELECT t.tenant_id, %(holder)s, %(run)s, t.id, t.txn_id,
           CASE WHEN t.source = ANY(%(internal)s) THEN 'I' ELSE 'E' END,
           t.{{key}}, t.reference_id, t.source_txn_id, t.account_id, t.amount,
           t.currency, t.direction, t.status, t.txn_timestamp,
           {day_of("t.txn_timestamp")}
"""
OPEN: Final = f"{_WRITE} FROM fintech_transactions t"
#: What is open already stays so; one index says which, where none named, all are asked.
UNLESS_OPEN: Final = "ON CONFLICT (run_id, transaction_id) DO NOTHING"
_IS_HERE: Final = "t.txn_timestamp >= %(starts)s AND t.txn_timestamp < %(ends)s"
_COLUMNS: Final = """
    SELECT t.{key}, t.amount, t.currency, t.status, t.txn_timestamp AS at,
           t.source = ANY(%(internal)s) AS is_ours, {is_here} AS is_here
"""
_ROW: Final = f"{_COLUMNS} FROM fintech_transactions t"
# Around the period are more rows than in it, as a rule: they are only compared with its
# references, which costs a third of counting them. They are not asked for the range,
# or PostgreSQL would look for it in all history instead of for the time.
_OF_THE_PERIOD: Final = f"""
    {_ROW} WHERE {IN_SCOPE} AND {{within}} AND {_IS_HERE}
    UNION ALL
    {_ROW} WHERE {IN_SCOPE}
      AND (t.txn_timestamp >= %(reach_from)s AND t.txn_timestamp < %(starts)s
           OR t.txn_timestamp >= %(ends)s AND t.txn_timestamp < %(reach_to)s)
      AND t.{{key}} IN (SELECT t.{{key}} FROM fintech_transactions t
                      WHERE {IN_SCOPE} AND {{within}} AND {_IS_HERE})
"""  # noqa: S608 - constants
# Where references lie in order, one look at them is what comes of them, in that order.
_IN_ORDER: Final = f"""
    {_ROW} WHERE {IN_SCOPE} AND {{within}}
      AND t.txn_timestamp >= %(reach_from)s AND t.txn_timestamp < %(reach_to)s
    ORDER BY t.{{key}}
"""
_FRESH: Final = """
    t.file_id = ANY(%(fresh)s) AND t.txn_timestamp >= %(since)s
    AND t.txn_timestamp < %(until)s
"""
_IS_LATE: Final = f"{_FRESH} AND NOT ({_IS_HERE})"
_FRESH_KEYS: Final = f"""
    SELECT t.{{key}}, min(t.txn_timestamp) AS first, max(t.txn_timestamp) AS last
    FROM fintech_transactions t WHERE {IN_SCOPE} AND {{is_here}} AND {{within}}
    GROUP BY t.{{key}}
"""  # noqa: S608 - constants
_AROUND_FRESH: Final = f"""
    WHERE {IN_SCOPE} AND t.txn_timestamp >= fresh.first - %(reach)s
      AND t.txn_timestamp <= fresh.last + %(reach)s
"""
# Looked up one by one, as below; by the bank's id compared with all there are.
_LOOKED_UP_FRESH: Final = f"""
    {_COLUMNS} FROM ({_FRESH_KEYS}) AS fresh CROSS JOIN LATERAL (
        SELECT * FROM fintech_transactions t
        WHERE t.tenant_id = %(tenant)s AND t.{{key}} = fresh.{{key}} OFFSET 0) AS t
    {_AROUND_FRESH}
"""  # noqa: S608 - constants
_COMPARED_FRESH: Final = f"""
    {_ROW} JOIN ({_FRESH_KEYS}) AS fresh ON fresh.{{key}} = t.{{key}} {_AROUND_FRESH}
"""
# References of matches that a person or another key has made, and those that are open
# already, are no plain ones, whatever their rows say.
#
# Of a plain reference each side has one row, so that each `max` is given one value and
# compares nothing. OFFSET 0 keeps PostgreSQL from working out `is_ours` and `is_plain`
# anew wherever they are named. The exact amount comes first because a tolerance in per
# cent is a division of numerics.
_TOLD: Final = f"""
WITH grouped AS (
    SELECT t.{{key}} AS key, count(*) AS rows,
           count(*) FILTER (WHERE t.is_ours) AS ours,
           count(*) FILTER (WHERE t.is_here) AS here,
           max(t.amount) FILTER (WHERE t.is_ours) AS due,
           max(t.amount) FILTER (WHERE NOT t.is_ours) AS paid,
           max(t.currency) FILTER (WHERE t.is_ours) AS our_currency,
           max(t.currency) FILTER (WHERE NOT t.is_ours) AS their_currency,
           max(t.status) FILTER (WHERE t.is_ours) AS our_status,
           max(t.status) FILTER (WHERE NOT t.is_ours) AS their_status,
           max(t.at) FILTER (WHERE t.is_ours) AS our_at,
           max(t.at) FILTER (WHERE NOT t.is_ours) AS their_at
    FROM ({{rows}} OFFSET 0) AS t
    GROUP BY t.{{key}} HAVING count(*) FILTER (WHERE t.is_here) > 0
), told AS (
    SELECT grouped.key, here, due,
           rows = 2 AND ours = 1 AND our_currency = their_currency
               AND our_status = their_status AND our_status <> 'PENDING'
               AND (paid = due OR abs(paid - due) <= {tolerance("due")})
               AND (their_at > our_at - make_interval(secs => %(near)s)
                    AND their_at < our_at + make_interval(secs => %(near)s)
                    OR {{days}} <= %(days)s)
               AND kept.key IS NULL AS is_plain
    FROM grouped LEFT JOIN (
        SELECT r.key FROM reconciliation_matchrow r
        WHERE r.profile_id = %(profile)s AND {{matched}}
        UNION
        SELECT o.key FROM reconciliation_openrow o
        WHERE o.run_id = %(holder)s AND {{opened}}) AS kept ON kept.key = grouped.key
    OFFSET 0
)
"""  # noqa: S608 - constants
# The keys go into one array: a CTE that is read twice would write down the plain ones.
_COUNT: Final = f"""
{_TOLD}
SELECT COALESCE(sum(here), 0)::bigint, count(*) FILTER (WHERE is_plain),
       COALESCE(sum(due) FILTER (WHERE is_plain), 0),
       count(*) FILTER (WHERE NOT is_plain),
       CASE WHEN count(*) FILTER (WHERE NOT is_plain) <= %(most_keys)s THEN
           array_agg(key) FILTER (WHERE NOT is_plain)::text END
FROM told
"""  # noqa: S608 - constants
_OPEN_ALL: Final = f"""
{_TOLD}
{OPEN} JOIN told ON told.key = t.{{key}}
WHERE NOT told.is_plain AND {IN_SCOPE} AND {{looked_up}}
{UNLESS_OPEN}
"""
#: More are not taken to this side and back: then all is worked out once more.
MOST_KEYS: Final = 100_000
_ANY_NUMBER: Final = 1 << 62
# Each key is looked up by itself, and OFFSET 0 keeps the files out of that: PostgreSQL
# takes a file that it has no statistics of for a row or none, and would compare all of
# its rows with all keys.
_LOOK_UP: Final = f"""
{_WRITE} FROM unnest(%(keys)s::text[]) AS told (key) CROSS JOIN LATERAL (
    SELECT * FROM fintech_transactions t
    WHERE t.tenant_id = %(tenant)s AND t.{{key}} = told.key OFFSET 0) AS t
WHERE {IN_SCOPE}
{UNLESS_OPEN}
"""  # noqa: S608 - constants
_COMPARE: Final = f"""
{OPEN} JOIN unnest(%(keys)s::text[]) AS told (key) ON told.key = t.{{key}}
WHERE {IN_SCOPE}
{UNLESS_OPEN}
"""
# A run of changes works on the open rows of a full one: what it opens anew is let go of
# before, and rows of other keys that were matched with it are free again.
_LET_GO: Final = """
WITH gone AS (
    DELETE FROM reconciliation_openrow o
    WHERE o.run_id = %(holder)s AND o.touched_by <> %(run)s AND {which}
    RETURNING o.transaction_id, o.match
)
UPDATE reconciliation_openrow o
SET match = NULL, rule = NULL, touched_by = %(run)s
FROM (SELECT DISTINCT gone.match FROM gone WHERE gone.match IS NOT NULL) AS undone
WHERE o.run_id = %(holder)s AND o.match = undone.match
  AND o.transaction_id NOT IN (SELECT gone.transaction_id FROM gone)
"""
_OF_KEYS: Final = "o.key IN (SELECT unnest(%(keys)s::text[]))"
_OF_IDS: Final = "o.key IS NULL AND o.transaction_id = ANY(%(ids)s)"
_ROWS_WITHOUT_KEY: Final = f"""
{OPEN} WHERE {IN_SCOPE} AND t.id = ANY(%(ids)s) AND t.{{key}} IS NULL
{UNLESS_OPEN}
"""
#: For the pass over a period, whatever statistics say: rows are read in the order of
#: the table, where a period's references are anywhere, and never those of all tenants;
#: they are hashed, as text is slow to sort, in pieces that go to disk: those are faster
#: than one hash which no cache holds. Other processors are for other tenants, and
#: beside them the hash of the period's references would be made even if nothing asks.
_IN_BULK: Final = """
SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = off;
SET LOCAL enable_nestloop = off; SET LOCAL enable_sort = off;
SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '4MB'
"""
#: For the pass over references in order: rows are read along their index, next to each
#: other in the table too, and need neither a hash nor to be sorted.
_ALONG_INDEX: Final = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_nestloop = off; SET LOCAL enable_hashagg = off;
SET LOCAL random_page_cost = 0; SET LOCAL seq_page_cost = 0;
SET LOCAL max_parallel_workers_per_gather = 0
"""
_AS_EVER: Final = """
SET LOCAL enable_indexscan = DEFAULT; SET LOCAL enable_seqscan = DEFAULT;
SET LOCAL enable_nestloop = DEFAULT; SET LOCAL enable_sort = DEFAULT;
SET LOCAL enable_bitmapscan = DEFAULT; SET LOCAL enable_hashagg = DEFAULT;
SET LOCAL random_page_cost = DEFAULT; SET LOCAL seq_page_cost = DEFAULT;
SET LOCAL max_parallel_workers_per_gather = DEFAULT; SET LOCAL work_mem = DEFAULT
"""
# Some are open already, and count nevertheless: those of open questions, and those of
# matches that stand.
_WITHOUT_KEY: Final = f"""
WITH found AS MATERIALIZED (
    SELECT t.tenant_id, t.id, t.txn_id, t.source, t.reference_id, t.source_txn_id,
           t.account_id, t.amount, t.currency, t.direction, t.status, t.txn_timestamp,
           {{is_counted}} AS is_counted
    FROM fintech_transactions t
    WHERE {IN_SCOPE} AND t.{{key}} IS NULL AND ({{which}})
), opened AS (
    {_WRITE} FROM found t
    {UNLESS_OPEN} RETURNING 1
)
SELECT count(*) FILTER (WHERE is_counted), (SELECT count(*) FROM opened) FROM found
"""  # noqa: S608 - constants


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
    rows = _IN_ORDER if keys.is_in_order else _OF_THE_PERIOD
    return _pass(scope, terms, keys, rows, _IS_HERE, {})


def open_fresh(
    scope: Scope, terms: Terms, keys: Range, *, files: Sequence[int] | None = None
) -> Counted:
    """Write the open rows of the references of new files; counts the new rows.

    With `files`, only what those brought of days that are not of the period.
    """
    by_id = terms.primary is Key.ID
    rows = _COMPARED_FRESH if by_id else _LOOKED_UP_FRESH
    if files is None:
        return _pass(scope, terms, keys, rows, _FRESH, {})
    return _pass(scope, terms, keys, rows, _IS_LATE, {"fresh": list(files)})


def open_without_key(scope: Scope, terms: Terms, *, is_fresh: bool) -> Counted:
    """Write down the rows without a reference: of the period, or of new files.

    Counts those; what new files brought of other days is written down as well.
    """
    which = is_counted = _FRESH if is_fresh else _IS_HERE
    if not is_fresh and scope.since is not None:
        which = f"{_IS_HERE} OR {_FRESH}"
    values = values_for(scope, terms)
    statement = _WITHOUT_KEY.format(
        key=terms.primary.value, which=which, is_counted=is_counted
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows, opened = cursor.fetchone()
    return Counted(rows=rows, opened=opened)


def values_for(scope: Scope, terms: Terms) -> dict[str, Any]:
    """Return the parameters of statements that open rows."""
    return {
        **values_of(terms.rules[0], terms),
        **scope.values,
        "internal": list(terms.internal),
        "sources": [*terms.internal, *terms.external],
    }


def open_keys(cursor: CursorWrapper, terms: Terms, values: dict[str, Any]) -> int:
    """Write down all rows of these `keys`, an array as text; returns how many."""
    _let_go(cursor, values, _OF_KEYS)
    # No index finds rows by the bank's id: all are looked at, once.
    is_compared = terms.primary is Key.ID
    if is_compared:
        cursor.execute(_IN_BULK)
    statement = _COMPARE if is_compared else _LOOK_UP
    cursor.execute(statement.format(key=terms.primary.value), values)
    opened = cursor.rowcount
    cursor.execute(_AS_EVER)
    return int(opened)


def open_rows(cursor: CursorWrapper, terms: Terms, values: dict[str, Any]) -> int:
    """Write down those rows without a key that have these `ids`; returns how many."""
    _let_go(cursor, values, _OF_IDS)
    cursor.execute(_ROWS_WITHOUT_KEY.format(key=terms.primary.value), values)
    return int(cursor.rowcount)


def _let_go(cursor: CursorWrapper, values: dict[str, Any], which: str) -> None:
    if values["holder"] != values["run"]:
        cursor.execute(SET_BASED)
        cursor.execute(_LET_GO.format(which=which), values)
        cursor.execute(_AS_EVER)


def _pass(
    scope: Scope,
    terms: Terms,
    keys: Range,
    rows: str,
    is_here: str,
    more: dict[str, Any],
) -> Counted:
    rule, key = terms.rules[0], terms.primary.value
    days = _calendar_days(rule.days, is_business=rule.is_business_days) + 1
    reach = days * _LONGEST_DAY
    near = rule.days * timedelta(days=1) - _CLOCK_CHANGE
    values = values_for(scope, terms) | keys.bounds | more
    values |= {
        "near": near.total_seconds(),
        # Ranges of changes are small, and their keys are let go of.
        "most_keys": MOST_KEYS if scope.is_whole else _ANY_NUMBER,
        "reach": reach,
        # As moments: PostgreSQL would work out a sum with an interval for every row.
        "reach_from": scope.starts - reach,
        "reach_to": scope.ends + reach,
    }
    pieces = {
        "key": key,
        "rows": rows.format(key=key, is_here=is_here, within=keys.holds(f"t.{key}")),
        "days": days_between(day_of("our_at"), day_of("their_at"), rule),
        "matched": keys.holds("r.key"),
        "opened": keys.holds("o.key"),
        # Along the index, or all history would be read; else it is no help.
        "looked_up": keys.holds(f"t.{key}") if keys.is_in_order else "true",
    }
    opened = 0
    with connection.cursor() as cursor:
        if rows is not _LOOKED_UP_FRESH:
            cursor.execute(_ALONG_INDEX if keys.is_in_order else _IN_BULK)
        cursor.execute(_COUNT.format(**pieces), values)
        looked_at, plain, amount, others, found = cursor.fetchone()
        if others > values["most_keys"]:
            cursor.execute(_OPEN_ALL.format(**pieces), values)
            opened = cursor.rowcount
        cursor.execute(_AS_EVER)
        if 0 < others <= values["most_keys"]:
            opened = open_keys(cursor, terms, values | {"keys": found})
    return Counted(looked_at, plain, amount, opened)


def _calendar_days(days: int, *, is_business: bool) -> int:
    return days + 2 * (days // 5 + 1) if is_business else days
