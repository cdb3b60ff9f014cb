"""The due times of a crontab, right across changes of the clock.

Idea: cron's. A crontab that names hours means the clock on the wall: each of its times
is due once a day. One that names none means real time: it is due whenever the clock
shows one of its minutes.

    clocks go forward   a time that does not exist is due at the moment the gap ends;
                        without named hours nothing is due for it
    clocks go back      a time that comes twice is due the first time; without named
                        hours both times

So `30 2 * * *` is due every day, once; `30 * * * *` 23 or 25 times on such a day.

Pure: no Django, no clock. Slots are found day by day, lazily, and only on days that the
crontab allows; so a reader who stops early has paid for no more.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from reconciliation.crontabs import Crontab

#: Every day that ever comes has come in so many years: 29 February of a given weekday
#: may take them, as 2100 is no leap year.
MOST_YEARS: Final = 40
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
#: From so many times a day on it pays to ask whether the clock changes at all.
_MANY: Final = 100


def slots(cron: Crontab, after: datetime, upto: datetime) -> Iterator[datetime]:
    """Yield each moment after one and up to another that is due, in order, as UTC."""
    if after >= upto:
        return
    pending: set[datetime] = set()
    # A moment may belong to the day before or after the one that its clock shows.
    first = after.astimezone(cron.zone).date() - _DAY
    last = upto.astimezone(cron.zone).date() + _DAY
    for day in _days(cron, first, last):
        # No clock is a whole day off UTC: what is earlier, no later day can add to.
        settled = datetime.combine(day, time(), tzinfo=UTC) - _DAY
        ready = sorted(moment for moment in pending if moment < settled)
        pending.difference_update(ready)
        yield from ready
        pending.update(m for m in _due_on(cron, day) if after < m <= upto)
    yield from sorted(pending)


def next_slot(cron: Crontab, after: datetime) -> datetime | None:
    """Return the first slot after a moment; None if none ever comes."""
    return next(slots(cron, after, after + MOST_YEARS * 366 * _DAY), None)


def ever_comes(cron: Crontab) -> bool:
    """Return whether there is any day like that; 31 February is none."""
    return any(_days(cron, date(2000, 1, 1), date(2000 + MOST_YEARS, 1, 1)))


def next_slots(cron: Crontab, after: datetime, most: int) -> list[datetime]:
    """Return the first few slots after a moment."""
    return list(islice(slots(cron, after, after + MOST_YEARS * 366 * _DAY), most))


def latest_slots(
    cron: Crontab, after: datetime, upto: datetime, most: int
) -> list[datetime]:
    """Return the last few slots of a span, in order.

    Looks back further and further, so that a span of years costs no more than needed.
    """
    back = _DAY
    while True:
        begin = max(after, upto - back)
        found = list(slots(cron, begin, upto))
        if len(found) >= most or begin == after:
            return found[-most:]
        back *= 4


def first_moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when a clock first shows a time or, if it never does, a later one."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if _shows(moment, zone) == wall:
        return moment
    # In a gap, fold=1 counts by the clock behind it, and so falls before it.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(before, moment, zone)


def _change(before: datetime, behind: datetime, zone: ZoneInfo) -> datetime:
    """Return the first second, after one and up to another, with another offset."""
    offset = before.astimezone(zone).utcoffset()
    while behind - before > _SECOND:
        middle = before + (behind - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            behind = middle
    return behind


def _shows(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clock on a wall shows at a moment."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _days(cron: Crontab, first: date, last: date) -> Iterator[date]:
    """Yield the days from one to another that the crontab allows, in order."""
    months, days = sorted(cron.months), sorted(cron.days)
    for year in range(first.year, last.year + 1):
        for month in months:
            if (
                not (first.year, first.month)
                <= (year, month)
                <= (last.year, last.month)
            ):
                continue
            for number in days:
                day = _date(year, month, number)
                if day and first <= day <= last and _is_weekday_of(cron, day):
                    yield day


def _is_weekday_of(cron: Crontab, day: date) -> bool:
    return day.isoweekday() % 7 in cron.weekdays


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _due_on(cron: Crontab, day: date) -> Iterator[datetime]:
    """Yield the due moments of a day, some perhaps twice, in no order."""
    midnight = datetime.combine(day, time())
    walls = [
        midnight + timedelta(hours=hour, minutes=minute)
        for hour in cron.hours
        for minute in cron.minutes
    ]
    if len(walls) > _MANY and (offset := _only_offset(midnight, cron.zone)) is not None:
        for wall in walls:
            yield wall.replace(tzinfo=UTC) - offset
        return
    for wall in walls:
        if cron.is_of_every_hour:
            yield from _all_moments(wall, cron.zone)
        else:
            yield first_moment(wall, cron.zone)


def _only_offset(midnight: datetime, zone: ZoneInfo) -> timedelta | None:
    """Return the zone's offset from UTC if it is one all day; else None."""
    start = midnight.replace(tzinfo=UTC) - _DAY
    hours = (start + timedelta(hours=number) for number in range(3 * 24 + 1))
    offsets = {moment.astimezone(zone).utcoffset() for moment in hours}
    return offsets.pop() if len(offsets) == 1 else None


def _all_moments(wall: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield whenever the clock shows a time: once, twice or never."""
    for fold in (0, 1):
        moment = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if _shows(moment, zone) == wall:
            yield moment
