"""Cuts the references that a run looks at into ranges of about equal work.

Of a period, a sample of the table's pages says how many rows there are and where the
cuts are: that takes the same short time however long the history is. Small periods are
one range.

The sample also says whether references lie in the table in their order, as those do
that are numbers of a series: then a range is read along their index, and costs what it
holds. Else each range reads all pages of its period, and ranges are larger and fewer.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil
from typing import Any, Final

from django.db import connection

from reconciliation.matching import Key, Terms
from reconciliation.opening import values_for
from reconciliation.scope import IN_SCOPE, Range, Scope

#: A few seconds of matching. Each range reads all pages of its period, which smaller
#: ones would do many times.
ROWS_OF_A_RANGE: Final = 3_000_000
#: About a second of matching along the index of references, where rows lie in order.
ROWS_IN_ORDER: Final = 1_000_000
#: How well the pages of each source follow the order of its references: of twenty rows
#: about one may lie anywhere.
_LEAST_CORRELATION: Final = 0.95
#: Of the rows between those references, others for each that is asked for.
_MOST_OTHERS: Final = 0.5
#: So many references before the first of a sample, and behind its last one, are looked
#: at as well: more of a period will hardly be there.
_REACH: Final = 50_000
#: About a second of what is looked up reference by reference.
ROWS_LOOKED_UP: Final = 50_000
#: Rows of the whole table that are looked at, and the least part of it.
_SAMPLED_ROWS: Final = 50_000
_LEAST_PERCENT: Final = 1.0

_SIZE: Final = (
    "SELECT reltuples FROM pg_class WHERE oid = 'fintech_transactions'::regclass"
)
_SAMPLE: Final = """
SELECT count(*), percentile_disc(%(cuts)s::float[]) WITHIN GROUP (ORDER BY t.{key})
FROM fintech_transactions t TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (1)
WHERE t.tenant_id = %(tenant)s AND t.source = ANY(%(sources)s) AND t.{key} IS NOT NULL
  AND t.txn_timestamp >= %(starts)s AND t.txn_timestamp < %(ends)s
"""
_ORDER: Final = """
WITH sampled AS MATERIALIZED (
    SELECT t.source, t.{key} AS key, (t.ctid::text::point)[0] AS page,
           t.source = ANY(%(sources)s) AND t.txn_timestamp >= %(starts)s
               AND t.txn_timestamp < %(ends)s AS is_here
    FROM fintech_transactions t TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (1)
    WHERE t.tenant_id = %(tenant)s AND t.{key} BETWEEN %(least)s AND %(most)s
), placed AS (
    SELECT source, page, row_number() OVER (PARTITION BY source ORDER BY key) AS place
    FROM sampled WHERE is_here
)
SELECT count(*) FILTER (WHERE NOT is_here), count(*) FILTER (WHERE is_here), (
    SELECT min(c) FROM (
        SELECT abs(corr(page, place)) AS c FROM placed GROUP BY source) AS each)
FROM sampled
"""
#: Far enough before the least reference of a sample, or behind the greatest.
_BEYOND: Final = """
SELECT t.{key} FROM fintech_transactions t
WHERE t.tenant_id = %(tenant)s AND t.{key} {beyond}
ORDER BY t.{key} {way} OFFSET %(reach)s LIMIT 1
"""
_CHANGES: Final = f"""
SELECT count(*), percentile_disc(%(cuts)s::float[]) WITHIN GROUP (ORDER BY key) FROM (
    SELECT t.{{key}} AS key FROM fintech_transactions t
    WHERE {IN_SCOPE} AND t.file_id = ANY(%(fresh)s) AND t.{{key}} IS NOT NULL
    UNION ALL
    SELECT r.key FROM reconciliations r
    WHERE r.profile_id = %(profile)s AND r.state IN ('open', 'assigned')
      AND r.key IS NOT NULL
) AS asked
"""  # noqa: S608 - constants
#: As many cuts as are ever asked for; the ranges take every so many-th of them.
_FINEST: Final = 1_000


def period_ranges(
    scope: Scope, terms: Terms, *, rows: int | None = None
) -> list[Range]:
    """Return ranges of about so many rows that together hold every reference."""
    if terms.primary is Key.ID:
        # No index is in the order of the banks' ids: each range would read them all.
        return [Range()]
    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        (size,) = cursor.fetchone()
    percent = 100.0
    if size > _SAMPLED_ROWS:
        percent = max(_LEAST_PERCENT, 100.0 * _SAMPLED_ROWS / size)
    count, cuts = _cuts(_SAMPLE, scope, terms, {"percent": percent})
    whole = count * 100 / percent
    ordered = rows or ROWS_IN_ORDER
    if whole > ordered and _is_in_order(scope, terms, cuts, percent):
        return _in_order(scope, terms, cuts, wanted=ceil(whole / ordered))
    return _ranges(cuts[1:-1], wanted=ceil(whole / (rows or ROWS_OF_A_RANGE)))


def _is_in_order(
    scope: Scope, terms: Terms, cuts: Sequence[str], percent: float
) -> bool:
    values = values_for(scope, terms) | {"percent": percent}
    values |= {"least": cuts[0], "most": cuts[-1]}
    with connection.cursor() as cursor:
        cursor.execute(_ORDER.format(key=terms.primary.value), values)
        others, here, correlation = cursor.fetchone()
    # Rows that are all on one page have no correlation, and lie well.
    if correlation is not None and correlation < _LEAST_CORRELATION:
        return False
    return bool(others <= here * _MOST_OTHERS)


def _in_order(
    scope: Scope, terms: Terms, cuts: Sequence[str], *, wanted: int
) -> list[Range]:
    """Return ranges in order; what little may be beside them is no range in order."""
    values: dict[str, Any] = {"tenant": scope.tenant, "reach": _REACH}
    values |= {"least": cuts[0], "most": cuts[-1]}
    ends = []
    with connection.cursor() as cursor:
        for beyond, way in (("< %(least)s", "DESC"), ("> %(most)s", "ASC")):
            statement = _BEYOND.format(key=terms.primary.value, beyond=beyond, way=way)
            cursor.execute(statement, values)
            ends.append((cursor.fetchone() or (None,))[0])
    first, last = ends
    inner = _inner(cuts[1:-1], wanted)
    found = [Range(*pair, is_in_order=True) for pair in pairwise([first, *inner, last])]
    beside = [Range(None, first)] * (first is not None)
    return found + beside + [Range(last, None)] * (last is not None)


def change_ranges(
    scope: Scope, terms: Terms, *, rows: int | None = None
) -> list[Range]:
    """Return ranges that hold the references of new files and of open questions."""
    count, cuts = _cuts(_CHANGES, scope, terms, {})
    return _ranges(cuts[1:-1], wanted=ceil(count / (rows or ROWS_LOOKED_UP)))


def _cuts(
    form: str, scope: Scope, terms: Terms, more: dict[str, Any]
) -> tuple[int, Sequence[str]]:
    values = values_for(scope, terms) | more
    values["cuts"] = [number / _FINEST for number in range(_FINEST + 1)]
    with connection.cursor() as cursor:
        cursor.execute(form.format(key=terms.primary.value), values)
        count, cuts = cursor.fetchone()
    return count, cuts or ()


def _ranges(cuts: Sequence[str], *, wanted: int) -> list[Range]:
    return [Range(*pair) for pair in pairwise([None, *_inner(cuts, wanted), None])]


def _inner(cuts: Sequence[str], wanted: int) -> Iterable[str]:
    wanted = min(_FINEST, wanted)
    # They come in the order of the database, which need not be Python's.
    return dict.fromkeys(cuts[_FINEST * n // wanted - 1] for n in range(1, wanted))
