"""Days of a profile as moments. Pure: no Django, no clock."""

from datetime import UTC, date, datetime, time, timedelta

from reconciliation.matching import Terms

_DAY = timedelta(days=1)


def period_of(terms: Terms, first: date, last: date) -> tuple[datetime, datetime]:
    """Return when the first day begins and when the last one ends.

    Periods side by side leave no moment out and have none in common. Where the clocks
    change at the cut-off, up to an hour of a day is in the period beside it.
    """
    return _begin(terms, first), _begin(terms, last + _DAY)


def _begin(terms: Terms, day: date) -> datetime:
    local = datetime.combine(day, time(0)) - terms.shift
    return local.replace(tzinfo=terms.zone).astimezone(UTC)


def days_of(terms: Terms, starts_at: datetime, ends_at: datetime) -> tuple[date, date]:
    """Return the first and the last day of a period."""
    return terms.day(starts_at), terms.day(ends_at - timedelta(microseconds=1))


def is_of_whole_days(terms: Terms, starts_at: datetime, ends_at: datetime) -> bool:
    """Return whether it is whole days, and no clock changes in or around them."""
    first, last = days_of(terms, starts_at, ends_at)
    if period_of(terms, first, last) != (starts_at, ends_at):
        return False
    around = range(-1, (last - first).days + 3)
    moments = (starts_at + number * _DAY for number in around)
    return len({at.astimezone(terms.zone).utcoffset() for at in moments}) == 1
