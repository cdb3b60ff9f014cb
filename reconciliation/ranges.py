"""Cuts the references of a period into ranges of about equal work.

A sample of the table's pages says how many rows there are and where the cuts are; so it
takes the same short time however long the history is. Small periods are one range.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any, Final

from django.db import connection

from reconciliation.matching import Key

#: About a second of matching.
ROWS_OF_A_RANGE: Final = 250_000
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
#: As many cuts as are ever asked for; the ranges take every so many-th of them.
_FINEST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Range:
    """References behind one and up to another, that one included; None: no bound."""

    after: str | None
    upto: str | None


def ranges(
    values: dict[str, Any], key: Key, *, rows: int = ROWS_OF_A_RANGE
) -> list[Range]:
    """Return ranges of about so many rows that together hold every reference.

    `values` has `tenant`, `sources`, `starts` and `ends`.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        (size,) = cursor.fetchone()
        percent = 100.0
        if size > _SAMPLED_ROWS:
            percent = max(_LEAST_PERCENT, 100.0 * _SAMPLED_ROWS / size)
        cuts = [number / _FINEST for number in range(1, _FINEST)]
        statement = _SAMPLE.format(key=key.value)
        cursor.execute(statement, {**values, "cuts": cuts, "percent": percent})
        count, found = cursor.fetchone()
    wanted = min(_FINEST, ceil(count * 100 / percent / rows))
    inner = sorted({found[_FINEST * n // wanted - 1] for n in range(1, wanted)})
    bounds = [None, *inner, None]
    return [Range(*pair) for pair in pairwise(bounds)]
