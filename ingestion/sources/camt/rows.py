"""The rows of an entry: one for each transaction of a batch, else one.

Money moves by the entry. Its transactions may divide it among themselves only if they
add up to it; else the entry stays whole, and a flag says so.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from ingestion.sources.base import Reason, Reject, Row, row_hash
from ingestion.sources.camt import keys
from ingestion.sources.camt.division import Share, check_count, check_detail, shares
from ingestion.sources.camt.entries import Entry, Place, Tally
from ingestion.sources.camt.keys import KEYS, Keys
from ingestion.sources.camt.payments import Payment, first_reference, payment
from ingestion.sources.camt.raw import RawRows
from ingestion.sources.camt.values import first, reference
from ingestion.sources.camt.walk import MAX_PART_BYTES, Content, Detail

HASH_VERSION: Final = "camt:1"
_UNKNOWN: Final = Tally("", None, "", is_booked=False)
_RAW_ROWS: Final = RawRows()


class Part(NamedTuple):
    """What becomes one row: an entry, or one of its transactions."""

    line: int
    txn_id: str
    amount: Decimal
    direction: str
    #: What the file says about it.
    told: dict[str, str]
    payment: Payment
    texts: tuple[str, ...]


def judge(
    content: Content, place: Place, number: int, lines: tuple[int, int]
) -> tuple[Tally, list[Row | Reject]]:
    """Return what entry `number` adds to the sums, and its rows or its reject.

    `lines` are its own line and the last one that was given to a record: no two records
    have the same, also if the whole file is one line.
    """
    line = max(lines[0], lines[1] + 1)
    if content.is_too_long:
        return _UNKNOWN, [Reject(line, None, Reason.ENTRY_TOO_LONG, "")]
    entry = Entry(content.values, place)
    if entry.fault:
        return entry.tally, [Reject(line, *entry.fault)]
    parts = list(_parts(content, entry, f"{place.prefix}{number}", line))
    return entry.tally, [_row(part, entry, not k) for k, part in enumerate(parts)]


def _parts(content: Content, entry: Entry, txn_id: str, line: int) -> Iterator[Part]:
    check_count(entry, content)
    details, told = content.details, content.values
    part_keys: Keys | None = None
    if len(details) > 1:
        if divided := shares(entry, details):
            yield from _divided(content, entry, divided, txn_id, line)
            return
        entry.flag("NtryDtls/TxDtls", Reason.DETAILS_DIFFER)
        told = told | _numbered(entry, details)
    elif details:
        check_detail(entry, details[0])
        told, part_keys = told | details[0].values, KEYS[details[0].path]
    elif content.detail_count:
        entry.flag("NtryDtls/TxDtls", Reason.DETAILS_LEFT_OUT)
    yield _whole(entry, told, part_keys, txn_id, line)


def _whole(
    entry: Entry, told: dict[str, str], part_keys: Keys | None, txn_id: str, line: int
) -> Part:
    """Return the part that is a whole entry, with its one transaction if it has one."""
    if part_keys is None:
        texts = keys.ENTRY_TEXTS
        found = Payment("", "", "", "")
    else:
        texts = part_keys.texts
        found = _payment(entry, told, part_keys, entry.direction)
    bank_reference, own_reference, counterparty, vpa_or_ifsc = found
    found = Payment(
        reference(told.get("AcctSvcrRef")) or bank_reference,
        own_reference or first_reference(told, keys.BATCH_REFERENCES),
        counterparty,
        vpa_or_ifsc,
    )
    return Part(line, txn_id, entry.amount, entry.direction, told, found, texts)


def _divided(
    content: Content, entry: Entry, divided: Sequence[Share], txn_id: str, line: int
) -> Iterator[Part]:
    line -= 1
    for number, (amount, direction) in enumerate(divided, 1):
        detail = content.details[number - 1]
        line = max(line + 1, detail.line)
        part_keys, told = KEYS[detail.path], content.values | detail.values
        found = _payment(entry, told, part_keys, direction)
        part_id = f"{txn_id}.{number}"
        yield Part(line, part_id, amount, direction, told, found, part_keys.texts)


def _payment(
    entry: Entry, told: dict[str, str], part_keys: Keys, direction: str
) -> Payment:
    is_return = entry.status == "REVERSED" or not told.keys().isdisjoint(
        part_keys.returns
    )
    return payment(
        told,
        part_keys,
        entry.place.account,
        is_credit=direction == "C",
        is_return=is_return,
    )


def _numbered(entry: Entry, details: Sequence[Detail]) -> dict[str, str]:
    """Return what transactions say that stay together, as far as there is room."""
    told: dict[str, str] = {}
    size = 0
    for number, (_, path, said) in enumerate(details, 1):
        size += sum(map(len, said)) + sum(map(len, said.values()))
        if size > MAX_PART_BYTES:
            entry.flag("NtryDtls/TxDtls", Reason.DETAILS_LEFT_OUT, f"{number - 1}")
            break
        told |= {f"{path}[{number}]{key[len(path) :]}": said[key] for key in said}
    return told


def _row(part: Part, entry: Entry, is_first: bool) -> Row:
    line, txn_id, amount, direction, told, found, texts = part
    source_txn_id = found.bank_reference or txn_id
    account = entry.place.account
    digest = row_hash(
        HASH_VERSION,
        txn_id,
        source_txn_id,
        found.reference,
        account,
        found.counterparty,
        found.vpa_or_ifsc,
        str(amount),
        entry.currency,
        entry.status,
        direction,
        entry.moment.isoformat(),
        first(told, keys.VALUE_DATE),
        *[told[key].strip() if key in told else "" for key in texts],
    )
    return Row(
        line,
        txn_id,
        source_txn_id,
        found.reference or None,
        account or None,
        found.counterparty or None,
        found.vpa_or_ifsc or None,
        amount,
        entry.currency,
        entry.status,
        direction,
        entry.moment,
        _RAW_ROWS.json(told),
        digest,
        tuple(entry.flags) if is_first else (),
    )
