"""The types that every source reader shares.

A reader turns the bytes of one file into records: rows, rejects, statements with their
balances, and faults of control totals. It never opens anything, never reads the clock
and never touches the database: bytes in, records out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any, NamedTuple, Protocol, Self
from unicodedata import is_normalized, normalize

MAX_VALUE_CHARS = 200
#: A longer row is not kept as it stood when it is refused.
MAX_RAW_BYTES = 1 << 16


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

    INVALID_UTF8 = "invalid_utf8", "The row has bytes that are no text."
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
    OUTSIDE_FIELD = "outside_field", "The line belongs to no field of the format."
    UNKNOWN_FIELD = "unknown_field", "The format has no such field or record."
    MALFORMED_FIELD = (
        "malformed_field",
        "The field or record has another layout than its format gives it.",
    )
    REPEATED_FIELD = (
        "repeated_field",
        "The field stands a second time in one statement.",
    )
    OUTSIDE_STATEMENT = (
        "outside_statement",
        "The entry or field stands outside of any statement.",
    )
    INVALID_TYPE = (
        "invalid_type",
        "The type code is not of a movement of money, or nobody says which way.",
    )
    NO_MONEY = "no_money", "The entry tells something but moves no money."
    NOT_BOOKED = (
        "not_booked",
        "The entry's group is a test, or takes back what was reported before.",
    )
    INVALID_DIRECTION = (
        "invalid_direction",
        "The entry, or a transaction of it, is not clearly a credit or a debit.",
    )
    TOLD_TWICE = "told_twice", "The entry has two elements where only one may be."
    ENTRY_TOO_LONG = (
        "entry_too_long",
        "The entry, its transactions not counted, is longer than 1 MiB.",
    )
    # These are only flags: the row is kept.
    ROWS_INSIDE = (
        "rows_inside",
        "A quoted field of the row holds lines that look like rows of their own.",
    )
    DETAILS_DIFFER = (
        "details_differ",
        "The transactions of the entry do not add up to it, so it is one row.",
    )
    DETAILS_LEFT_OUT = (
        "details_left_out",
        "The transactions of the entry are too long to be told apart.",
    )
    DETAIL_COUNT = (
        "detail_count",
        "The entry stands for another number of transactions than it lists.",
    )
    INFORMATION_ONLY = (
        "information_only",
        "The entry is told for information: nothing was booked.",
    )
    COPY_OR_DUPLICATE = (
        "copy_or_duplicate",
        "The statement is marked as a copy or duplicate of one that was sent before.",
    )
    UNKNOWN_VERSION = (
        "unknown_version",
        "The message is of a version that this reader was not written for.",
    )
    EXCEL_SERIAL_DATE = (
        "excel_serial_date",
        "A spreadsheet wrote the number that it keeps for a day.",
    )
    INVALID_SIDE = (
        "invalid_side",
        "Nothing known says whether the amount is a debit or a credit.",
    )
    BOTH_SIDES = "both_sides", "The row has a debit and a credit."
    INVALID_REFERENCE = (
        "invalid_reference",
        "The reference has another form than its network gives.",
    )
    INVALID_IFSC = (
        "invalid_ifsc",
        "The IFSC is not 4 letters, a zero and 6 letters or digits.",
    )
    INVALID_ACCOUNT = "invalid_account", "The account is longer than 64 characters."


class FileFault(_Explained):
    """Why a whole file was refused."""

    EMPTY_FILE = "empty_file", "The file has no header."
    WRONG_HEADER = "wrong_header", "The first row has no known column name."
    MISSING_COLUMN = "missing_column", "The header lacks a required column."
    DUPLICATE_COLUMN = "duplicate_column", "The header names a column twice."
    TOO_MANY_COLUMNS = "too_many_columns", "The header has more than 500 columns."
    UNSUPPORTED_ENCODING = "unsupported_encoding", "The file is not UTF-8."
    COMPRESSED_FILE = (
        "compressed_file",
        "The file is compressed twice, or neither with gzip nor with zip.",
    )
    DAMAGED_ARCHIVE = "damaged_archive", "The compressed file is cut off or damaged."
    UNUSABLE_ARCHIVE = (
        "unusable_archive",
        "The zip does not hold exactly one plain, unencrypted file.",
    )
    ARCHIVE_TOO_LARGE = (
        "archive_too_large",
        "The compressed file unpacks to more than is allowed.",
    )
    NOT_TEXT = "not_text", "The file is binary, such as a PDF or a workbook."
    WRONG_FORMAT = "wrong_format", "The file is not of the format that its source says."
    NOT_XML = "not_xml", "The file is not well-formed XML."
    UNSAFE_XML = "unsafe_xml", "The file declares a document type or entities."
    WRONG_MESSAGE = (
        "wrong_message",
        "The file holds another message than the one its source is for.",
    )


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


class Control(_Explained):
    """What a file says about itself as a whole and does not hold."""

    ROW_COUNT = "row_count", "The trailer counts other rows than the file has."
    CREDIT_SUM = "credit_sum", "The credits do not add up to the sum that is given."
    DEBIT_SUM = "debit_sum", "The debits do not add up to the sum that is given."
    TOTAL_SUM = "total_sum", "The amounts do not add up to the sum that is given."
    CLOSING_BALANCE = (
        "closing_balance",
        "The opening balance and the movements do not lead to the closing balance.",
    )
    OPENING_BALANCE = (
        "opening_balance",
        "A page does not begin with the balance that the page before ends with.",
    )
    MISSING_BALANCE = (
        "missing_balance",
        "The statement lacks its opening or its closing balance.",
    )
    PAGE = "page", "A page of the statement is missing."
    RUNNING_BALANCE = (
        "running_balance",
        "The balance of a row does not follow from the row before.",
    )
    UNREADABLE = "unreadable", "A balance or sum that the file states is not readable."
    UNFINISHED = "unfinished", "The file ends before its last statement or trailer."
    # These show between files, and keep none out.
    STATEMENT_GAP = (
        "statement_gap",
        "The number of the statement does not follow from the account's one before.",
    )
    STATEMENT_REPEAT = (
        "statement_repeat",
        "The account has another statement with that number, and it says otherwise.",
    )
    CARRIED_BALANCE = (
        "carried_balance",
        "The opening balance is not what the account's statement before closed with.",
    )


class Flag(NamedTuple):
    """A doubt about a row that was accepted all the same."""

    column: str
    reason: Reason
    value: str


class Row(NamedTuple):
    """One accepted row, in the terms of `fintech_transactions`.

    `line` is the first line, or the number of the record, that it stands in. Texts hold
    no control characters. `amount` has two decimals at most and is not negative,
    `direction` is `C` or `D`, `txn_timestamp` knows its zone, `row_hash` has 32 bytes,
    and `raw_row` is a JSON object of everything that the file says about it, as given.
    """

    line: int
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
    raw_row: str
    row_hash: bytes
    flags: tuple[Flag, ...] = ()


class Reject(NamedTuple):
    """One refused row; `value` is safe to store as PostgreSQL text or JSON.

    `raw` are the bytes that it stands in, with the end of their line, where the source
    has a `head`; None if they are more than `MAX_RAW_BYTES`.
    """

    line: int
    column: str | None
    reason: Reason
    value: str
    raw: bytes | None = None


class Statement(NamedTuple):
    """An account's statement, once it was read to its end.

    Balances and sums have a sign: what the holder has is positive, and so are credits;
    `debits` is the sum of the amounts taken, positive too. None where the file is mute.
    """

    line: int
    account_id: str
    statement_id: str
    number: int | None
    currency: str
    opening: Decimal | None
    closing: Decimal | None
    opening_date: date | None
    closing_date: date | None
    rows: int
    credits: Decimal
    debits: Decimal


class Fault(NamedTuple):
    """A control total that does not hold; `line` is where the file states it."""

    line: int
    control: Control
    expected: str
    found: str


Record = Row | Reject | Statement | Fault


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading goes on: byte offset, its 1-based line, and what the reader knows.

    `state` is the reader's own, of JSON values: a header, running sums.
    """

    offset: int
    line: int
    state: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the position as a JSON object, for a checkpoint."""
        return {"offset": self.offset, "line": self.line, "state": dict(self.state)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the position that `to_json` wrote."""
        return cls(int(data["offset"]), int(data["line"]), data["state"])


class Reading(Protocol):
    """The records of one file, in its order."""

    def __iter__(self) -> Iterator[Record]:
        """Yield the records; raises SourceError if the whole file is of no use."""

    @property
    def offset(self) -> int:
        """Return how many bytes of the file were read up to there."""

    @property
    def position(self) -> Position:
        """Return where a later reading goes on after the record yielded last."""


class Read(Protocol):
    """How a source is read: the one function that its file offers."""

    def __call__(
        self, blocks: Iterable[bytes], *, resume: Position | None = None
    ) -> Reading:
        """Return the records of `blocks`, which start at `resume.offset`.

        Without `resume` they are the whole file, from its first byte.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A format by its name."""

    name: str
    read: Read
    #: Returns the bytes before the first row, which make a file of the source of any of
    #: its rows; None where rows are no good without the others.
    head: Callable[[Iterable[bytes]], bytes] | None = None
    #: Another one wherever the same bytes are read otherwise than before: what was
    #: loaded by an older version is not taken for the same as a file that comes now.
    version: str = "1"
    #: Its files state totals or balances: they are checked before anything is loaded.
    has_totals: bool = False


def raw_json(values: Any) -> str:
    """Return values for a `raw_row`: JSON without escapes where Unicode needs none."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=str)


class RawRow:
    """Writes the `raw_row` of a file's rows: its columns with their texts as given."""

    def __init__(self, header: Sequence[str]) -> None:
        names = (raw_json(name).replace("%", "%%") for name in header)
        self._format = "{" + ",".join(f"{name}:%s" for name in names) + "}"

    def json(self, cells: Sequence[str]) -> str:
        """Return the JSON object of one row, whose cells are as many as the columns."""
        return self._format % tuple(map(encode_basestring, cells))


def holding_rows(row: Row, header: Sequence[str], cells: Sequence[str]) -> Row:
    """Return a row with the doubt that one of its cells holds other rows."""
    place = next((at for at, cell in enumerate(cells) if "\n" in cell), None)
    if place is None:
        return row
    flag = Flag(header[place], Reason.ROWS_INSIDE, visible(cells[place]))
    return row._replace(flags=(*row.flags, flag))


def row_hash(version: str, *canonical: str) -> bytes:
    """Return the SHA-256 of canonical fields: equal for rows that say the same.

    Text is brought to Unicode form C; free text must come last, for it alone may hold
    the separator. `version` names the fields and the rules they were brought to.
    """
    text = "\x1f".join((version, *canonical))
    if not text.isascii() and not is_normalized("NFC", text):
        text = normalize("NFC", text)
    return sha256(text.encode()).digest()


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
