"""A crontab in plain words. Pure: no Django, no clock."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from reconciliation.crontabs import Crontab
from reconciliation.slots import next_slots

_WEEKDAYS: Final = (
    *("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
)
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
_MONDAY_TO_FRIDAY: Final = frozenset(range(1, 6))
_WEEKEND: Final = frozenset({0, 6})
_ALL_WEEKDAYS: Final = frozenset(range(7))
_ALL_MONTHS: Final = frozenset(range(1, 13))
_ALL_DAYS: Final = frozenset(range(1, 32))
#: Of more times or days than these, a list is no plain word.
_MOST_LISTED: Final = 4
_HOUR: Final = 60


def in_words(cron: Crontab, after: datetime | None = None) -> str:
    """Return when it is due, for people: `Every day at 06:00, Asia/Kolkata`.

    What has no short words is told as it is written, with the next three times after
    a moment.
    """
    days, times = _days(cron), _times(cron)
    zone = cron.zone.key
    if days is None or times is None:
        if after is None:
            return f"{cron.text}, {zone}"
        found = next_slots(cron, after, 3)
        shown = (f"{slot.astimezone(cron.zone):%Y-%m-%d %H:%M}" for slot in found)
        return f"{cron.text}, {zone}: {', '.join(shown) or 'never'}"
    if cron.is_of_every_hour:
        return f"{times}{f', {_lower(days)}' if days != 'Every day' else ''}, {zone}"
    return f"{days} {times}, {zone}"


def _times(cron: Crontab) -> str | None:
    minutes, hours = sorted(cron.minutes), sorted(cron.hours)
    if cron.is_of_every_hour:
        return _of_every_hour(minutes)
    if len(minutes) * len(hours) > _MOST_LISTED:
        return None
    return "at " + _and(f"{h:02}:{m:02}" for h in hours for m in minutes)


def _of_every_hour(minutes: Sequence[int]) -> str | None:
    if len(minutes) == _HOUR:
        return "Every minute"
    if len(minutes) == 1:
        return f"At minute {minutes[0]} of every hour"
    step = minutes[1] - minutes[0]
    if _HOUR % step == 0 and list(minutes) == list(range(0, _HOUR, step)):
        return f"Every {step} minutes"
    if len(minutes) <= _MOST_LISTED:
        return f"At minutes {_and(map(str, minutes))} of every hour"
    return None


def _days(cron: Crontab) -> str | None:
    is_any_weekday = cron.weekdays == _ALL_WEEKDAYS
    if cron.days == _ALL_DAYS:
        if cron.months != _ALL_MONTHS:
            return None
        return "Every day" if is_any_weekday else _of_week(cron.weekdays)
    if not is_any_weekday or len(cron.days) > _MOST_LISTED:
        return None
    days = sorted(cron.days)
    named = f"On day {days[0]}" if len(days) == 1 else f"On days {_and(map(str, days))}"
    if cron.months == _ALL_MONTHS:
        return f"{named} of every month"
    if len(cron.months) > _MOST_LISTED:
        return None
    return f"{named} of {_and(_MONTHS[month - 1] for month in sorted(cron.months))}"


def _of_week(weekdays: frozenset[int]) -> str:
    if weekdays == _MONDAY_TO_FRIDAY:
        return "Monday to Friday"
    if weekdays == _WEEKEND:
        return "Every Saturday and Sunday"
    # A week begins with Monday, and Sunday is its last day.
    in_order = sorted(weekdays, key=lambda number: (number - 1) % 7)
    return "Every " + _and(_WEEKDAYS[number] for number in in_order)


def _and(words: Iterable[str]) -> str:
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def _lower(text: str) -> str:
    """Return a phrase as it stands within a sentence."""
    return text if text.startswith("Monday") else text[0].lower() + text[1:]
