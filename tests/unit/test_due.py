"""What becomes of slots that were missed, and which days a slot is about."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.crontabs import FIELDS, Crontab, crontab_of
from reconciliation.due import (
    MOST_AT_ONCE,
    MOST_SKIPPED,
    Covers,
    Days,
    Missed,
    covered,
    plan,
)
from reconciliation.matching import Terms
from reconciliation.slots import slots

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 3, 27, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def cron(text: str) -> Crontab:
    names = [field[0] for field in FIELDS]
    fields = dict(zip(names, text.split(), strict=True))
    return crontab_of(**fields, zone=ZoneInfo("UTC"))


HOURLY = cron("0 * * * *")


def hours(*numbers: int) -> list[datetime]:
    return [NOON.replace(hour=number) for number in numbers]


@pytest.mark.parametrize(
    ("missed", "skipped", "runs"),
    [
        (Missed.SKIP, hours(10, 11), hours(12)),
        (Missed.ONCE, hours(10), hours(11, 12)),
        (Missed.ALL, [], hours(10, 11, 12)),
    ],
)
def test_after_an_outage(missed: Missed, skipped: list[datetime], runs: list[datetime]):
    """It is back a minute after a slot, which is on time, with two before it."""
    found = plan(HOURLY, after=hours(9)[0], now=NOON + MINUTE, missed=missed)
    assert (found.skipped, found.runs) == (skipped, runs)
    assert found.upto == NOON + MINUTE


def test_ten_minutes_late_is_on_time_and_longer_is_missed():
    for late, is_run in ((10 * MINUTE, True), (10 * MINUTE + MINUTE / 60, False)):
        found = plan(HOURLY, after=hours(11)[0], now=NOON + late, missed=Missed.SKIP)
        assert (found.runs == hours(12), found.skipped == hours(12)) == (
            is_run,
            not is_run,
        )


@pytest.mark.parametrize("missed", list(Missed))
def test_nothing_due_decides_nothing(missed: Missed):
    found = plan(HOURLY, after=NOON, now=NOON + MINUTE, missed=missed)
    assert (found.skipped, found.runs, found.upto) == ([], [], NOON + MINUTE)


def test_many_that_were_missed_run_part_by_part_and_each_once():
    after, now = NOON - timedelta(hours=2 * MOST_AT_ONCE + 3), NOON
    taken: list[datetime] = []
    sizes = []
    upto = after
    while upto < now:
        found = plan(HOURLY, after=upto, now=now, missed=Missed.ALL)
        upto = found.upto
        sizes.append(len(found.runs))
        taken += found.runs
    assert taken == list(slots(HOURLY, after, now))
    assert sizes == [MOST_AT_ONCE, MOST_AT_ONCE, 3]


def test_of_very_many_that_are_skipped_the_latest_are_told():
    year = timedelta(days=365)
    found = plan(HOURLY, after=NOON - year, now=NOON, missed=Missed.ONCE)
    assert found.runs == hours(11, 12)
    assert (len(found.skipped), found.is_cut) == (MOST_SKIPPED - 1, True)
    assert found.skipped[-1] == hours(10)[0]


@given(
    st.sampled_from(list(Missed)),
    st.sampled_from(["*/15 * * * *", "0 6 * * *", "*/5 1 * * *"]),
    st.lists(st.integers(1, 300), max_size=20),
)
def test_whenever_it_is_decided_each_slot_is_decided_once(
    missed: Missed, text: str, waits: list[int]
):
    told: list[datetime] = []
    upto = now = NOON
    for wait in waits:
        now += wait * MINUTE
        found = plan(cron(text), after=upto, now=now, missed=missed)
        told += sorted([*found.skipped, *found.runs])
        upto = found.upto
        on_time = slots(cron(text), max(NOON, now - wait * MINUTE), now)
        late = {slot for slot in on_time if now - slot <= 10 * MINUTE}
        assert late <= set(found.runs)
    assert told == list(slots(cron(text), NOON, upto))


# --- Days -----------------------------------------------------------------------------


def period(covers: Covers, at: str, days: Days) -> list[str]:
    moment = datetime.fromisoformat(at).replace(tzinfo=days.zone)
    found = covered(covers, moment, days)
    return [f"{each.astimezone(days.zone):%Y-%m-%dT%H:%M%z}" for each in found]


@pytest.mark.parametrize(
    ("covers", "at", "cutoff", "first", "end"),
    [
        (
            Covers.DAY,
            "2026-03-30T06:00",
            "00:00",
            "03-29T00:00+0100",
            "03-30T00:00+0200",
        ),
        (
            Covers.DAY,
            "2026-03-30T00:00",
            "00:00",
            "03-29T00:00+0100",
            "03-30T00:00+0200",
        ),
        (
            Covers.DAY,
            "2026-03-30T17:59",
            "18:00",
            "03-28T18:00+0100",
            "03-29T18:00+0200",
        ),
        (
            Covers.DAY,
            "2026-03-30T18:00",
            "18:00",
            "03-29T18:00+0200",
            "03-30T18:00+0200",
        ),
        # A cut-off that does not exist on that day is where the clock goes on.
        (
            Covers.DAY,
            "2026-03-29T12:00",
            "02:30",
            "03-28T02:30+0100",
            "03-29T03:00+0200",
        ),
        (
            Covers.WEEK,
            "2026-03-30T06:00",
            "00:00",
            "03-23T00:00+0100",
            "03-30T00:00+0200",
        ),
        (
            Covers.MONTH,
            "2026-04-01T06:00",
            "00:00",
            "03-01T00:00+0100",
            "04-01T00:00+0200",
        ),
        (
            Covers.MONTH,
            "2026-03-31T19:00",
            "18:00",
            "02-28T18:00+0100",
            "03-31T18:00+0200",
        ),
    ],
)
def test_what_a_slot_covers(covers: Covers, at: str, cutoff: str, first: str, end: str):
    days = Days(BERLIN, time.fromisoformat(cutoff))
    assert period(covers, at, days) == [f"2026-{first}", f"2026-{end}"]


def test_january_covers_december():
    found = period(Covers.MONTH, "2027-01-05T06:00", Days(BERLIN))
    assert found == ["2026-12-01T00:00+0100", "2027-01-01T00:00+0100"]


@given(
    st.integers(0, 365 * 24 * 60),
    st.times(),
)
def test_days_are_those_of_runs(minutes: int, cutoff: time):
    at = NOON + minutes * MINUTE
    cutoff = cutoff.replace(microsecond=0, fold=0)
    terms = Terms(internal=(), external=(), rules=(), zone=BERLIN, cutoff=cutoff)
    assert Days(BERLIN, cutoff).day_of(at) == terms.day(at)
