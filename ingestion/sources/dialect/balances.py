"""Checks what a file says of itself: running balances, then counts, sums and balances.

A row that was refused counts with what can be read of it, so that only what is truly
missing shows. Every break of the running balance is one fault, and checking goes on
from the balance that is stated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, Self

from ingestion.sources.base import Control, Fault
from ingestion.sources.dialect.notes import Told

#: Breaks of the running balance that one file reports; the rest says no more.
MAX_BREAKS: Final = 100
ZERO: Final = Decimal("0.00")
AUTO: Final = "auto"
OLDEST_FIRST: Final = "oldest_first"
NEWEST_FIRST: Final = "newest_first"


@dataclass(frozen=True, slots=True)
class Step:
    """A row that states a balance, what it does to it, and on which day."""

    movement: Decimal
    balance: Decimal
    day: date | None = None


@dataclass(slots=True)
class Account:
    """Sums and balances of the rows so far."""

    order: str = AUTO
    #: How many rows of one day follow the row before them, and how many precede it.
    forward: int = 0
    backward: int = 0
    rows: int = 0
    debits: int = 0
    credits: int = 0
    debit_sum: Decimal = ZERO
    credit_sum: Decimal = ZERO
    #: What all rows did to the balance: nothing, if their payment did not complete.
    moved: Decimal = ZERO
    #: The first and the last row that state a balance, and what moved before the
    #: first, and since the last, without one being stated.
    first: Step | None = None
    last: Step | None = None
    moved_before: Decimal = ZERO
    moved_since: Decimal = ZERO
    first_day: date | None = None
    last_day: date | None = None
    breaks: int = 0

    def count(self, direction: str, amount: Decimal, day: date | None) -> None:
        """Count the amount of a row, and its day."""
        if direction == "D":
            self.debits += 1
            self.debit_sum += amount
        else:
            self.credits += 1
            self.credit_sum += amount
        if day is not None:
            self.first_day = min(self.first_day or day, day)
            self.last_day = max(self.last_day or day, day)

    def step(
        self,
        line: int,
        movement: Decimal,
        balance: Decimal | None,
        day: date | None = None,
    ) -> list[Fault]:
        """Follow a row's balance from the one before; return the break, if one is."""
        self.moved += movement
        if balance is None:
            if self.first is None:
                self.moved_before += movement
            else:
                self.moved_since += movement
            return []
        step = Step(movement, balance, day)
        before, self.last = self.last, step
        since, self.moved_since = self.moved_since, ZERO
        if before is None:
            self.first = step
            return []
        older = before.balance + since + movement
        newer = before.balance - before.movement - since
        if self._follows(before.day, day, older == balance, newer == balance):
            return []
        self.breaks += 1
        if self.breaks > MAX_BREAKS:
            return []
        comes_later = before.day and day and self.order == AUTO and before.day > day
        expected = newer if comes_later or self._is_reversed else older
        return [Fault(line, Control.RUNNING_BALANCE, str(expected), str(balance))]

    def _follows(
        self, before: date | None, day: date | None, older: bool, newer: bool
    ) -> bool:
        """Return whether a balance follows from the row before, older or newer.

        The days of two rows tell the order once a balance agrees with them; the rows of
        one day may stand either way until then.
        """
        if self.order != AUTO:
            return newer if self.order == NEWEST_FIRST else older
        if before is None or day is None or before == day:
            self.forward += older and not newer
            self.backward += newer and not older
            return older or newer
        if older if before < day else newer:
            self.order = OLDEST_FIRST if before < day else NEWEST_FIRST
            return True
        return False

    @property
    def _is_reversed(self) -> bool:
        if self.order == AUTO:
            return self.backward > self.forward
        return self.order == NEWEST_FIRST

    @property
    def opening(self) -> Decimal | None:
        """Return the balance before the oldest row, as the rows tell it."""
        oldest = self.last if self._is_reversed else self.first
        moved = self.moved_since if self._is_reversed else self.moved_before
        return None if oldest is None else oldest.balance - oldest.movement - moved

    @property
    def closing(self) -> Decimal | None:
        """Return the balance after the newest row, as the rows tell it."""
        newest = self.first if self._is_reversed else self.last
        moved = self.moved_before if self._is_reversed else self.moved_since
        return None if newest is None else newest.balance + moved

    def to_json(self) -> dict[str, Any]:
        """Return the sums as a JSON object."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        values = dict(data)
        for name in _SUMS:
            values[name] = Decimal(values[name])
        for name in ("first", "last"):
            step = values[name]
            values[name] = step and Step(
                Decimal(step[0]), Decimal(step[1]), _day(step[2])
            )
        for name in ("first_day", "last_day"):
            values[name] = _day(values[name])
        return cls(**values)


_SUMS: Final = ("debit_sum", "credit_sum", "moved", "moved_before", "moved_since")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return [_plain(part) for part in value.values()]
    return str(value) if isinstance(value, Decimal | date) else value


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


# --- At the end -----------------------------------------------------------------------

FIGURES: Final = {
    "row_count": Control.ROW_COUNT,
    "debit_count": Control.ROW_COUNT,
    "credit_count": Control.ROW_COUNT,
    "debit_sum": Control.DEBIT_SUM,
    "credit_sum": Control.CREDIT_SUM,
    "total_sum": Control.TOTAL_SUM,
}


def totals(account: Account, told: Sequence[Told]) -> Iterator[Fault]:
    """Yield a fault for each figure that the rows do not bear out."""
    found = {
        "row_count": Decimal(account.rows),
        "debit_count": Decimal(account.debits),
        "credit_count": Decimal(account.credits),
        "debit_sum": account.debit_sum,
        "credit_sum": account.credit_sum,
        "total_sum": account.debit_sum + account.credit_sum,
    }
    for item in told:
        if item.label in found and Decimal(item.value) != found[item.label]:
            control, value = FIGURES[item.label], found[item.label]
            yield Fault(item.line, control, item.value, str(value))
    yield from _closing(account, told)


def has_trailer(told: Sequence[Told]) -> bool:
    """Return whether the file states a count or a sum."""
    return any(item.label in FIGURES for item in told)


def stated(told: Sequence[Told], label: str) -> Decimal | None:
    """Return a balance that the file states: the first opening, the last closing."""
    values = [Decimal(item.value) for item in told if item.label == label]
    if not values:
        return None
    return values[0] if label == "opening" else values[-1]


def _closing(account: Account, told: Sequence[Told]) -> Iterator[Fault]:
    """Compare the balances that are stated with what the rows lead to."""
    opening, closing = stated(told, "opening"), stated(told, "closing")
    begin = account.opening if opening is None else opening
    end = account.closing if closing is None else closing
    if begin is None or end is None or begin + account.moved == end:
        return
    if opening is None and closing is None:
        return  # breaks of the running balance have said so already
    line = max(item.line for item in told if item.label in ("opening", "closing"))
    found = str(begin + account.moved)
    yield Fault(line, Control.CLOSING_BALANCE, str(end), found)
