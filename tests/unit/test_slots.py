"""Due times of crontabs: told by a walk over every minute, and by hand."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import ParseException, crontab_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.crontabs import FIELDS, Crontab, CrontabError, crontab_of
from reconciliation.slots import (
    first_moment,
    latest_slots,
    next_slot,
    next_slots,
    slots,
)

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")
ZONES = [BERLIN, NEW_YORK, KOLKATA, ZoneInfo("Australia/Lord_Howe")]
MINUTE = timedelta(minutes=1)


def cron(text: str, zone: ZoneInfo = BERLIN) -> Crontab:
    names = [field[0] for field in FIELDS]
    return crontab_of(**dict(zip(names, text.split(), strict=True)), zone=zone)


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    moment = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return moment.astimezone(UTC)


# --- Against a walk over every minute -------------------------------------------------


def walked(c: Crontab, after: datetime, upto: datetime) -> list[datetime]:
    """Walk through real time minute by minute, as a patient person with a clock."""
    found: list[datetime] = []
    shown: set[datetime] = set()
    # The clock before the span: what it has shown then is over.
    moment = after.replace(second=0, microsecond=0) - timedelta(days=2)
    clock = moment.astimezone(c.zone).replace(tzinfo=None)
    while moment < upto:
        moment += MINUTE
        before, clock = clock, moment.astimezone(c.zone).replace(tzinfo=None)
        if len(c.hours) == 24:
            is_due = matches(c, clock)
        else:
            passed = [before + MINUTE]
            while passed[-1] < clock:
                passed.append(passed[-1] + MINUTE)
            due = {wall for wall in passed if matches(c, wall) and wall <= clock}
            is_due = bool(due - shown)
            shown |= due
            if clock <= before:  # it was put back
                is_due = matches(c, clock) and clock not in shown
        if is_due and after < moment <= upto:
            found.append(moment)
    return found


def matches(c: Crontab, wall: datetime) -> bool:
    return (
        wall.minute in c.minutes
        and wall.hour in c.hours
        and wall.day in c.days
        and wall.month in c.months
        and wall.isoweekday() % 7 in c.weekdays
    )


texts = st.tuples(
    st.sampled_from(["0", "30", "*/15", "5,35", "59", "*/7"]),
    st.sampled_from(["*", "2", "1-3", "*/6", "0", "0,2,23", "3"]),
    st.sampled_from(["*", "*", "1", "8,29", "25-31"]),
    st.sampled_from(["*", "*", "3", "4,10,11"]),
    st.sampled_from(["*", "*", "0", "1-5", "sun,mon"]),
).map(" ".join)
months = st.sampled_from(
    [datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 10, 11)]
)


@settings(max_examples=30)
@given(texts, st.sampled_from(ZONES), months, st.integers(0, 10_000))
def test_slots_are_those_of_a_walk_over_every_minute(
    text: str, zone: ZoneInfo, month: datetime, minutes: int
):
    c = cron(text, zone)
    after, upto = month + minutes * MINUTE, month + timedelta(days=31)
    assert list(slots(c, after, upto)) == walked(c, after, upto)


@settings(max_examples=50)
@given(texts, st.sampled_from(ZONES), months, st.lists(st.integers(0, 44_640)))
def test_a_span_in_pieces_has_the_same_slots(
    text: str, zone: ZoneInfo, month: datetime, cuts: list[int]
):
    """Whoever decides up to now, again and again, leaves none out and none twice."""
    c, end = cron(text, zone), month + timedelta(days=31)
    bounds = [month, *sorted(month + cut * MINUTE for cut in cuts), end]
    pieces = [
        slot for after, upto in pairwise(bounds) for slot in slots(c, after, upto)
    ]
    assert pieces == list(slots(c, month, end))


@given(texts, st.sampled_from(ZONES), months, st.integers(1, 500))
def test_first_and_last_are_those_of_all(
    text: str, zone: ZoneInfo, month: datetime, most: int
):
    c, end = cron(text, zone), month + timedelta(days=31)
    every = list(slots(c, month, end))
    assert latest_slots(c, month, end, most) == every[-most:]
    upcoming = next_slots(c, month, most)
    assert upcoming[: len(every)] == every[:most]
    assert next_slot(c, month) == (upcoming[0] if upcoming else None)


# --- By hand --------------------------------------------------------------------------


def due(text: str, first: str, last: str, zone: ZoneInfo = BERLIN) -> list[str]:
    """Return the slots between two local times, as clocks show them, with the fold."""
    found = slots(cron(text, zone), at(first, zone), at(last, zone))
    return [f"{m.astimezone(zone):%d %H:%M%z}" for m in found]


@pytest.mark.parametrize(
    ("text", "first", "last", "expected"),
    [
        # Forward, on 29 March at 02:00.
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-29T12:00", ["29 03:00+0200"]),
        ("*/20 2 * * *", "2026-03-28T12:00", "2026-03-29T12:00", ["29 03:00+0200"]),
        ("0 2,3 * * *", "2026-03-28T12:00", "2026-03-29T12:00", ["29 03:00+0200"]),
        (
            *("30 * * * *", "2026-03-29T01:00", "2026-03-29T04:00"),
            ["29 01:30+0100", "29 03:30+0200"],
        ),
        # Back, on 25 October at 03:00.
        ("30 2 * * *", "2026-10-24T12:00", "2026-10-25T12:00", ["25 02:30+0200"]),
        (
            *("30 * * * *", "2026-10-25T02:00", "2026-10-25T03:00"),
            ["25 02:30+0200", "25 02:30+0100"],
        ),
    ],
)
def test_on_the_days_when_clocks_change(
    text: str, first: str, last: str, expected: list[str]
):
    assert due(text, first, last) == expected


@pytest.mark.parametrize(
    ("day", "hours"), [("03-29", 23), ("10-25", 25), ("07-01", 24)]
)
def test_an_hourly_schedule_runs_every_real_hour(day: str, hours: int):
    found = list(
        slots(
            cron("0 * * * *"), at(f"2026-{day}T00:00") - MINUTE, at(f"2026-{day}T23:59")
        )
    )
    assert len(found) == hours
    assert {b - a for a, b in pairwise(found)} == {60 * MINUTE}


def test_a_day_that_a_zone_left_out_is_made_up_for_once():
    apia = ZoneInfo("Pacific/Apia")
    found = due("0 6,18 * * *", "2011-12-29T12:00", "2011-12-31T07:00", apia)
    assert found == ["29 18:00-1000", "31 00:00+1400", "31 06:00+1400"]


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("0 0 29 2 *", "2026-01-01", "2028-02-29"),
        ("0 0 29 2 1", "2026-01-01", "2044-02-29"),
        ("0 0 29 2 1", "2073-01-01", "2112-02-29"),  # 2100 has no such day
        ("0 0 31 2 *", "2026-01-01", None),
        ("0 0 31 4,6 *", "2026-01-01", None),
    ],
)
def test_rare_days_are_found_and_those_that_never_come_are_not(
    text: str, after: str, expected: str | None
):
    utc = ZoneInfo("UTC")
    found = next_slot(cron(text, utc), at(after, utc))
    assert (found and f"{found:%Y-%m-%d}") == expected


def test_years_cost_no_more_than_what_is_taken():
    every_minute = cron("* * * * *")
    start, end = at("1990-01-01"), at("2090-01-01")
    assert list(islice(slots(every_minute, start, end), 2)) == [
        start + MINUTE,
        start + 2 * MINUTE,
    ]
    assert latest_slots(every_minute, start, end, 2) == [end - MINUTE, end]


def test_the_first_moment_of_a_time():
    for wall, zone, expected in (
        ("2026-03-29T02:30", BERLIN, at("2026-03-29T03:00")),
        ("2026-10-25T02:30", BERLIN, at("2026-10-25T02:30", fold=0)),
        ("2026-07-01T02:30", KOLKATA, at("2026-07-01T02:30", KOLKATA)),
    ):
        assert first_moment(datetime.fromisoformat(wall), zone) == expected


# --- Fields ---------------------------------------------------------------------------

parts = st.from_regex(
    r"(\*|[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2})(/[0-9]{1,2})?|sun|mon-fri|jan|dec",
    fullmatch=True,
)


@given(st.lists(parts, min_size=1, max_size=3).map(",".join), st.sampled_from(FIELDS))
def test_fields_mean_what_they_mean_to_celery(text: str, field: tuple):
    name, _, least, most = field
    fields = {each[0]: "*" for each in FIELDS} | {name: text}
    try:
        ours = crontab_of(**fields, zone=BERLIN)
    except CrontabError:
        ours = None
    try:
        theirs = crontab_parser(most - least + 1, least).parse(text)
    except (ParseException, ValueError):
        assert ours is None
        return
    if ours is not None:
        attribute = ("minutes", "hours", "days", "months", "weekdays")
        places = [each[0] for each in FIELDS]
        assert getattr(ours, attribute[places.index(name)]) == theirs
    else:
        # Celery takes a step without a range, and names in any field, for something.
        assert "/" in text or text.strip("0123456789*,-")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *[("minute", "60"), ("hour", "24"), ("day_of_month", "0"), ("minute", "")],
        *[("month_of_year", "13"), ("day_of_week", "7"), ("minute", "*/0")],
        *[("minute", "5/2"), ("hour", "1-"), ("hour", "1,,2"), ("minute", "-1")],
        *[("minute", "²"), ("minute", "9" * 5000), ("day_of_week", "jan")],
    ],
)
def test_what_a_crontab_cannot_mean_is_refused_by_the_field(field: str, text: str):
    fields = {each[0]: "*" for each in FIELDS} | {field: text}
    with pytest.raises(CrontabError) as raised:
        crontab_of(**fields, zone=BERLIN)
    assert raised.value.field == field
