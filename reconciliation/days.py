"""The figures of each day, put together of what the selectors read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from reconciliation import selectors
from reconciliation.measures import ratio
from reconciliation.models import Profile
from reconciliation.selectors import Choice, DayRows, Standing, Told


@dataclass(slots=True)
class Day:
    """A day of the profiles that are looked at."""

    day: date
    ours: int = 0
    theirs: int = 0
    in_time: int = 0
    #: Rows of our side with a mismatch that was not closed.
    standing: int = 0
    #: By currency: what our side moved, and what of it has such a mismatch.
    amounts: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    at_stake: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    told: int = 0
    explained: int = 0
    #: External sources that should have brought rows, and those that did.
    expected: int = 0
    brought: int = 0

    @property
    def match_rate(self) -> float | None:
        """Return the part of our rows that have no mismatch, or had one closed."""
        return ratio(self.ours - self.standing, self.ours)

    @property
    def completeness(self) -> float | None:
        """Return the part of the external sources that brought rows of the day."""
        return ratio(self.brought, self.expected)

    @property
    def has_both_sides(self) -> bool:
        """Return whether both sides brought rows."""
        return self.ours > 0 and self.theirs > 0

    @property
    def timeliness(self) -> float | None:
        """Return the part of the rows that were loaded in time."""
        return ratio(self.in_time, self.ours + self.theirs)

    @property
    def explainability(self) -> float | None:
        """Return the part of the day's mismatches of which it is said why."""
        return ratio(self.explained, self.told)

    def matched_amount(self, currency: str) -> Decimal:
        """Return what our side moved of a currency without a standing mismatch."""
        return max(Decimal(0), self.amounts[currency] - self.at_stake[currency])


def days(choice: Choice) -> list[Day]:
    """Return the figures of each day of the choice, in order."""
    found = {day: Day(day) for day in choice.days}
    _count_rows(found, selectors.rows_of_days(choice))
    _count_standing(found, selectors.standing_of_days(choice))
    _count_told(found, selectors.told_of_days(choice))
    _count_sources(found, selectors.profiles_of(choice), choice)
    return list(found.values())


def _count_rows(found: dict[date, Day], rows: Iterable[DayRows]) -> None:
    for row in rows:
        day = found[row.day]
        day.in_time += row.in_time
        if row.side == "I":
            day.ours += row.rows
            day.amounts[row.currency] += row.amount
        else:
            day.theirs += row.rows


def _count_standing(found: dict[date, Day], rows: Iterable[Standing]) -> None:
    for row in rows:
        found[row.day].standing += row.rows
        found[row.day].at_stake[row.currency] += row.amount


def _count_told(found: dict[date, Day], rows: Iterable[Told]) -> None:
    for row in rows:
        found[row.day].told += row.count
        found[row.day].explained += row.count if row.is_explained else 0


def _count_sources(
    found: dict[date, Day], profiles: Sequence[Profile], choice: Choice
) -> None:
    brought = selectors.sources_by_day(choice)
    for day in found.values():
        for profile in profiles:
            external = set(profile.external_sources)
            day.expected += len(external)
            day.brought += len(external & brought[day.day][profile.pk])


def by_type(choice: Choice) -> dict[str, Counter[str]]:
    """Return how many mismatches of each type are in each state, most first."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in selectors.told_of_days(choice):
        found[row.mismatch_type][row.state] += row.count
    return dict(sorted(found.items(), key=lambda item: (-item[1].total(), item[0])))


def currencies(days: Iterable[Day]) -> list[str]:
    """Return the currencies that our side moved, by name."""
    return sorted({currency for day in days for currency in day.amounts})
