"""One example of each thing that a run must not get wrong: small, and quickly told."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciliation.matching import Rule
from reconciliation.models import Match, MismatchEvent, Reconciliation
from reconciliation.terms import rule_json
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.two_sides import (
    ENDS,
    STARTS,
    arrive,
    drive,
    make_profile,
    order,
    ours,
    standing,
    theirs,
)

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def tenant() -> None:
    make_tenant("t1")


def told() -> set[tuple[str, int | None, int | None]]:
    """Return type and rows of what stands."""
    return {mismatch[:3] for mismatch in standing()}


def test_no_row_is_in_two_matches():
    make_profile({}, {"key": "account_id"})
    mine, second, yours = arrive(
        ours("R1", account="A"), ours("R2", account="A"), theirs("R3", account="A")
    )
    drive()
    assert told() == {("missing_external", second, None)}
    with all_tenants(reason="test"):
        rows = Match.objects.get().rows.values_list("transaction_id", flat=True)
        assert set(rows) == {mine, yours}


def test_of_equal_rows_the_first_ones_match():
    make_profile()
    rows = arrive(*[ours("R1")] * 5, *[theirs("R1")] * 4)
    drive()
    assert told() == {("duplicate", rows[4], rows[5])}


def test_the_days_of_a_sum_count_to_its_farthest_row():
    make_profile({}, {"shape": "one_to_many", "days": 1})
    mine, first, _ = arrive(
        ours("R1", "20"), theirs("R1", "10"), theirs("R1", "10", at=STARTS + 3 * DAY)
    )
    drive()
    assert told() == {("ambiguous", mine, first)}


def test_a_duplicate_names_the_first_of_its_equals():
    make_profile()
    *_, third, yours, _ = arrive(*[ours("R1")] * 3, *[theirs("R1")] * 2)
    drive()
    assert told() == {("duplicate", third, yours)}


def test_what_failed_on_one_side_is_no_plain_match():
    make_profile()
    mine, yours = arrive(ours("R1"), theirs("R1", status="FAILED"))
    assert drive()["plain"] == 0
    assert told() == {("status", mine, yours)}


@pytest.mark.parametrize(
    ("clock", "day"), [("17:59:59", "2026-01-15"), ("18:00:00", "2026-01-16")]
)
def test_a_day_ends_at_the_cut_off(clock: str, day: str):
    make_profile(cutoff="18:00")
    hours, minutes, seconds = map(int, clock.split(":"))
    at = STARTS + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    arrive(ours("R1", at=at))
    drive()
    with all_tenants(reason="test"):
        assert str(Reconciliation.objects.get().day) == day


def test_days_are_those_of_the_clock_though_it_is_put_forward_two_hours():
    make_profile(time_zone="Antarctica/Troll")
    saturday = datetime(2026, 3, 28, 23, 59, tzinfo=UTC)
    monday = saturday + timedelta(hours=22, minutes=11)
    mine, yours = arrive(ours("R1", at=saturday), theirs("R1", at=monday))
    later = monday + 9 * DAY
    drive(starts=saturday - DAY, ends=saturday + 2 * DAY, now=later)
    assert told() == {("date", mine, yours)}


def test_an_open_question_stands_until_it_is_answered():
    make_profile()
    (asked,) = arrive(ours("R1"))
    drive()
    assert drive(starts=ENDS, ends=ENDS + DAY)["closed"] == 0
    assert told() == {("missing_external", asked, None)}
    arrive(theirs("R1", at=ENDS + timedelta(hours=1)))
    assert drive(starts=ENDS, ends=ENDS + DAY)["closed"] == 1
    assert told() == set()


def test_a_dry_run_changes_nothing():
    make_profile()
    arrive(ours("R1", "10.00"), theirs("R1", "12.00"), ours("R2"))
    drive()
    arrive(theirs("R2"))
    before = standing()
    result = drive(rules=[rule_json(Rule(amount=Decimal(5)))])
    assert (result["plain"], result["mismatches"]) == (2, {})
    assert standing() == before
    with all_tenants(reason="test"):
        assert not MismatchEvent.objects.exclude(action="found").exists()


def test_what_comes_while_a_run_is_at_work_is_for_the_next():
    make_profile()
    (asked,) = arrive(ours("R1"))
    job = order()
    state = drive(job=job, stops_at="opening")
    arrive(theirs("R1"))
    drive(job=job, state=state)
    assert told() == {("missing_external", asked, None)}
    drive()
    assert told() == set()
