"""Figures of runs and of days, as people compare them. Pure: no Django, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

#: Ages in days, from and to, in which open mismatches are counted.
BUCKETS: Final[tuple[tuple[str, int], ...]] = (
    ("0–1", 1),
    ("2–7", 7),
    ("8–30", 30),
    ("31–90", 90),
)
OLDEST: Final = ">90"
BUCKET_NAMES: Final = (*(name for name, _ in BUCKETS), OLDEST)

Counts = Mapping[str, Any]


def ratio(part: float | Decimal, whole: float | Decimal) -> float | None:
    """Return a part of a whole, between 0 and 1; None where there is nothing."""
    if not whole:
        return None
    return min(1.0, max(0.0, float(part) / float(whole)))


def percent_text(part: float | None) -> str:
    """Return a part as percent; what is not all is never told as 100.

    >>> percent_text(0.99999), percent_text(1.0), percent_text(0.5), percent_text(None)
    ('99.99%', '100%', '50.00%', '–')
    """
    if part is None:
        return "–"
    if part == 1:
        return "100%"
    return f"{min(100 * part, 99.99):.2f}%"


# --- Runs -----------------------------------------------------------------------------


def matched_rows(counts: Counts) -> int:
    """Return the rows of a run's period that match.

    Of what matches, rows may be of other days: those that do not are counted.
    """
    return max(0, _count(counts, "rows") - _count(counts, "unmatched"))


def plain_rows(counts: Counts) -> int:
    """Return the rows of a run's period that plainly match."""
    by_rules: Iterable[int] = counts.get("matched", {}).values()
    return max(0, matched_rows(counts) - sum(by_rules))


def match_rate(counts: Counts) -> float | None:
    """Return the part of a run's rows that match."""
    return ratio(matched_rows(counts), _count(counts, "rows"))


def mismatch_total(counts: Counts) -> int:
    """Return how many mismatches a run told."""
    told: Iterable[int] = counts.get("mismatches", {}).values()
    return sum(told)


def _count(counts: Counts, name: str) -> int:
    return int(counts.get(name, 0))


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of two runs over one period."""

    title: str
    before: int
    after: int

    @property
    def change(self) -> int:
        """Return how many there are more."""
        return self.after - self.before


def compared(before: Counts, after: Counts) -> list[Compared]:
    """Return what two runs over the same rows counted, side by side."""
    types = sorted({*before.get("mismatches", {}), *after.get("mismatches", {})})
    return [
        Compared("Rows", _count(before, "rows"), _count(after, "rows")),
        Compared("Rows that match", matched_rows(before), matched_rows(after)),
        Compared("Mismatches", mismatch_total(before), mismatch_total(after)),
        *(
            Compared(
                name.replace("_", " "),
                before.get("mismatches", {}).get(name, 0),
                after.get("mismatches", {}).get(name, 0),
            )
            for name in types
        ),
    ]


# --- Ages -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Aged:
    """Open mismatches of one age and one currency."""

    days: int
    currency: str
    count: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Ageing:
    """Open mismatches of one currency by their age."""

    currency: str
    #: Of each bucket, in the order of `BUCKET_NAMES`.
    counts: list[int]
    amounts: list[Decimal]
    #: By amount: what a day of one rupee weighs; None where no amount is at stake.
    average_days: float | None

    @property
    def count(self) -> int:
        """Return how many there are."""
        return sum(self.counts)

    @property
    def amount(self) -> Decimal:
        """Return what is at stake."""
        return sum(self.amounts, Decimal(0))


def bucket_of(days: int) -> int:
    """Return the place of the bucket of an age."""
    places = (place for place, (_, most) in enumerate(BUCKETS) if days <= most)
    return next(places, len(BUCKETS))


def ageing(rows: Iterable[Aged]) -> list[Ageing]:
    """Return open mismatches by currency and age; currencies are never added up."""
    by_currency: dict[str, list[Aged]] = {}
    for row in rows:
        by_currency.setdefault(row.currency, []).append(row)
    return [_ageing(name, found) for name, found in sorted(by_currency.items())]


def _ageing(currency: str, rows: list[Aged]) -> Ageing:
    counts, amounts = [0] * len(BUCKET_NAMES), [Decimal(0)] * len(BUCKET_NAMES)
    for row in rows:
        counts[bucket_of(row.days)] += row.count
        amounts[bucket_of(row.days)] += row.amount
    weight = sum((row.amount for row in rows), Decimal(0))
    days = sum((row.days * row.amount for row in rows), Decimal(0))
    average = float(days / weight) if weight else None
    return Ageing(currency, counts, amounts, average)
