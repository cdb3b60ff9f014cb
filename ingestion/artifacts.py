"""The files that a load leaves beside the original: its rows that need a look."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import Final

from django.db.models import Q

from ingestion.models import KeptOutRow
from ingestion.storage import Store
from tenants.scoping import tenant_scope

HEADER: Final = ("line", "column", "reason", "value")
#: Where jobs leave files; nobody else writes there.
FOLDERS: Final = (
    *("rejects", "conflicts", "flags", "corrections", "summaries"),
    "reports",
)
_PAGE_ROWS: Final = 10_000

# A spreadsheet runs a cell that starts like this; numbers stay as they are.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*\Z")


#: Endings of a name that tell what to open a file of rows with.
_TEXT_SUFFIXES: Final = {".csv", ".tsv", ".txt", ".psv"}


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


def write_corrections(
    store: Store, *, tenant: str, file_id: int, head: Callable[[], bytes], key: str
) -> str:
    """Write the rejected rows as they stood in the file, behind its own head.

    Returns the key; "" where there is no such row. `head` is called if there is one.
    """
    with TemporaryFile("w+b") as file:
        for row in _rows(tenant, file_id, KeptOutRow.Why.REJECTED, "raw"):
            if row.raw is None:
                continue
            if not file.tell():
                file.write(head())
            file.write(bytes(row.raw))
        if not file.tell():
            return ""
        file.seek(0)
        store.write(key, file)
    return key


def suffix_of(path: str) -> str:
    """Return the ending of the name of a file with rows of the file at `path`."""
    suffix = PurePosixPath(path.removesuffix(".gz")).suffix.lower()
    return suffix if suffix in _TEXT_SUFFIXES else ".csv"


def disarm(value: str) -> str:
    """Return a value that no spreadsheet takes for a formula."""
    if _FORMULA.match(value) and not _NUMBER.match(value):
        return "'" + value
    return value


def _rows(
    tenant: str, file_id: int, why: KeptOutRow.Why, *fields: str
) -> Iterator[KeptOutRow]:
    """Page through the rows in their order, a short transaction each."""
    line, last = -1, 0
    while True:
        behind = Q(line__gt=line) | Q(line=line, id__gt=last)
        with tenant_scope(tenant):
            rows = KeptOutRow.objects.filter(behind, file_id=file_id, why=why)
            rows = rows.only("line", *(fields or HEADER)).order_by("line", "id")
            page = list(rows[:_PAGE_ROWS])
        yield from page
        if len(page) < _PAGE_ROWS:
            return
        line, last = page[-1].line, page[-1].pk
