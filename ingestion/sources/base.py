"""The types that every source reader shares.

A reader turns the bytes of one file into records. It never opens anything, never
reads the clock and never touches the database: bytes in, records out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, Self

MAX_VALUE_CHARS = 200


class _Explained(StrEnum):
    """A code that carries the sentence which explains it."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member


class Reason(_Explained):
    """Why one row was rejected while the rest of its file was kept."""

    INVALID_UTF8 = "invalid_utf8", "The row has bytes that are not UTF-8."
    NUL_BYTE = "nul_byte", "The row has a NUL byte."
    WRONG_FIELD_COUNT = (
        "wrong_field_count",
        "The row has more or fewer fields than the header.",
    )
    FIELD_TOO_LONG = (
        "field_too_long",
        "A field is longer than 65,536 characters, or the row than 2 MiB.",
    )
    UNCLOSED_QUOTE = (
        "unclosed_quote",
        "A quote opens in this line and no later line closes it properly.",
    )
    MALFORMED_CSV = (
        "malformed_csv",
        "A quote stands where CSV allows none, or a carriage return inside the line.",
    )
    MISSING_VALUE = "missing_value", "A required field is blank."
    INVALID_ID = (
        "invalid_id",
        "The id is not 1 to 64 characters out of letters, digits and . _ / -",
    )
    EXCEL_DAMAGED_ID = (
        "excel_damaged_id",
        "A spreadsheet rounded the id to a form like 1.23457E+15.",
    )
    INVALID_RRN = "invalid_rrn", "The RRN is not exactly 12 digits."
    INVALID_VPA = (
        "invalid_vpa",
        "The address is neither name@handle nor account@IFSC.ifsc.npci.",
    )
    INVALID_AMOUNT = (
        "invalid_amount",
        "The amount is not plain digits, well-formed grouping and a decimal point.",
    )
    NEGATIVE_AMOUNT = "negative_amount", "The amount has a minus sign."
    ZERO_AMOUNT = "zero_amount", "The amount is zero."
    UNSUPPORTED_PRECISION = (
        "unsupported_precision",
        "The amount has more than two decimals, or more than its currency has.",
    )
    AMOUNT_TOO_LARGE = (
        "amount_too_large",
        "The amount has more than 16 digits before the decimal point.",
    )
    INVALID_CURRENCY = "invalid_currency", "The currency is not an ISO 4217 code."
    INVALID_STATUS = "invalid_status", "The status is not one of the known words."
    INVALID_TIMESTAMP = (
        "invalid_timestamp",
        "The time has another layout, or names a moment that does not exist.",
    )


class FileFault(_Explained):
    """Why a whole file was refused."""

    EMPTY_FILE = "empty_file", "The file has no header."
    WRONG_HEADER = "wrong_header", "The first row has no known column name."
    MISSING_COLUMN = "missing_column", "The header lacks a required column."
    DUPLICATE_COLUMN = "duplicate_column", "The header names a column twice."
    TOO_MANY_COLUMNS = "too_many_columns", "The header has more than 500 columns."
    UNSUPPORTED_ENCODING = "unsupported_encoding", "The file is not UTF-8."
    COMPRESSED_FILE = "compressed_file", "The file is compressed."
    NOT_TEXT = "not_text", "The file is binary, such as a PDF or a workbook."


class SourceError(Exception):
    """The whole file cannot be read; the message says what to do about it."""

    def __init__(self, code: FileFault, message: str, column: str | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.column = column


class FieldError(Exception):
    """One field of one row breaks a rule."""

    def __init__(self, column: str, reason: Reason, value: str):
        super().__init__(f"{column}: {reason}")
        self.column = column
        self.reason = reason
        self.value = value


class Row(NamedTuple):
    """One accepted row, in the terms of `fintech_transactions`.

    `amount` has exactly two decimals, `txn_timestamp` is in UTC, `row_hash` has 32
    bytes, and `raw_row` maps every column of the file to its text as given.
    """

    txn_id: str
    source_txn_id: str
    reference_id: str | None
    account_id: str | None
    counterparty_account: str | None
    vpa_or_ifsc: str | None
    amount: Decimal
    currency: str
    status: str
    direction: str
    txn_timestamp: datetime
    raw_row: Mapping[str, str]
    row_hash: bytes


class Reject(NamedTuple):
    """One refused row; `value` is safe to store as PostgreSQL text or JSON."""

    line: int
    column: str | None
    reason: Reason
    value: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading goes on: byte offset, its 1-based line, and the header."""

    offset: int
    line: int
    header: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the position as a JSON object, for a checkpoint."""
        return {"offset": self.offset, "line": self.line, "header": list(self.header)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the position that `to_json` wrote."""
        return cls(int(data["offset"]), int(data["line"]), tuple(data["header"]))


class Record(NamedTuple):
    """One record of a file: exactly one of `row` and `reject` is set."""

    line: int
    next_line: int
    end_offset: int
    header: tuple[str, ...]
    row: Row | None
    reject: Reject | None

    @property
    def position(self) -> Position:
        """Return where a later run resumes after this record."""
        return Position(self.end_offset, self.next_line, self.header)


class Reader(Protocol):
    """The one function that a source file offers."""

    def __call__(
        self, blocks: Iterable[bytes], *, resume: Position | None = None
    ) -> Iterator[Record]:
        """Yield the records of `blocks`, which start at `resume` if it is given."""


def visible(text: str) -> str:
    """Return `text` with unprintable characters escaped, 200 characters at most."""
    head = text[:MAX_VALUE_CHARS]
    if not head.isprintable():
        head = "".join(c if c.isprintable() else _escaped(c) for c in head)
    return head[:MAX_VALUE_CHARS]


def _escaped(char: str) -> str:
    # A byte that was not UTF-8 arrives as a lone surrogate, U+DC80 to U+DCFF.
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
