"""One entry of a statement: what holds for all of it, and why it is refused."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from ingestion.sources.base import Flag, Reason, visible
from ingestion.sources.camt import keys, values
from ingestion.sources.currencies import EXPONENTS

DIRECTIONS: Final = {"CRDT": "C", "DBIT": "D"}
_BOOKED: Final = "BOOK"
#: What has not been booked is not there yet.
_STATUSES: Final = {
    _BOOKED: "SUCCESS",
    "PDNG": "PENDING",
    "FUTR": "PENDING",
    "INFO": "PENDING",
}
_YES: Final = frozenset({"true", "1"})
_NO: Final = frozenset({"false", "0", ""})
#: An entry says it once, or nobody knows what it says.
_ONCE: Final = ("Amt", "CdtDbtInd", "Sts")
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: The one message in which everything is booked.
_STATEMENT: Final = "053"


class Place(NamedTuple):
    """What the rows of a statement have in common."""

    kind: str
    #: What all its ids begin with.
    prefix: str
    account: str
    currency: str
    #: The day of the statement, for entries without one.
    moment: datetime | None


class Tally(NamedTuple):
    """What an entry adds to the sums of its statement, as far as it can be read."""

    currency: str
    amount: Decimal | None
    direction: str
    is_booked: bool


class Entry:
    """What holds for all transactions of an entry; `fault` is why it is refused."""

    def __init__(self, told: Mapping[str, str], place: Place) -> None:
        self._told, self.place = told, place
        self.flags: list[Flag] = []
        self.fault: tuple[str, Reason, str] | None = None
        for column in _ONCE:
            if f"{column}[2]" in told:
                self._refuse(column, Reason.TOLD_TWICE, told[f"{column}[2]"])
        self.direction = self._direction()
        self.currency = self._currency()
        self._exact = self._amount()
        self.is_booked = False
        self.status = self._status()
        self.moment = self._moment()

    @property
    def tally(self) -> Tally:
        """Return what it adds to the sums."""
        return Tally(self.currency, self._exact, self.direction, self.is_booked)

    @property
    def amount(self) -> Decimal:
        """Return what it moves, if it has no fault."""
        return self._exact or values.ZERO

    def flag(self, column: str, reason: Reason, value: str = "") -> None:
        """Note a doubt."""
        self.flags.append(Flag(column, reason, visible(value)))

    def _refuse(self, column: str, reason: Reason, value: str) -> None:
        if self.fault is None:
            self.fault = (column, reason, visible(value))

    def _direction(self) -> str:
        text = self._told.get("CdtDbtInd", "").strip()
        direction = DIRECTIONS.get(text)
        if direction is None:
            reason = Reason.INVALID_DIRECTION if text else Reason.MISSING_VALUE
            self._refuse("CdtDbtInd", reason, text)
            return ""
        return direction

    def _currency(self) -> str:
        code = self._told.get("Amt/@Ccy", "").strip()
        if not code and self.place.currency:
            code = self.place.currency
            self.flag("Amt/@Ccy", Reason.MISSING_VALUE)
        if code in EXPONENTS:
            return code
        reason = Reason.INVALID_CURRENCY if code else Reason.MISSING_VALUE
        self._refuse("Amt/@Ccy", reason, code)
        return ""

    def _amount(self) -> Decimal | None:
        if not self.currency:
            return None
        text = self._told.get("Amt", "").strip()
        amount, reason = values.amount(text, self.currency)
        if reason:
            self._refuse("Amt", reason, text)
        elif not amount:
            self.flag("Amt", Reason.ZERO_AMOUNT, text)
        return amount

    def _status(self) -> str:
        text = values.first(self._told, keys.STATUS).upper()
        if not text:
            self.flag("Sts", Reason.MISSING_VALUE)
            text = _BOOKED if self.place.kind == _STATEMENT else "PDNG"
        status = _STATUSES.get(text)
        if status is None:
            self._refuse("Sts", Reason.INVALID_STATUS, text)
            return ""
        if text == "INFO":
            self.flag("Sts", Reason.INFORMATION_ONLY, text)
        self.is_booked = text == _BOOKED
        return "REVERSED" if self._is_reversal() and self.is_booked else status

    def _is_reversal(self) -> bool:
        text = self._told.get("RvslInd", "").strip()
        if text not in _NO and text not in _YES:
            self.flag("RvslInd", Reason.INVALID_STATUS, text)
        return text in _YES

    def _moment(self) -> datetime:
        text = values.first(self._told, keys.BOOKING_DATE)
        if not text and self.is_booked:
            self.flag("BookgDt", Reason.MISSING_VALUE)
        text = text or values.first(self._told, keys.VALUE_DATE)
        if not text and self.place.moment:
            return self.place.moment
        moment = values.moment(text)
        if moment is None:
            reason = Reason.INVALID_TIMESTAMP if text else Reason.MISSING_VALUE
            self._refuse("BookgDt", reason, text)
        return moment or _NEVER
