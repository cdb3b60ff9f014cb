"""What a report holds: the columns of each kind of it, and how its rows are read.

A page is read from a window of ids, and holds a bounded number of rows. So it costs
what its window holds, however few rows of that are wanted, and memory depends on
neither. Each value is text as it stands in the CSV: nobody's account, no formula.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from django.db import connection

from ingestion import transaction_export
from ingestion.artifacts import disarm
from ingestion.masking import mask_id, mask_text
from reconciliation.models import Report
from tenants.scoping import all_tenants, tenant_scope

_FETCHED: Final = 2_000

Masks = Mapping[str, Callable[[str], str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows that reports of one kind are about."""

    name: str
    #: Columns of the report, each with the SQL that gives it.
    columns: Mapping[str, str]
    #: Which hide something of their values.
    masks: Masks
    joins: str = ""
    #: The moment by which a row is in a period.
    moment: str
    #: Conditions by the names of filters, whose values are parameters of that name.
    filters: Mapping[str, str]


def _own(*columns: str) -> dict[str, str]:
    return {column: f"t.{column}" for column in columns}


def _equal(*columns: str) -> dict[str, str]:
    return {column: f"t.{column} = %({column})s" for column in columns}


_TRANSACTIONS: Final = Table(
    name="fintech_transactions",
    columns=_own(*transaction_export.COLUMNS),
    masks=transaction_export.MASKED,
    moment="t.txn_timestamp",
    filters={
        **_equal("source", "status", "direction", "currency", "account_id", "file_id"),
        "amount_min": "t.amount >= %(amount_min)s::numeric",
        "amount_max": "t.amount <= %(amount_max)s::numeric",
    },
)
# A day begins at the cut-off before it, by its profile's clock (matching.Terms.shift).
_DAY_BEGINS: Final = """
    (t.day - CASE p.cutoff WHEN '00:00' THEN interval '0'
             ELSE interval '1 day' - p.cutoff END) AT TIME ZONE p.time_zone
"""
_MISMATCHES: Final = Table(
    name="reconciliations",
    columns={
        **_own("tenant_id", "id"),
        "profile": "p.name",
        **_own("mismatch_type", "state", "day", "internal_txn_id", "external_txn_id"),
        **_own("key", "amount", "difference", "currency", "notes", "reason_code"),
        **_own("resolved_by", "resolved_at", "approved_by", "approved_at"),
        **_own("created_at"),
    },
    masks={
        "internal_txn_id": mask_id,
        "external_txn_id": mask_id,
        "key": mask_id,
        "notes": mask_text,
    },
    joins="LEFT JOIN reconciliation_profile p ON p.id = t.profile_id",
    moment=f"COALESCE({_DAY_BEGINS}, t.created_at)",
    filters={
        "profile": "p.name = %(profile)s",
        **_equal("mismatch_type", "state", "currency"),
    },
)
_USAGE: Final = Table(
    name="usage_events",
    columns={
        **_own("tenant_id", "occurred_at", "meter", "quantity", "job_id"),
        "kind": "j.kind",
        **_own("source"),
    },
    masks={},
    # Usage outlives its job, and then nothing says of which kind that was.
    joins="LEFT JOIN jobs_job j ON j.id = t.job_id",
    moment="t.occurred_at",
    filters={**_equal("meter"), "kind": "j.kind = %(kind)s"},
)

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        Report.What.TRANSACTIONS.value: _TRANSACTIONS,
        Report.What.MISMATCHES.value: _MISMATCHES,
        Report.What.USAGE.value: _USAGE,
    }
)

# A tenant's rows are where they are among those of all: neither end tells of anyone.
_BOUNDS: Final = "SELECT COALESCE(min(id), 1), COALESCE(max(id), 0) FROM {name}"
_PAGE: Final = """
SELECT t.id, {columns} FROM {name} t {joins}
WHERE t.tenant_id = %(tenant_id)s AND t.id > %(after)s AND t.id <= %(upto)s
  AND {moment} >= %(starts_at)s::timestamptz AND {moment} < %(ends_at)s::timestamptz
  {filters}
ORDER BY t.id LIMIT %(most)s
"""


def bounds(table: Table) -> tuple[int, int]:
    """Return the least and the greatest id there is now, of any tenant."""
    with (
        all_tenants(reason="where a report begins and ends"),
        connection.cursor() as cursor,
    ):
        cursor.execute(_BOUNDS.format(name=table.name))
        least, greatest = cursor.fetchone()
    return int(least), int(greatest)


class _Line:
    """A file that hands back what csv writes."""

    def write(self, text: str) -> str:
        return text


def _writer() -> Any:
    """Return what makes one line of values, ended as RFC 4180 has it."""
    return csv.writer(_Line())


def head(table: Table) -> bytes:
    """Return the first line of a report."""
    line: str = _writer().writerow(table.columns)
    return line.encode()


def lines(
    table: Table,
    *,
    tenant: str,
    payload: Mapping[str, Any],
    after: int,
    upto: int,
    most: int,
) -> Iterator[tuple[int, int, bytes]]:
    """Yield the last id, the number and the text of a few thousand lines at a time.

    They are what a window of ids holds of a report, in their order; at most so many.
    They come through a cursor on the server, in a transaction that ends with them.
    """
    writer = _writer()
    masks = [table.masks.get(column) for column in table.columns]
    values = {
        **payload.get("filters", {}),
        "tenant_id": tenant,
        "starts_at": payload["starts_at"],
        "ends_at": payload["ends_at"],
        "after": after,
        "upto": upto,
        "most": most,
    }
    with tenant_scope(tenant), connection.chunked_cursor() as cursor:
        cursor.execute(_statement(table, payload.get("filters", {})), values)
        while page := cursor.fetchmany(_FETCHED):
            texts = (writer.writerow(map(cell, row[1:], masks)) for row in page)
            yield page[-1][0], len(page), "".join(texts).encode()


def _statement(table: Table, filters: Mapping[str, Any]) -> str:
    conditions = [table.filters[name] for name in sorted(filters)]
    return _PAGE.format(
        columns=", ".join(table.columns.values()),
        name=table.name,
        joins=table.joins,
        moment=table.moment,
        filters="".join(f"AND {condition} " for condition in conditions),
    )


def cell(value: Any, mask: Callable[[str], str] | None = None) -> str:
    """Return a value as it stands in the CSV.

    Numbers and times are what they are; text that a spreadsheet would run is disarmed.
    """
    plain = _PLAIN.get(type(value))
    if plain is not None:
        return plain(value)
    text = str(value)
    return disarm(mask(text) if mask and text else text)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


#: How values are written that are no text.
_PLAIN: Final[Mapping[type, Callable[[Any], str]]] = {
    type(None): lambda _: "",
    Decimal: lambda amount: format(amount, "f"),
    datetime: _utc,
    date: str,
    int: str,
}
