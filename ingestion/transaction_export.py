"""Transactions as CSV, a few at a time, so that no list is too long for the memory."""

import csv
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet
from django.utils.timezone import localtime

from ingestion.artifacts import disarm
from ingestion.masking import mask_account, mask_id, mask_text
from tenants.scoping import all_tenants

#: Rows of one export.
MOST_ROWS: Final = 1_000_000
#: Columns of the export and of the table; accounts among them are masked.
COLUMNS: Final = (
    *("tenant_id", "source", "txn_id", "source_txn_id", "reference_id", "account_id"),
    *("counterparty_account", "vpa_or_ifsc", "amount", "currency", "direction"),
    *("status", "txn_timestamp", "created_at", "file_id"),
)
#: What hides the account in a column.
MASKED: Final[dict[str, Callable[[str], str]]] = {
    "txn_id": mask_id,
    "source_txn_id": mask_id,
    "account_id": mask_account,
    "counterparty_account": mask_account,
    "vpa_or_ifsc": mask_text,
}
_NOT_TEXT: Final = {"amount", "file_id"}
_TIMES: Final = {"txn_timestamp", "created_at"}
_FETCHED: Final = 2_000


class _Line:
    """A file that hands back what csv writes."""

    def write(self, text: str) -> str:
        return text


def count_capped(rows: QuerySet[Any]) -> int:
    """Return how many rows an export has; MOST_ROWS + 1 for more than it may."""
    return rows.order_by()[: MOST_ROWS + 1].count()


def csv_lines(rows: QuerySet[Any], *, most: int, reason: str) -> Iterator[bytes]:
    """Yield the head and at most so many rows, latest loaded first, as lines.

    The rows come through a cursor on the server, in a transaction that ends with them.
    """
    writer = csv.writer(_Line())
    cell_of = [_cell(column) for column in COLUMNS]
    chosen = rows.select_related(None).order_by("-pk")[:most]
    statement, values = chosen.values_list(*COLUMNS).query.sql_with_params()
    yield writer.writerow(COLUMNS).encode()
    with all_tenants(reason=reason), connection.chunked_cursor() as cursor:
        cursor.execute(statement, values)
        while page := cursor.fetchmany(_FETCHED):
            lines = (
                writer.writerow([cell(value) for cell, value in zip(cell_of, row)])  # noqa: B905 - one cell for each column
                for row in page
            )
            yield "".join(lines).encode()


def _cell(column: str) -> Callable[[Any], str]:
    """Return what writes a value of that column."""
    if column in _NOT_TEXT:
        return lambda value: "" if value is None else str(value)
    if column in _TIMES:
        return lambda value: localtime(value).isoformat(sep=" ") if value else ""
    mask = MASKED.get(column)
    if mask is None:
        return lambda value: disarm(value or "")
    return lambda value: disarm(mask(value) if value else "")
