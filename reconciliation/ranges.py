"""Cuts the references that a run looks at into ranges of about equal work.

Of a period, a sample of the table's pages says how many rows there are and where the
cuts are: that takes the same short time however long the history is. Small periods are
one range.
"""

from collections.abc import Sequence
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
    wanted = ceil(count * 100 / percent / (rows or ROWS_OF_A_RANGE))
    return _ranges(cuts, wanted=wanted)


def change_ranges(
    scope: Scope, terms: Terms, *, rows: int | None = None
) -> list[Range]:
    """Return ranges that hold the references of new files and of open questions."""
    count, cuts = _cuts(_CHANGES, scope, terms, {})
    return _ranges(cuts, wanted=ceil(count / (rows or ROWS_LOOKED_UP)))


def _cuts(
    form: str, scope: Scope, terms: Terms, more: dict[str, Any]
) -> tuple[int, Sequence[str]]:
    values = values_for(scope, terms) | more
    values["cuts"] = [number / _FINEST for number in range(1, _FINEST)]
    with connection.cursor() as cursor:
        cursor.execute(form.format(key=terms.primary.value), values)
        count, cuts = cursor.fetchone()
    return count, cuts or ()


def _ranges(cuts: Sequence[str], *, wanted: int) -> list[Range]:
    wanted = min(_FINEST, wanted)
    # They come in the order of the database, which need not be Python's.
    inner = dict.fromkeys(cuts[_FINEST * n // wanted - 1] for n in range(1, wanted))
    return [Range(*pair) for pair in pairwise([None, *inner, None])]
