"""Whether the transactions of an entry divide it among themselves."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from ingestion.sources.base import Reason, visible
from ingestion.sources.camt import keys, values
from ingestion.sources.camt.entries import DIRECTIONS, Entry
from ingestion.sources.camt.keys import KEYS
from ingestion.sources.camt.walk import Content, Detail

_OPPOSITE: Final = {"C": "D", "D": "C"}


class Share(NamedTuple):
    """What one transaction has of an entry."""

    amount: Decimal
    direction: str


def shares(entry: Entry, details: Sequence[Detail]) -> list[Share]:
    """Return a share for each of several transactions; none if the entry stays whole.

    Either all move money like the entry, whatever they say of themselves in unison, or
    each says which way it does.
    """
    amounts = [amount_of(entry, detail) for detail in details]
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(amounts):
        return []
    told = [_direction(detail) for detail in details]
    if len(set(told)) == 1:
        if told[0] == _OPPOSITE[entry.direction]:
            _flag_direction(entry, details[0])
        found = [Share(amount, entry.direction) for amount in known]
    else:
        directions = (direction or entry.direction for direction in told)
        found = [Share(*pair) for pair in zip(known, directions, strict=True)]
    return found if _sum(found, entry.direction) == entry.amount else []


def _direction(detail: Detail) -> str:
    text = detail.values.get(KEYS[detail.path].direction, "").strip()
    return DIRECTIONS.get(text, "")


def _sum(found: Sequence[Share], direction: str) -> Decimal:
    total = values.ZERO
    for share in found:
        add = values.plus if share.direction == direction else values.minus
        total = add(total, share.amount)
    return total


def amount_of(entry: Entry, detail: Detail) -> Decimal | None:
    """Return what a transaction moved in the currency of its entry, if it says so.

    An amount that cannot be stored is flagged, and as good as none.
    """
    for key, currency in KEYS[detail.path].amounts:
        text = detail.values.get(key)
        if text is None:
            continue
        if detail.values.get(currency, entry.currency).strip() != entry.currency:
            continue
        amount, reason = values.amount(text.strip(), entry.currency)
        if reason:
            entry.flag(key, reason, text)
        return None if reason else amount
    return None


def check_count(entry: Entry, content: Content) -> None:
    """Flag an entry that counts its transactions otherwise than it lists them."""
    told = content.values
    if content.detail_count < 2 and not values.first(told, keys.BATCH_COUNTS):
        return
    texts = [
        text.strip() for key, text in told.items() if key.endswith(keys.BATCH_COUNT)
    ]
    counts = [values.count(text) for text in texts]
    listed = max(content.detail_count, 1)
    if texts and (None in counts or sum(filter(None, counts)) != listed):
        entry.flag("NtryDtls/Btch/NbOfTxs", Reason.DETAIL_COUNT, visible(texts[0]))


def check_detail(entry: Entry, detail: Detail) -> None:
    """Flag an entry whose only transaction has another amount or direction."""
    if _direction(detail) == _OPPOSITE[entry.direction]:
        _flag_direction(entry, detail)
    amount = amount_of(entry, detail)
    if amount is not None and amount != entry.amount:
        entry.flag("NtryDtls/TxDtls", Reason.DETAILS_DIFFER, f"{amount}")


def _flag_direction(entry: Entry, detail: Detail) -> None:
    column = KEYS[detail.path].direction
    entry.flag(column, Reason.INVALID_DIRECTION, detail.values[column])
