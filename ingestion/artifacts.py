"""The files that a load leaves beside the original: rejects, conflicts."""

import csv
import io
import re
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Final

from ingestion.models import KeptOutRow
from ingestion.storage import Store
from tenants.scoping import tenant_scope

HEADER: Final = ("line", "column", "reason", "value")
_PAGE_ROWS: Final = 10_000

# A spreadsheet runs a cell that starts like this; numbers stay as they are.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*\Z")


def write_kept_out(
    store: Store, *, tenant: str, file_id: int, why: KeptOutRow.Why, key: str
) -> str:
    """Write a file's kept-out rows as CSV and return its key; no rows, no file: "".

    Deterministic, so that writing it again changes nothing.
    """
    with TemporaryFile("w+b") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text)
        writer.writerow(HEADER)
        count = 0
        for row in _rows(tenant, file_id, why):
            writer.writerow((row.line, row.column, row.reason, disarm(row.value)))
            count += 1
        if not count:
            return ""
        file.seek(0)
        store.write(key, file)
    return key


def disarm(value: str) -> str:
    """Return a value that no spreadsheet takes for a formula."""
    if _FORMULA.match(value) and not _NUMBER.match(value):
        return "'" + value
    return value


def _rows(tenant: str, file_id: int, why: KeptOutRow.Why) -> Iterator[KeptOutRow]:
    """Page through the rows by line, a short transaction each."""
    line = -1
    while True:
        with tenant_scope(tenant):
            page = list(
                KeptOutRow.objects.filter(file_id=file_id, why=why, line__gt=line)
                .only("line", "column", "reason", "value")
                .order_by("line")[:_PAGE_ROWS]
            )
        yield from page
        if len(page) < _PAGE_ROWS:
            return
        line = page[-1].line
