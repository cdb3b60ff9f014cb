"""Transactions as CSV, a few at a time, so that no list is too long for the memory."""

import csv
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet
from django.utils.timezone import localtime

from ingestion.artifacts import disarm
from ingestion.masking import mask_account, mask_id, mask_text
from tenants.scoping import all_tenants

#: Writes a value of a column.
Cell = Callable[[Any], str]

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


def csv_lines(
    rows: QuerySet[Any],
    *,
    most: int,
    reason: str,
    cells: Mapping[str, Cell] | None = None,
) -> Iterator[bytes]:
    """Yield the head and at most so many rows, latest first, as lines.

    The rows come through a cursor on the server, in a transaction that ends with them.
    `cells` has the columns of another table, and what writes a value of each.
    """
    writer = csv.writer(_Line())
    cells = cells or {column: _cell(column) for column in COLUMNS}
    cell_of = list(cells.values())
    chosen = rows.select_related(None).order_by("-pk")[:most]
    statement, values = chosen.values_list(*cells).query.sql_with_params()
    yield writer.writerow([name.replace("__", "_") for name in cells]).encode()
    with all_tenants(reason=reason), connection.chunked_cursor() as cursor:
        cursor.execute(statement, values)
        while page := cursor.fetchmany(_FETCHED):
            lines = (
                writer.writerow([cell(value) for cell, value in zip(cell_of, row)])  # noqa: B905 - one cell for each column
                for row in page
            )
            yield "".join(lines).encode()


def plain_cell(value: Any) -> str:
    """Write what is no text, such as a number or a day."""
    return "" if value is None else str(value)


def time_cell(value: Any) -> str:
    """Write a moment in the zone of the server."""
    return localtime(value).isoformat(sep=" ") if value else ""


def text_cell(mask: Callable[[str], str] | None = None) -> Cell:
    """Return what writes a text, masked, that no spreadsheet takes for a formula."""
    if mask is None:
        return lambda value: disarm(value or "")
    return lambda value: disarm(mask(value) if value else "")


def _cell(column: str) -> Cell:
    """Return what writes a value of that column."""
    if column in _NOT_TEXT:
        return plain_cell
    return time_cell if column in _TIMES else text_cell(MASKED.get(column))
