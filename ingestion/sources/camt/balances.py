"""The balances of a statement, and whether its movements lead from one to the other."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple, Self

from ingestion.sources.camt import values
from ingestion.sources.camt.entries import DIRECTIONS
from ingestion.sources.currencies import EXPONENTS

_TYPE: Final = ("Tp/CdOrPrtry/Cd", "Tp/Cd", "Tp/CdOrPrtry/Prtry", "Tp/Prtry")
_DATE: Final = ("Dt/Dt", "Dt/DtTm", "Dt")
_STATEMENT: Final = "053"
#: The balance that a page of a longer statement begins or ends with.
_INTERIM: Final = "ITBD"
_LATER_INTERIM: Final = "ITBD2"
_KEPT: Final = frozenset({"OPBD", "PRCD", "CLBD", _INTERIM})


class Balance(NamedTuple):
    """What the holder has, negative if owed, and on which day."""

    amount: Decimal
    day: date | None

    def to_json(self) -> list[str]:
        """Return it for a position."""
        return [str(self.amount), self.day.isoformat() if self.day else ""]

    @classmethod
    def from_json(cls, data: list[str]) -> Self:
        """Return what `to_json` wrote."""
        return cls(Decimal(data[0]), date.fromisoformat(data[1]) if data[1] else None)


#: The balances of one currency by their codes, as `to_json` writes them.
Balances = Mapping[str, list[str]]


def read_balance(
    told: Mapping[str, str], currency: str
) -> tuple[str, str, Balance] | None:
    """Return code, currency and balance of a `Bal`; None if it cannot be read."""
    code = values.first(told, _TYPE)
    ccy = told.get("Amt/@Ccy", currency).strip()
    amount = values.number(told.get("Amt", "").strip())
    direction = DIRECTIONS.get(told.get("CdtDbtInd", "").strip())
    if amount is None or amount < 0 or ccy not in EXPONENTS:
        return None
    if amount and not direction:
        return None
    if direction == "D":
        amount = values.minus(values.ZERO, amount)
    return code, ccy, Balance(amount, values.day(values.first(told, _DATE)))


def with_balance(known: Balances, code: str, balance: Balance) -> Balances:
    """Return the balances with one more; of several alike the outermost count."""
    if code not in _KEPT or (code in {"OPBD", "PRCD"} and code in known):
        return known
    if code == _INTERIM and code in known:
        code = _LATER_INTERIM
    return {**known, code: balance.to_json()}


def bounds(known: Balances, kind: str) -> tuple[Balance | None, Balance | None]:
    """Return the opening and the closing balance among those of one currency.

    Pages of a long statement begin and end with interim balances. A report has one for
    the moment at which it was made, from which nothing follows.
    """
    found = {code: Balance.from_json(data) for code, data in known.items()}
    opening = found.get("OPBD") or found.get("PRCD")
    closing = found.get("CLBD")
    if kind != _STATEMENT:
        return opening, closing
    interim, later = found.get(_INTERIM), found.get(_LATER_INTERIM)
    if opening is None and (closing or later):
        opening, interim = interim, later
    return opening, closing or later or interim
