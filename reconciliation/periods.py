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
