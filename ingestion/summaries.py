"""The summary that lies beside a closed file: all that is known of it, as JSON.

It is written from the ledger, so that writing it again after an interruption changes
nothing.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from tempfile import TemporaryFile
from typing import Any, Final
from uuid import UUID

from ingestion.models import (
    REASON,
    TOTAL,
    FileFault,
    IngestedFile,
    KeptOutRow,
    Statement,
)
from ingestion.progress import Progress
from ingestion.reports import COUNTS, MORE_COUNTS
from ingestion.storage import Store
from jobs.handlers import JSONDict
from tenants.scoping import tenant_scope

FILE: Final = ("tenant_id", "state", "source", "path", "size", "content_digest")
FAULT: Final = ("line", "control", "expected", "found", "settled_at")
STATEMENT: Final = (
    *("line", "account_id", "statement_id", "number", "currency", "opening"),
    *("closing", "opening_date", "closing_date", "rows", "credits", "debits"),
)
_PAGE_ROWS: Final = 1000


def write_summary(store: Store, tenant: str, progress: Progress) -> None:
    """Write all that is known of a closed file beside it.

    Of one whose content was known there is nothing to add to the first one's.
    """
    with tenant_scope(tenant):
        file = IngestedFile.objects.get(pk=progress.file_id)
        told = _summary(file, progress)
    if file.same_as_id is not None:
        return
    with TemporaryFile("w+b") as content:
        for text in _document(file, told):
            content.write(text.encode())
        content.seek(0)
        store.write(file.summary_path, content)


def _summary(file: IngestedFile, progress: Progress) -> JSONDict:
    decided = {"at": file.decided_at, "by": file.decided_by, "why": file.decided_why}
    return {
        "format": 1,
        "file_id": file.pk,
        "job_id": file.job_id,
        **{name: getattr(file, name) for name in FILE},
        "received_at": file.created_at,
        "loaded_at": file.loaded_at,
        "released": decided if file.decision == "released" else None,
        "counts": _counts(file, progress),
        "totals": [dict(zip(TOTAL, entry, strict=True)) for entry in file.totals],
        "reasons": [dict(zip(REASON, entry, strict=True)) for entry in file.reasons],
    }


def _counts(file: IngestedFile, progress: Progress) -> JSONDict:
    counts = {name: getattr(file, name) for name in (*COUNTS, *MORE_COUNTS)}
    if file.corrections_path:
        rejected = KeptOutRow.objects.filter(file=file, why=KeptOutRow.Why.REJECTED)
        counts["left_out_of_corrections"] = rejected.filter(raw=None).count()
    return {"rows_read": progress.findings.rows, **counts}


def _document(file: IngestedFile, told: JSONDict) -> Iterator[str]:
    """Yield a JSON object in pieces: faults and statements may be many."""
    yield _json(told)[:-2]
    for name, entries in (
        ("faults", _entries(FileFault, file, "id", FAULT)),
        ("statements", _entries(Statement, file, "ordinal", STATEMENT)),
    ):
        yield f',\n  "{name}": ['
        separator = "\n    "
        for entry in entries:
            yield separator + json.dumps(entry, default=_plain, ensure_ascii=False)
            separator = ",\n    "
        yield "\n  ]"
    yield "\n}\n"


def _entries(
    model: Any, file: IngestedFile, order: str, names: tuple[str, ...]
) -> Iterator[JSONDict]:
    """Page through what belongs to a file, a short transaction each."""
    last = 0
    while True:
        with tenant_scope(file.tenant_id):
            rows = model.objects.filter(file=file, **{f"{order}__gt": last})
            page = list(rows.order_by(order).values(order, *names)[:_PAGE_ROWS])
        for row in page:
            yield {name: row[name] for name in names}
        if len(page) < _PAGE_ROWS:
            return
        last = page[-1][order]


def _json(value: JSONDict) -> str:
    return json.dumps(value, indent=2, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> str:
    match value:
        case Decimal():
            return format(value, "f")
        case date() | datetime():
            return value.isoformat()
        case UUID():
            return str(value)
    raise TypeError(f"{value!r} has no form in JSON")
