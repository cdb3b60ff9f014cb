"""The UPI CSV layout: `docs/formats.md` describes it for the people who send files."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from operator import itemgetter

from ingestion.sources import fields
from ingestion.sources.base import (
    FieldError,
    Position,
    RawRow,
    Reason,
    Reject,
    Row,
    Source,
    holding_rows,
    row_hash,
    visible,
)
from ingestion.sources.header import (
    column_key,
    head_of,
    open_file,
    require_columns,
)
from ingestion.sources.lines import Outcome, RecordReader

REQUIRED = (
    "txn_id",
    "rrn",
    "payer_vpa",
    "payee_vpa",
    "amount",
    "status",
    "txn_timestamp",
)
OPTIONAL = ("currency", "remarks")
COLUMNS = REQUIRED + OPTIONAL
# The payer is the account holder of every row, so money always leaves the account.
DIRECTION = "D"
# A payment that did not complete need not have a retrieval reference number.
STATUSES_WITHOUT_RRN = frozenset({"PENDING", "FAILED"})
HASH_VERSION = "upi:2"
#: The hash is over India time, in which nearly all files tell it.
_INDIA = timezone(timedelta(hours=5, minutes=30))


class UpiReading:
    """The records of a UPI file."""

    def __init__(self, blocks: Iterable[bytes], resume: Position | None) -> None:
        self._blocks = blocks
        self._resume = resume
        self._reader: RecordReader | None = None

    def __iter__(self) -> Iterator[Row | Reject]:
        """Yield one record for each row, in file order.

        Raises SourceError, before the first one, if the whole file is unusable.
        """
        reader = self._reader = _opened(self._blocks, self._resume)
        layout = UpiLayout(reader.header)
        for line, outcome in reader:
            record = layout.judge(line, outcome)
            if type(record) is Reject:
                record = record._replace(raw=reader.raw)
            elif reader.holds_rows and type(record) is Row and type(outcome) is list:
                record = holding_rows(record, reader.header, outcome)
            yield record

    @property
    def offset(self) -> int:
        """Return how many bytes of the file were read up to there."""
        return 0 if self._reader is None else self._reader.offset

    @property
    def position(self) -> Position:
        """Return where a later reading goes on after the record yielded last."""
        if self._reader is None:
            return self._resume or Position(0, 1, {})
        return self._reader.position


def read(blocks: Iterable[bytes], *, resume: Position | None = None) -> UpiReading:
    """Return the records of a UPI file; see `Read`."""
    return UpiReading(blocks, resume)


def head(blocks: Iterable[bytes]) -> bytes:
    """Return the bytes of a UPI file up to its first row; raises SourceError."""
    return head_of(blocks, COLUMNS)


def _opened(blocks: Iterable[bytes], resume: Position | None) -> RecordReader:
    if resume is None:
        return open_file(blocks, COLUMNS)
    return RecordReader.resumed(blocks, resume)


_ADDRESS = (
    r"(?:[A-Za-z0-9._-]{2,256}@[A-Za-z0-9]{2,64}"
    r"|[A-Za-z0-9]{1,35}@[A-Za-z]{4}0[A-Za-z0-9]{6}\.(?:ifsc\.npci|IFSC\.npci))"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
#: How nearly every file spells each column, without blanks around.
_COMMON = {
    "txn_id": r"[A-Za-z0-9._/-]{1,64}",
    "rrn": r"[0-9]{12}",
    "payer_vpa": _ADDRESS,
    "payee_vpa": _ADDRESS,
    "amount": r"[0-9][0-9,]*\.[0-9]{2}",
    "currency": r"(?:INR)?",
    "status": r"[A-Za-z0-9]+",
    "txn_timestamp": r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}"
    rf"(?: {_CLOCK}|T{_CLOCK}Z)",
}
#: Characters of the longest amount that cannot be too large.
_PLAIN_AMOUNT = fields.MAX_WHOLE_DIGITS + len(".00")
_ANYTHING = r"[^\x1f]*"


class UpiLayout:
    """The rules of a UPI row under one header.

    `quick` reads the common spelling of a row, checked by one expression; `parse` any
    spelling, and says what is wrong. Where both read a row they agree.
    """

    def __init__(self, header: tuple[str, ...]):
        require_columns(header, REQUIRED)
        self._raw_row = RawRow(header)
        place = {column_key(name): index for index, name in enumerate(header)}
        # A column the file lacks points at the blank that is appended.
        self._pick = itemgetter(*(place.get(name, -1) for name in COLUMNS))
        # Cells are joined by what no text holds that is taken.
        common = (_COMMON.get(column_key(name), _ANYTHING) for name in header)
        self._common = re.compile("\x1f".join(common)).fullmatch

    def quick(self, line: int, cells: list[str]) -> Row | None:
        """Return the row of cells in the common spelling, None for any other."""
        if not self._common("\x1f".join(cells)):
            return None
        txn_id, rrn, payer, payee, amount, status, moment, _, remarks = self._pick(
            [*cells, ""]
        )
        normal = fields.STATUSES.get(status.upper())
        if normal is None:
            return None
        try:
            if "," in amount or amount[0] == "0" or len(amount) > _PLAIN_AMOUNT:
                money = fields.parse_amount("amount", amount, fields.DEFAULT_CURRENCY)
                amount = str(money)
            if moment[-1] == "Z":
                instant = datetime.fromisoformat(moment)
                moment = _local(instant)
            else:
                instant = datetime.fromisoformat(moment + fields.INDIA_OFFSET)
        except (FieldError, ValueError, OverflowError):
            return None
        payment = (txn_id, rrn, payer.lower(), payee.lower(), amount)
        terms = (fields.DEFAULT_CURRENCY, normal, instant, moment, remarks.strip())
        return self._row(line, self._raw_row.json(cells), *payment, *terms)

    def judge(self, line: int, outcome: Outcome) -> Row | Reject:
        """Return the row or the reject that a CSV record amounts to."""
        if isinstance(outcome, Reject):
            return outcome
        try:
            return self.quick(line, outcome) or self.parse(line, outcome)
        except FieldError as error:
            return Reject(line, error.column, error.reason, error.value)

    def parse(self, line: int, cells: list[str]) -> Row:
        """Return the row; raises FieldError for its first bad field.

        The order of the checks is the one that `docs/formats.md` promises.
        """
        txn_id, rrn, payer, payee, amount, status, moment, currency, remarks = map(
            str.strip, self._pick([*cells, ""])
        )
        txn_id = fields.parse_id("txn_id", txn_id)
        reference = fields.parse_rrn("rrn", rrn) if rrn else None
        payer = fields.parse_vpa("payer_vpa", payer)
        payee = fields.parse_vpa("payee_vpa", payee)
        currency = fields.parse_currency("currency", currency)
        money = fields.parse_amount("amount", amount, currency)
        status = fields.parse_status("status", status)
        instant = fields.parse_timestamp("txn_timestamp", moment)
        try:
            local = _local(instant)
        except OverflowError as error:  # the last hours of the year 9999
            column, reason = "txn_timestamp", Reason.INVALID_TIMESTAMP
            raise FieldError(column, reason, visible(moment)) from error
        if reference is None and status not in STATUSES_WITHOUT_RRN:
            raise FieldError("rrn", Reason.MISSING_VALUE, "")
        payment = (txn_id, rrn, payer, payee, str(money))
        terms = (currency, status, instant, local, remarks)
        return self._row(line, self._raw_row.json(cells), *payment, *terms)

    def _row(
        self,
        line: int,
        raw_row: str,
        txn_id: str,
        rrn: str,
        payer: str,
        payee: str,
        amount: str,
        currency: str,
        status: str,
        instant: datetime,
        local: str,
        remarks: str,
    ) -> Row:
        account_id, _ = fields.split_vpa(payer)
        counterparty_account, vpa_or_ifsc = fields.split_vpa(payee)
        payment = (txn_id, rrn, payer, payee, amount, currency, status, DIRECTION)
        return Row(
            line,
            txn_id,
            txn_id,
            rrn or None,
            account_id or payer,
            counterparty_account,
            vpa_or_ifsc,
            Decimal(amount),
            currency,
            status,
            DIRECTION,
            instant,
            raw_row,
            row_hash(HASH_VERSION, *payment, local, remarks),
        )


def _local(instant: datetime) -> str:
    """Return a moment as the hash has it: India time, without its offset."""
    return instant.astimezone(_INDIA).replace(tzinfo=None).isoformat(" ")


SOURCE = Source(name="UPI", read=read, head=head, version="3")
