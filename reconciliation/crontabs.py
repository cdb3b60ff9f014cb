"""What the five fields of a crontab say.

Pure: no Django. The fields are read as Celery reads them, since beat wakes by them: a
day counts if it is one of the days of the month *and* one of the days of the week.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

#: Name of a field, what people call it, its least and its greatest number.
FIELDS: Final = (
    ("minute", "Minute", 0, 59),
    ("hour", "Hour", 0, 23),
    ("day_of_month", "Day of month", 1, 31),
    ("month_of_year", "Month", 1, 12),
    ("day_of_week", "Day of week", 0, 6),
)
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: Final = {
    "month_of_year": {name: number for number, name in enumerate(_MONTHS, 1)},
    "day_of_week": {name: number for number, name in enumerate(_WEEKDAYS)},
}
_PART: Final = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?")


class CrontabError(ValueError):
    """A field says nothing that a crontab could mean."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crontab:
    """Which minutes of which days, by the clock of a zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    #: Sunday is 0.
    weekdays: frozenset[int]
    zone: ZoneInfo
    #: The five fields as written.
    text: str

    @property
    def is_of_every_hour(self) -> bool:
        """Whether no hour is named: it goes with real time, not with the clock."""
        return len(self.hours) == 24


def crontab_of(
    *,
    minute: str,
    hour: str,
    day_of_month: str,
    month_of_year: str,
    day_of_week: str,
    zone: ZoneInfo,
) -> Crontab:
    """Read five fields.

    Raises CrontabError.
    """
    given = (minute, hour, day_of_month, month_of_year, day_of_week)
    sets = [
        _numbers(text.strip(), name, least, most)
        for text, (name, _, least, most) in zip(given, FIELDS, strict=True)
    ]
    return Crontab(
        minutes=sets[0],
        hours=sets[1],
        days=sets[2],
        months=sets[3],
        weekdays=sets[4],
        zone=zone,
        text=" ".join(text.strip() for text in given),
    )


def faults_of(fields: Mapping[str, str]) -> list[CrontabError]:
    """Return what is wrong with each of five fields by name: one fault for a field."""
    found = []
    for name, _, least, most in FIELDS:
        try:
            _numbers(fields[name].strip(), name, least, most)
        except CrontabError as error:
            found.append(error)
    return found


def _numbers(text: str, name: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        found.update(_part(part, name, least, most))
    return frozenset(found)


def _part(part: str, name: str, least: int, most: int) -> list[int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise CrontabError(name, f"{part!r} is none of *, */5, 3, 3-7, 3-7/2")
    star, first, last, step = match.groups()
    if step is not None and (int(step) == 0 or not (star or last)):
        raise CrontabError(name, f"{part!r}: a step is */5 or 3-7/2, and not 0")
    whole = list(range(least, most + 1))
    if star is None:
        start = _number(first, name, least, most)
        end = start if last is None else _number(last, name, least, most)
        whole = whole[start - least :] + whole[: start - least]
        whole = whole[: (end - start) % len(whole) + 1]
    return whole[:: int(step or 1)]


def _number(text: str, name: str, least: int, most: int) -> int:
    number = _NAMES.get(name, {}).get(text[:3].lower(), -1)
    if text.isdecimal() and text.isascii():
        number = int(text[:4])
    if not least <= number <= most:
        raise CrontabError(name, f"{text!r} is not from {least} to {most}")
    return number
