"""Rows as `COPY … (FORMAT text)` reads them: the hot path of a load.

A reader promises that the texts of a row hold no control characters, so most rows need
no escaping; whatever could be misread goes the careful way. Pure.
"""

from collections.abc import Iterable
from typing import Final

from ingestion.sources.base import Row

#: What stands for NULL; no text of a row may be this one.
NULL: Final = "\x02"
COLUMNS: Final = (
    *("txn_id", "source_txn_id", "reference_id", "account_id"),
    *("counterparty_account", "vpa_or_ifsc", "amount", "currency", "status"),
    *("direction", "txn_timestamp", "row_hash", "raw_row"),
)
_TABS: Final = len(COLUMNS) - 2
_ESCAPES: Final = str.maketrans(
    {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", NULL: r"\x02"}
)


def copy_text(rows: Iterable[Row]) -> bytes:
    """Return the rows as one COPY stream in UTF-8, in the order of `COLUMNS`."""
    # One text of all lines would take four bytes a character for a single emoji.
    return b"".join(map(str.encode, map(_line, rows)))


def _line(row: Row) -> str:
    txn_id, source_id, reference, account, other, place, amount = row[1:8]
    currency, status, direction, moment, raw_row, digest = row[8:14]
    # One format, and texts by `!s`: what a row costs here is nearly all of it.
    head = (
        f"{txn_id}\t{source_id}\t{NULL if reference is None else reference}\t"
        f"{NULL if account is None else account}\t{NULL if other is None else other}\t"
        f"{NULL if place is None else place}\t{amount!s}\t{currency}\t{status}\t"
        f"{direction}\t{moment!s}\t"
    )
    if "\\" in head or "\n" in head or "\r" in head or head.count("\t") != _TABS:
        return _careful(row)
    if "\\" in raw_row:
        raw_row = raw_row.replace("\\", "\\\\")
    return f"{head}\\\\x{digest.hex()}\t{raw_row}\n"


def _careful(row: Row) -> str:
    fields = [
        *(row.txn_id, row.source_txn_id, row.reference_id),
        *(row.account_id, row.counterparty_account, row.vpa_or_ifsc, str(row.amount)),
        *(row.currency, row.status, row.direction, str(row.txn_timestamp)),
        *(f"\\x{row.row_hash.hex()}", row.raw_row),
    ]
    told = (NULL if text is None else text.translate(_ESCAPES) for text in fields)
    return "\t".join(told) + "\n"
