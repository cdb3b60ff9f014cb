"""Two deciders at once over the months in which clocks change: each slot runs once."""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from jobs import handlers, synthetic
from reconciliation import schedules
from reconciliation.models import Schedule, Slot
from reconciliation.schedules import decide_due
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.scheduling import jobs, make_profile, make_schedule, outcomes

pytestmark = pytest.mark.django_db(transaction=True)

NEW_YORK = ZoneInfo("America/New_York")
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
#: Everything stands still from the 14th at noon for two days and 5 minutes.
DOWN_FROM = timedelta(days=13, hours=12)
DOWN_UPTO = DOWN_FROM + timedelta(days=2, minutes=5)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that takes any payload, a tenant, and its profile in New York."""
    kind = replace(synthetic.SLEEP, name="reconcile")
    monkeypatch.setitem(handlers._kinds, "reconcile", kind)
    make_tenant("t1")


@dataclass
class Told:
    """A schedule, and every time at which it is due in a month, told by hand."""

    text: str
    missed: str
    due: list[datetime]


def month(year: int, number: int) -> tuple[datetime, datetime]:
    start = datetime(year, number, 1, tzinfo=NEW_YORK)
    end = datetime(year, number + 1, 1, tzinfo=NEW_YORK)
    return start.astimezone(UTC), end.astimezone(UTC)


def daily(start: datetime, end: datetime, hour: int, minute: int) -> list[datetime]:
    """Return that local time of each day; where there is none, the gap's end."""
    found = []
    day = start.astimezone(NEW_YORK)
    while day < end:
        wall = day.replace(hour=hour, minute=minute, fold=0)
        moment = wall.astimezone(UTC)
        if moment.astimezone(NEW_YORK).hour != hour:
            moment = datetime(2026, 3, 8, 7, tzinfo=UTC)
        found.append(moment)
        day += timedelta(days=1)
    return found


def expected(told: Told, start: datetime) -> list[tuple[datetime, str]]:
    """Return what becomes of each due time, by the rule for what is missed."""
    down, up = start + DOWN_FROM, start + DOWN_UPTO
    missed = [due for due in told.due if down <= due < up - 10 * MINUTE]
    runs = {"skip": [], "once": missed[-1:], "all": missed}[told.missed]
    skipped = set(missed) - set(runs)
    return [(due, "skipped" if due in skipped else "enqueued") for due in told.due]


def wakes(tolds: Iterable[Told], start: datetime, end: datetime) -> list[datetime]:
    """Return when beat is there: at each slot, some seconds late, but not when down."""
    late = timedelta(seconds=7)
    moments = {due + late for told in tolds for due in told.due} | {end}
    down, up = start + DOWN_FROM, start + DOWN_UPTO
    return sorted({m for m in moments if not down <= m < up} | {up})


def race(moments: list[datetime]) -> Counter[str]:
    """Let two deciders, each with a connection of its own, decide at each moment."""
    counts: Counter[str] = Counter()
    barrier = threading.Barrier(2, timeout=60)
    lock = threading.Lock()

    def beat() -> None:
        try:
            for now in moments:
                barrier.wait()
                found = decide_due(now=now)
                with lock:
                    counts.update(found)
        except BaseException:
            barrier.abort()
            raise
        finally:
            connection.close()

    beats = [threading.Thread(target=beat) for _ in range(2)]
    for thread in beats:
        thread.start()
    for thread in beats:
        thread.join()
    assert not barrier.broken
    return counts


def hourly(start: datetime, end: datetime, minute: int) -> list[datetime]:
    """Return every real hour of the days when clocks change, and of the outage's."""
    count = (end - start) // HOUR
    moments = [start + number * HOUR + minute * MINUTE for number in range(count)]
    return [m for m in moments if m.astimezone(NEW_YORK).day in (1, 2, 8, 14, 15, 16)]


def tolds_of(start: datetime, end: datetime) -> list[Told]:
    return [
        Told("30 2 * * *", "once", daily(start, end, 2, 30)),
        Told("30 1 * * *", "all", daily(start, end, 1, 30)),
        Told("15 * 1,2,8,14-16 * *", "skip", hourly(start, end, 15)),
    ]


@pytest.mark.parametrize(("number", "has_lock"), [(3, True), (11, True), (11, False)])
def test_each_due_time_runs_once(
    number: int, has_lock: bool, monkeypatch: pytest.MonkeyPatch
):
    """By the lock on its schedule nobody fails; without it, the key stands."""
    if not has_lock:
        take_the_lock_away(monkeypatch)
    start, end = month(2026, number)
    tolds = tolds_of(start, end)
    profile = make_profile("t1", time_zone=NEW_YORK.key)
    made: list[tuple[Schedule, Told]] = [
        (
            make_schedule(
                *("t1", told.text),
                zone=NEW_YORK.key,
                profile=profile,
                missed=told.missed,
                name=told.text,
                now=start,
            ),
            told,
        )
        for told in tolds
    ]
    counts = race(wakes(tolds, start, end))
    for schedule, told in made:
        assert outcomes(schedule) == expected(told, start), told.text
    with all_tenants(reason="test"):
        ordered = list(Slot.objects.filter(outcome="enqueued").values_list("job_id"))
    assert sorted(ordered) == sorted((job.pk,) for job in jobs())
    assert (counts["failed"] > 0) == (not has_lock)


def take_the_lock_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both read a schedule before either writes, as often as both come there."""
    both = threading.Barrier(2)

    def unlocked(schedule_id: int) -> Schedule | None:
        found: Schedule | None = Schedule.objects.filter(pk=schedule_id).first()
        try:
            both.wait(timeout=0.2)
        except threading.BrokenBarrierError:
            both.reset()
        return found

    monkeypatch.setattr(schedules, "_locked", unlocked)
