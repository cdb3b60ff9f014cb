"""Dialects and the records of texts, for the tests of delimited sources."""

from collections.abc import Iterable, Iterator
from typing import Any

from ingestion.sources.base import Position, Source
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.source import source_of
from tests.readings import Found, records

#: A statement with everything: separate amounts, balances, narrations that go on.
STATEMENT: dict[str, Any] = {
    "name": "BANK",
    "delimiters": [",", ";"],
    "encodings": ["utf-8", "cp1252", "utf-16"],
    "search_lines": 10,
    "trailer": ["End of statement"],
    "columns": {
        "date": ["Date", "Txn Date"],
        "narration": ["Narration"],
        "reference": ["Ref No."],
        "value_date": ["Value Date"],
        "debit": ["Debit (INR)"],
        "credit": ["Credit (INR)"],
        "balance": ["Balance"],
    },
    "required": ["narration", "balance"],
    "extractors": ["rtgs_utr", "neft_utr", "upi_rrn", "imps_rrn"],
    "dates": ["DD/MM/YYYY", "DD-Mon-YYYY"],
    "continued": True,
    "labels": {
        "account": ["Account No"],
        "opening": ["Opening Balance"],
        "closing": ["Closing Balance"],
        "debit_sum": ["Debits"],
        "credit_sum": ["Credits"],
        "row_count": ["Rows"],
        "totals": ["Total"],
    },
}
#: Payments of a network: ids, statuses, one amount.
PAYMENTS: dict[str, Any] = {
    "name": "NET",
    "columns": {
        "id": ["Txn ID"],
        "reference": ["RRN"],
        "account": ["From"],
        "counterparty": ["To"],
        "ifsc": ["IFSC"],
        "vpa": ["VPA"],
        "amount": ["Amount"],
        "currency": ["Currency"],
        "status": ["Status"],
        "date": ["Date"],
        "time": ["Time"],
        "narration": ["Remarks"],
    },
    "direction": "debit",
    "status_words": {"SUCCESS": ["OK", "00"], "FAILED": ["NO"], "PENDING": ["WAIT"]},
    "dates": ["YYYY-MM-DD"],
}
HEADER = "Date,Narration,Ref No.,Value Date,Debit (INR),Credit (INR),Balance"


def source(base: dict[str, Any], **changes: Any) -> Source:
    """Return the source of a dialect, changed as asked; `columns` are merged."""
    return source_of(Dialect.from_json(definition(base, **changes)))


def definition(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the JSON of a dialect, changed as asked; a column of None is dropped."""
    columns = {**base["columns"], **changes.pop("columns", {})}
    kept = {name: told for name, told in columns.items() if told is not None}
    return {**base, **changes, "columns": kept}


def read(of: Source, data: str | bytes, resume: Position | None = None) -> list[Found]:
    """Return what a source finds in a text."""
    raw = data.encode() if isinstance(data, str) else data
    return records(of.read, [raw], resume)


def told(found: Iterable[Found]) -> Iterator[Any]:
    """Yield the records without their positions."""
    return (item.record for item in found)
