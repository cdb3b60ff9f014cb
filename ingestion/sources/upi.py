"""The UPI CSV layout: `docs/formats.md` describes it for the people who send files."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from operator import itemgetter
from unicodedata import is_normalized, normalize

from ingestion.sources import fields
from ingestion.sources.base import FieldError, Position, Reason, Record, Reject, Row
from ingestion.sources.header import column_key, open_file, require_columns
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
HASH_VERSION = "upi:1"


def read(
    blocks: Iterable[bytes], *, resume: Position | None = None
) -> Iterator[Record]:
    """Yield one record for each row of a UPI file, in file order.

    With `resume`, `blocks` start at `resume.offset` and the header comes from it.
    Raises SourceError, before the first record, if the whole file is unusable.
    """
    reader = _reader(blocks, resume)
    layout = UpiLayout(reader.header)
    for line, outcome in reader:
        row, reject = layout.judge(line, outcome)
        yield Record(line, reader.line, reader.offset, reader.header, row, reject)


def _reader(blocks: Iterable[bytes], resume: Position | None) -> RecordReader:
    if resume is None:
        return open_file(blocks, COLUMNS)
    return RecordReader(
        blocks, offset=resume.offset, line=resume.line, header=resume.header
    )


class UpiLayout:
    """The rules of a UPI row under one header."""

    def __init__(self, header: tuple[str, ...]):
        require_columns(header, REQUIRED)
        self._header = header
        place = {column_key(name): index for index, name in enumerate(header)}
        # A column the file lacks points at the blank that `parse` appends.
        self._pick = itemgetter(*(place.get(name, -1) for name in COLUMNS))

    def judge(self, line: int, outcome: Outcome) -> tuple[Row | None, Reject | None]:
        """Return the row or the reject that a CSV record amounts to."""
        if isinstance(outcome, Reject):
            return None, outcome
        try:
            return self.parse(outcome), None
        except FieldError as error:
            return None, Reject(line, error.column, error.reason, error.value)

    def parse(self, cells: list[str]) -> Row:
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
        if reference is None and status not in STATUSES_WITHOUT_RRN:
            raise FieldError("rrn", Reason.MISSING_VALUE, "")
        account_id, _ = fields.split_vpa(payer)
        counterparty_account, vpa_or_ifsc = fields.split_vpa(payee)
        payment = (txn_id, rrn, payer, payee, str(money), currency, status, DIRECTION)
        digest = row_hash(*payment, instant.isoformat(), remarks)
        return Row(
            txn_id,
            txn_id,
            reference,
            account_id,
            counterparty_account,
            vpa_or_ifsc,
            money,
            currency,
            status,
            DIRECTION,
            instant,
            dict(zip(self._header, cells, strict=True)),
            digest,
        )


def row_hash(*canonical: str) -> bytes:
    """Return the SHA-256 of canonical fields: equal for rows that say the same.

    Text is brought to Unicode form C; free text must come last, for it alone may hold
    the separator.
    """
    text = "\x1f".join((HASH_VERSION, *canonical))
    if not text.isascii() and not is_normalized("NFC", text):
        text = normalize("NFC", text)
    return sha256(text.encode()).digest()
