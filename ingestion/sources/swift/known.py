"""What a reading knows of the statement that it is in, and of the page before.

All of it is kept in the position of a reading, so it is small and made of JSON values
once it is written down.
"""

from dataclasses import asdict, dataclass, field, fields
from datetime import date
from decimal import Decimal
from typing import Any, Self

ZERO = Decimal(0)


@dataclass(slots=True)
class Totals:
    """Entries of one direction: how many, and how much."""

    count: int = 0
    sum: Decimal = ZERO

    def add(self, amount: Decimal) -> None:
        """Count one more."""
        self.count += 1
        self.sum += amount

    def to_json(self) -> list[Any]:
        """Return it as JSON values."""
        return [self.count, str(self.sum)]

    @classmethod
    def from_json(cls, data: list[Any]) -> Self:
        """Return what `to_json` wrote."""
        return cls(int(data[0]), Decimal(data[1]))


@dataclass(slots=True)
class Page:
    """One message: a statement, or a page of it."""

    reference: str = ""
    account: str | None = None
    number: int | None = None
    sequence: int | None = None
    #: When the report was made (13D), as given.
    made: str = ""
    currency: str | None = None
    opening: Decimal | None = None
    opening_date: date | None = None
    #: F or M: the statement begins here, or goes on from the page before.
    opening_kind: str = ""
    is_closed: bool = False
    #: How many entries there were, good and refused, and how many of a page before
    #: that has the same `statement_id`.
    entries: int = 0
    entries_before: int = 0
    rows: int = 0
    credits: Totals = field(default_factory=Totals)
    debits: Totals = field(default_factory=Totals)
    #: Those of them that are only expected, and in no balance.
    expected_credits: Totals = field(default_factory=Totals)
    expected_debits: Totals = field(default_factory=Totals)

    @property
    def movement(self) -> Decimal:
        """Return what the booked entries changed of the balance."""
        return self.credits.sum - self.debits.sum

    @property
    def statement_id(self) -> str:
        """Return what tells this page from all others of its account.

        Numbers begin anew each year, and some banks give none, so the day of the
        opening balance is part of it.
        """
        day = f"{self.opening_date:%Y%m%d}" if self.opening_date else self.made
        number = "" if self.number is None else str(self.number)
        if number and self.sequence is not None:
            number += f"/{self.sequence}"
        told = (day, number, "" if self.number else self.reference)
        return "/".join(part for part in told if part)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        told = {name: getattr(self, name) for name in _PLAIN}
        told |= {name: getattr(self, name).to_json() for name in _TOTALS}
        told["opening"] = None if self.opening is None else str(self.opening)
        told["opening_date"] = self.opening_date and self.opening_date.isoformat()
        return told

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        told = dict(data)
        told |= {name: Totals.from_json(told[name]) for name in _TOTALS}
        opening, day = told["opening"], told["opening_date"]
        told["opening"] = None if opening is None else Decimal(opening)
        told["opening_date"] = day and date.fromisoformat(day)
        return cls(**told)


_TOTALS = ("credits", "debits", "expected_credits", "expected_debits")
_PLAIN = [
    one.name
    for one in fields(Page)
    if one.name not in {*_TOTALS, "opening", "opening_date"}
]


@dataclass(slots=True)
class Before:
    """What is known of the page before, for the one that may go on from it."""

    account: str | None
    number: int | None
    sequence: int | None
    #: Its closing balance, if another page should follow.
    to_follow: str | None
    credits: list[Any]
    debits: list[Any]
    statement_id: str
    entries: int
    #: Whether it changed the balance, and the balance that it ends with.
    has_moved: bool
    closing: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)
