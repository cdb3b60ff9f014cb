"""Record 16: one transaction of an account as a row."""

import re
from collections.abc import Sequence
from decimal import Decimal
from json.encoder import encode_basestring as _json
from typing import Final, NamedTuple

from ingestion.sources import booking, narrative
from ingestion.sources.bai.cutting import WRAPPED
from ingestion.sources.bai.known import Account
from ingestion.sources.base import FieldError, Flag, Reason, Row, row_hash, visible
from ingestion.sources.booking import Day
from ingestion.sources.currencies import EXPONENTS
from ingestion.sources.textlines import decoded

HASH_VERSION: Final = "bai2:1"

_AMOUNT: Final = re.compile(r"[+-]?[0-9]{1,25}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")
#: How many fields follow a funds type that is followed by a fixed number of them.
_AVAILABILITY: Final = {"S": 3, "V": 2}
_MOST_DISTRIBUTIONS: Final = 1000
_MOST_CHARS: Final = 4096
FUNDS_TYPES: Final = frozenset({"", "0", "1", "2", "S", "V", "D", "Z"})

#: Codes of a type that takes an earlier entry back.
_REVERSALS: Final = frozenset({"252", "258", "395", "552", "558", "694"})
_NO_MONEY: Final = "890"


class Detail(NamedTuple):
    """The fields of a record 16, as given."""

    type_code: str
    amount_text: str
    funds_type: str
    availability: tuple[str, ...]
    bank_reference: str
    customer_reference: str
    text: str
    is_wrapped: bool
    #: It ends before all of the availability is told.
    is_short: bool
    #: It ends behind the amount, and without the slash that ends a record.
    is_cut: bool


class Place(NamedTuple):
    """Where a transaction stands: what its account and group say of all of them."""

    account: str
    statement_id: str
    currency: str
    day: Day
    raw: str


class Fields:
    """The fields of a record and of those that go on with it, one after the other."""

    def __init__(self, parts: Sequence[tuple[str, bytes]]) -> None:
        self._texts = [_body(decoded(raw)) for _, raw in parts]
        self._next = 0
        self._text: str | None = None
        #: Whether a field was taken that is not there.
        self.is_missed = False

    def take(self) -> str:
        """Return the next field; blank if there is none."""
        if self._text is None:
            if self._next == len(self._texts):
                self.is_missed = True
                return ""
            self._text = self._texts[self._next]
            self._next += 1
        head, comma, rest = self._text.partition(",")
        self._text = rest if comma else None
        return head.strip()

    def rest(self) -> str:
        """Return all that is left as text, a line for each record."""
        begun = [] if self._text is None else [self._text]
        return "\n".join([*begun, *self._texts[self._next :]])

    def all(self) -> list[str]:
        """Return all fields of a header or trailer, without NULs."""
        texts = (text.replace("\0", "") for text in self._texts)
        return [cell.strip() for text in texts for cell in text.split(",")]


def _body(text: str) -> str:
    """Return the text of a record without the slash that ends it."""
    text = text.rstrip()
    return text[:-1] if text.endswith("/") else text


def amount_of(text: str) -> int | None:
    """Return an amount, which is 0 if it is left out; None if it is none."""
    if not text:
        return 0
    return int(text) if _AMOUNT.fullmatch(text) else None


def small_number(text: str) -> int | None:
    """Return a count of a few digits; None if it is none."""
    return int(text) if _COUNT.fullmatch(text) else None


def parse(parts: Sequence[tuple[str, bytes]]) -> Detail:
    """Return the fields of a record 16."""
    fields = Fields(parts)
    kind, amount, funds = fields.take(), fields.take(), fields.take().upper()
    is_cut = fields.is_missed and not parts[-1][1].rstrip().endswith(b"/")
    available = availability(funds, fields)
    return Detail(
        kind,
        amount,
        funds,
        available,
        is_short=funds in ("S", "D") and fields.is_missed,
        is_cut=is_cut,
        bank_reference=fields.take(),
        customer_reference=fields.take(),
        text=fields.rest(),
        is_wrapped=any(kind == WRAPPED for kind, _ in parts),
    )


def availability(funds_type: str, fields: Fields) -> tuple[str, ...]:
    """Return the fields that follow a funds type: when how much can be used."""
    if funds_type == "D":
        count = fields.take()
        pairs = min(small_number(count) or 0, _MOST_DISTRIBUTIONS)
        return (count, *(fields.take() for _ in range(2 * pairs)))
    return tuple(fields.take() for _ in range(_AVAILABILITY.get(funds_type, 0)))


def direction_of(type_code: str, amount: int) -> str | None:
    """Return the direction of a type of transaction; None if it moves no money.

    Types from 900 on are each bank's own: credits from 920, debits from 960, and where
    a sign stands it decides.
    """
    if len(type_code) != 3 or not (type_code.isascii() and type_code.isdigit()):
        return None
    code = int(type_code)
    if code >= 900:
        if amount < 0:
            return "D"
        return "C" if 920 <= code < 960 else "D" if code >= 960 else None
    if 100 <= code < 400 or code in _MORE_CREDITS or 720 <= code < 760:
        return "C"
    return "D" if 400 <= code < 700 or code == 828 or 760 <= code < 800 else None


_MORE_CREDITS: Final = frozenset({706, 708, 827, 829})


def row(
    line: int, place: Place, account: Account, detail: Detail, amount: int | None
) -> Row:
    """Return the row of a transaction; raises FieldError for its first bad field."""
    if amount is None:
        raise FieldError("amount", Reason.INVALID_AMOUNT, visible(detail.amount_text))
    direction = _direction(detail, amount)
    if detail.is_cut:
        # Nobody knows how many digits of the amount are gone.
        raise FieldError("amount", Reason.MALFORMED_FIELD, visible(detail.amount_text))
    money = _money(detail, place.currency, amount)
    text = detail.text[:_MOST_CHARS]
    told = narrative.told(text)
    customer = _meant(detail.customer_reference)
    txn_id = f"BAI2:{place.account}:{place.statement_id}:{account.entries}"
    return Row(
        line,
        txn_id,
        _meant(detail.bank_reference) or txn_id,
        told.end_to_end or told.network or customer or told.customer,
        place.account,
        told.account,
        told.bank,
        money,
        place.currency,
        "REVERSED" if detail.type_code in _REVERSALS else "SUCCESS",
        direction,
        place.day.moment,
        _raw(place, detail),
        row_hash(
            HASH_VERSION,
            place.account,
            place.currency,
            str(money),
            direction,
            detail.type_code,
            f"{place.day.day}",
            ",".join((detail.funds_type, *detail.availability)),
            detail.bank_reference,
            detail.customer_reference,
            detail.text,
        ),
        _flags(detail, amount),
    )


def _direction(detail: Detail, amount: int) -> str:
    if detail.type_code == _NO_MONEY:
        raise FieldError("type_code", Reason.NO_MONEY, visible(detail.text))
    direction = direction_of(detail.type_code, amount)
    if direction is None:
        raise FieldError("type_code", Reason.INVALID_TYPE, visible(detail.type_code))
    if amount < 0 and detail.type_code < "900":
        raise FieldError("amount", Reason.NEGATIVE_AMOUNT, visible(detail.amount_text))
    return direction


def _money(detail: Detail, currency: str, amount: int) -> Decimal:
    """Return an amount in its currency, whose decimals are implied.

    One of three decimals can be stored if the third is 0, for nobody wrote it.
    """
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise FieldError("currency", Reason.INVALID_CURRENCY, visible(currency))
    units, spare = abs(amount), 10 ** max(0, exponent - 2)
    if units % spare:
        raise FieldError(
            "amount", Reason.UNSUPPORTED_PRECISION, visible(detail.amount_text)
        )
    exact = Decimal(units // spare).scaleb(-min(exponent, 2))
    return booking.storable_amount("amount", exact, currency, detail.amount_text)


def _meant(text: str) -> str | None:
    """Return a reference; zeros, with which some banks fill the field, are none."""
    return narrative.meant(text) if text.strip("0 ") else None


def _flags(detail: Detail, amount: int) -> tuple[Flag, ...]:
    flags = []
    if not amount:
        flags.append(Flag("amount", Reason.ZERO_AMOUNT, visible(detail.amount_text)))
    is_clear = detail.funds_type in FUNDS_TYPES and not detail.is_short
    if not (is_clear and _is_available(detail)):
        funds = visible(detail.funds_type)
        flags.append(Flag("funds_type", Reason.MALFORMED_FIELD, funds))
    if detail.is_wrapped:
        flags.append(Flag("text", Reason.OUTSIDE_FIELD, visible(detail.text)))
    return tuple(flags)


def _is_available(detail: Detail) -> bool:
    """Return whether the availability is made of numbers, and of a day that exists.

    If it is not, fields behind it may have been taken for a part of it.
    """
    told = detail.availability
    if detail.funds_type == "V":
        day, hour = told
        is_hour = not hour or (len(hour) == 4 and small_number(hour) is not None)
        return is_hour and _is_day(day)
    if detail.funds_type == "D" and small_number(told[0]) is None:
        return False
    return all(not text or _AMOUNT.fullmatch(text) for text in told)


def _is_day(text: str) -> bool:
    if len(text) != 6 or small_number(text) is None:
        return False
    try:
        booking.short_day("availability", text)
    except FieldError:
        return False
    return True


def _raw(place: Place, detail: Detail) -> str:
    available = ",".join(map(_json, detail.availability))
    return (
        f'{{{place.raw},"type_code":{_json(detail.type_code)}'
        f',"amount":{_json(detail.amount_text)}'
        f',"funds_type":{_json(detail.funds_type)},"availability":[{available}]'
        f',"bank_reference":{_json(detail.bank_reference)}'
        f',"customer_reference":{_json(detail.customer_reference)}'
        f',"text":{_json(detail.text)}}}'
    )
