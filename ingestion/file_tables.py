"""The tables on the page of a file, with accounts masked."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from django.template.loader import render_to_string

from ingestion.masking import mask_account, mask_id, mask_text, mask_value
from ingestion.models import (
    REASON,
    TOTAL,
    FileFault,
    IngestedFile,
    KeptOutRow,
    Statement,
)
from ingestion.selectors import faults_of, statements_of
from ingestion.sources.base import Control, Reason

#: Rows of each table; the artifacts have them all.
MOST_SHOWN: Final = 100
_CONTROLS: Final = {control.value: control.sentence for control in Control}
_SENTENCES: Final = {
    **{reason.value: reason.sentence for reason in Reason},
    "conflicting": "The id is known with other content, which stays as it was.",
}


def faults_table(file: IngestedFile) -> str:
    """Return the first faults as a table."""
    return _table(
        "faults",
        ("Line", "Control", "The file says", "Found", "Settled", "Meaning"),
        [fault_cells(fault) for fault in faults_of(file, most=MOST_SHOWN)],
        numbers=(0,),
        breakable=(5,),
        total=file.fault_count,
        empty="It holds what it says.",
    )


def fault_cells(fault: FileFault) -> tuple[Any, ...]:
    """Return what is shown of a fault."""
    settled = f"{fault.settled_at:%Y-%m-%d}" if fault.settled_at else ""
    said, found = fault.expected or "–", fault.found or "–"
    return fault.line, fault.control, said, found, settled, meaning(fault)


def meaning(fault: FileFault) -> str:
    """Return what does not hold, in words."""
    return _CONTROLS[fault.control]


def statements_table(file: IngestedFile) -> str:
    """Return the first statements with their balances as a table."""
    return _table(
        "statements",
        (
            *("Account", "Statement", "No.", "Opening", "Credits", "Debits"),
            *("Closing", "", "Until", "Rows"),
        ),
        [statement_cells(row) for row in statements_of(file, most=MOST_SHOWN)],
        numbers=(2, 3, 4, 5, 6, 9),
        total=file.statement_count,
        empty=_not_yet(file) or "It has no statements.",
    )


def statement_cells(row: Statement) -> tuple[Any, ...]:
    """Return what is shown of a statement."""
    return (
        mask_account(row.account_id),
        mask_text(row.statement_id),
        "" if row.number is None else row.number,
        money(row.opening),
        money(row.credits),
        money(row.debits),
        money(row.closing),
        row.currency,
        "" if row.closing_date is None else row.closing_date.isoformat(),
        f"{row.rows:,}",
    )


def money(amount: Decimal | None) -> str:
    """Return an amount with all its digits, in groups."""
    return "–" if amount is None else f"{amount:,f}"


def totals_table(file: IngestedFile) -> str:
    """Return what the accepted rows add up to as a table."""
    rows = [dict(zip(TOTAL, entry, strict=True)) for entry in file.totals]
    return _table(
        "totals",
        ("Currency", "Status", "", "Rows", "Amount"),
        [
            (
                *(row["currency"], row["status"]),
                {"C": "credits", "D": "debits"}.get(row["direction"], ""),
                *(f"{row['rows']:,}", money(Decimal(row["amount"]))),
            )
            for row in rows
        ],
        numbers=(3, 4),
        empty=_not_yet(file) or "It has no rows.",
    )


def reasons_table(file: IngestedFile) -> str:
    """Return for which reasons how many rows need a look as a table."""
    rows = [dict(zip(REASON, entry, strict=True)) for entry in file.reasons]
    return _table(
        "reasons",
        ("Rows", "Why", "Reason", "Meaning"),
        [
            (
                *(f"{row['rows']:,}", row["why"], row["reason"]),
                _SENTENCES.get(row["reason"], ""),
            )
            for row in rows
        ],
        numbers=(0,),
        breakable=(3,),
        empty=_not_yet(file) or "No row needs a look.",
    )


def kept_out_table(file: IngestedFile) -> str:
    """Return the first rows that need a look as a table."""
    found = KeptOutRow.objects.filter(file=file).order_by("line", "id")
    return _table(
        "kept-out",
        ("Line", "Why", "Column", "Reason", "Value"),
        [
            (row.line, row.why, row.column or "–", row.reason, masked_value(row)[:120])
            for row in found[:MOST_SHOWN]
        ],
        numbers=(0,),
        breakable=(4,),
        empty=_not_yet(file) or "No row was kept out.",
    )


def _not_yet(file: IngestedFile) -> str:
    """Return why nothing is known of a file's rows; "" if it is."""
    if file.state == IngestedFile.State.QUARANTINED:
        return "Nothing is loaded: its rows are counted once it is released."
    return "Not known yet." if file.loaded_at is None else ""


def masked_value(row: KeptOutRow) -> str:
    """Return the offending value with any account in it masked."""
    if row.column == "txn_id":
        return mask_id(row.value)
    return str(mask_value(row.column, row.value)) if row.value else ""


def _table(
    name: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    numbers: Sequence[int],
    breakable: Sequence[int] = (),
    empty: str,
    total: int = 0,
) -> str:
    context = {
        "name": name,
        "heads": heads,
        "rows": rows,
        "numbers": numbers,
        "breakable": breakable,
        "empty": empty,
        "more": max(0, total - len(rows)),
    }
    return render_to_string("admin/ingestion/table.html", context)
