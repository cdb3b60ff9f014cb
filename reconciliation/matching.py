"""What it means that rows of two sides match: keys, shapes, tolerances and days.

Idea: every rule is one pass over the rows that no rule before it has matched. A rule
pairs rows of one key, one currency and one status whose amounts and days are near
enough; of the pairs that it allows it takes the nearest first, and no row twice. What
no rule matches is told apart by the key that both sides should share (docs/
reconciliation.md has the table).

Source: greedy choice over all pairs in one strict order, which is what mutual best
choice comes to; so the outcome depends on the rows alone, not on how they came.

The rows of each pass are found in PostgreSQL, set by set (passes.py). This file says by
what, and chooses; it touches no database, no clock and no float.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

#: Rows of one key on one side beyond which nobody could tell which belong together.
MOST_OF_A_KEY: Final = 100
_HUNDREDTH: Final = Decimal("0.01")
#: A Monday before every payment.
_MONDAY: Final = date(1900, 1, 1)


class Side(StrEnum):
    """Who tells of a movement: our own ledger, or a bank or network."""

    INTERNAL = "I"
    EXTERNAL = "E"


class Key(StrEnum):
    """What rows have in common: a column of theirs."""

    REFERENCE = "reference_id"
    ID = "source_txn_id"
    ACCOUNT = "account_id"


class Shape(StrEnum):
    """How many rows of each side make a match."""

    ONE_TO_ONE = "one_to_one"
    #: One internal row against the sum of several external ones.
    ONE_TO_MANY = "one_to_many"
    #: The sum of several internal rows against one external one, as a settlement is.
    MANY_TO_ONE = "many_to_one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """What a bank keeps of an amount: a part of it, and something fixed."""

    percent: Decimal = Decimal(0)
    fixed: Decimal = Decimal(0)

    def of(self, amount: Decimal) -> Decimal:
        """Return the fee for an amount, in hundredths."""
        part = (amount * self.percent / 100).quantize(_HUNDREDTH, ROUND_HALF_UP)
        return part + self.fixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One pass: what it needs rows to have in common, and what it lets differ."""

    key: Key = Key.REFERENCE
    shape: Shape = Shape.ONE_TO_ONE
    #: How far amounts may be apart: whichever of the two allows more.
    amount: Decimal = Decimal(0)
    #: Of the internal amount.
    percent: Decimal = Decimal(0)
    #: How many days apart the rows may be.
    days: int = 1
    #: Whether only Monday to Friday count as days.
    is_business_days: bool = False
    #: Whether the external side comes less the profile's fee.
    is_less_fee: bool = False
    #: Whether nobody has to look at what it matches.
    is_confirmed: bool = True

    def tolerance(self, amount: Decimal) -> Decimal:
        """Return how far an external amount may be from this internal one."""
        return max(self.amount, amount * self.percent / 100)

    def days_between(self, one: date, other: date) -> int:
        """Return how many days apart two days are, as this rule counts them."""
        if self.is_business_days:
            return abs(_weekdays_before(one) - _weekdays_before(other))
        return abs((one - other).days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run goes by."""

    internal: Sequence[str]
    external: Sequence[str]
    rules: Sequence[Rule]
    zone: ZoneInfo
    #: When a day ends, by the clock of the zone; midnight: with the calendar's day.
    cutoff: time = time(0)
    fee: Fee | None = None
    #: For how long a payment may be PENDING.
    stale_after: timedelta = timedelta(hours=48)
    #: Up to what difference amounts are resolved as rounded, and whether fees are.
    closes_up_to: Decimal = Decimal(0)
    closes_fees: bool = False

    @property
    def primary(self) -> Key:
        """Return the key that both sides should share, by which the rest is told."""
        first = self.rules[0].key if self.rules else Key.REFERENCE
        return first if first is not Key.ACCOUNT else Key.REFERENCE

    @property
    def shift(self) -> timedelta:
        """Return what is added to a local time so that its date is its day."""
        if self.cutoff == time(0):
            return timedelta(0)
        cutoff = self.cutoff
        return timedelta(days=1) - timedelta(
            hours=cutoff.hour, minutes=cutoff.minute, seconds=cutoff.second
        )

    def day(self, at: datetime) -> date:
        """Return the day of a moment: from the cut-off on, it is the next one."""
        return (at.astimezone(self.zone).replace(tzinfo=None) + self.shift).date()


def _weekdays_before(day: date) -> int:
    weeks, rest = divmod((day - _MONDAY).days, 7)
    return 5 * weeks + min(rest, 5)


def nearest_first(pairs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield those pairs, of pairs in the order of preference, that share no row.

    A pair is taken if neither of its rows was. Memory grows with the rows taken.
    """
    internal: set[int] = set()
    external: set[int] = set()
    for one, other in pairs:
        if one not in internal and other not in external:
            internal.add(one)
            external.add(other)
            yield one, other
