"""What becomes of a schedule's slots, and which days a slot is about.

Pure: no Django, no clock. A slot is *missed* if nobody decided it within ten minutes,
as when everything was down; what then happens is the schedule's own rule.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from reconciliation.crontabs import Crontab
from reconciliation.slots import first_moment, latest_slots, slots

#: Beat wakes at the slot and again every minute; longer than this nobody was there.
TOLERANCE: Final = timedelta(minutes=10)
#: Jobs of one schedule that a decision may enqueue of what was missed; the next
#: decision, a minute later, goes on.
MOST_AT_ONCE: Final = 50
#: Skipped slots that a decision writes down, the latest ones; so many say enough.
MOST_SKIPPED: Final = 1_000

_DAY: Final = timedelta(days=1)
_MIDNIGHT: Final = time()


class Missed(StrEnum):
    """What happens to the slots that were missed."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the slots up to and with a moment; in order."""

    skipped: list[datetime]
    runs: list[datetime]
    upto: datetime
    #: Whether there may be skipped slots before those that are told.
    is_cut: bool = False


def plan(cron: Crontab, *, after: datetime, now: datetime, missed: Missed) -> Plan:
    """Decide the slots after a moment and up to now.

    What is on time runs. With ALL, slots run oldest first and a part of them at once.
    """
    if missed is Missed.ALL:
        runs = list(islice(slots(cron, after, now), MOST_AT_ONCE))
        return Plan([], runs, runs[-1] if len(runs) == MOST_AT_ONCE else now)
    # A slot of exactly ten minutes ago is on time.
    late = max(after, now - TOLERANCE - timedelta(microseconds=1))
    passed = latest_slots(cron, after, late, MOST_SKIPPED)
    on_time = list(slots(cron, late, now))
    is_cut = len(passed) == MOST_SKIPPED
    if missed is Missed.ONCE and passed:
        return Plan(passed[:-1], [passed[-1], *on_time], now, is_cut)
    return Plan(passed, on_time, now, is_cut)


class Covers(StrEnum):
    """What period a slot is about."""

    DAY = "previous_day"
    WEEK = "previous_week"
    MONTH = "previous_month"


@dataclass(frozen=True, slots=True)
class Days:
    """How days begin and end: at a cut-off, by the clock of a zone."""

    zone: ZoneInfo
    cutoff: time = _MIDNIGHT

    def day_of(self, moment: datetime) -> date:
        """Return the day of a moment; from the cut-off on, it is the next one."""
        wall = moment.astimezone(self.zone).replace(tzinfo=None)
        is_over = self.cutoff != _MIDNIGHT and wall.time() >= self.cutoff
        return wall.date() + _DAY if is_over else wall.date()

    def start_of(self, day: date) -> datetime:
        """Return the moment at which a day begins, as UTC."""
        begun = day if self.cutoff == _MIDNIGHT else day - _DAY
        return first_moment(datetime.combine(begun, self.cutoff), self.zone)


def covered(covers: Covers, at: datetime, days: Days) -> tuple[datetime, datetime]:
    """Return the first moment of the period before `at`, and the first after it."""
    today = days.day_of(at)
    if covers is Covers.MONTH:
        end = today.replace(day=1)
        start = (end - _DAY).replace(day=1)
    else:
        end = today
        start = today - (7 * _DAY if covers is Covers.WEEK else _DAY)
    return days.start_of(start), days.start_of(end)
