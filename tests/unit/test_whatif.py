"""What a change of settings would have done to recorded jobs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fairshare.scheduler import Priority, Rate
from fairshare.simulation import TenantConfig, TierConfig
from fairshare.whatif import Plan, RecordedJob, TenantChange, WhatIf, what_if

SECOND = 1_000_000
MINUTE = 60 * SECOND
#: 2025-03-10 13:00 UTC, in microseconds since 1970.
START = 1_741_611_600 * SECOND


def backlog(tenant: str, jobs: int, *, cost_us: int = MINUTE) -> list[RecordedJob]:
    return [RecordedJob(tenant, START, cost_us)] * jobs


def plan(*tenants: TenantConfig, slots: int = 4, **more: Any) -> Plan:
    return Plan(slots={"default": slots}, tenants=tenants, **more)


def weighted(**weights: int) -> Plan:
    return plan(*(TenantConfig(tenant=t, weight=w) for t, w in weights.items()))


def changes(answer: WhatIf) -> dict[str, TenantChange]:
    return {change.tenant: change for change in answer.tenants}


def minutes(time_us: int | None) -> float:
    assert time_us is not None
    return (time_us - START) / MINUTE


@pytest.fixture
def heavier() -> dict[str, TenantChange]:
    """Two equal backlogs; then the weight of t2 goes from 1 to 4."""
    jobs = backlog("t1", 120) + backlog("t2", 120)
    before, after = weighted(t1=1000, t2=1000), weighted(t1=1000, t2=4000)
    return changes(what_if(jobs, before, after))


def test_a_heavier_tenant_is_done_sooner_and_the_whole_no_later(
    heavier: dict[str, TenantChange],
):
    # Four slots, 240 minutes of work: all is done in an hour, whatever the weights.
    assert minutes(heavier["t1"].before.backlog_ends_us) == pytest.approx(60, abs=1)
    assert minutes(heavier["t1"].after.backlog_ends_us) == 60
    # At four fifths of four slots, 120 minutes take 37.5.
    assert minutes(heavier["t2"].after.backlog_ends_us) == pytest.approx(37.5, abs=1.5)
    assert heavier["t2"].after.share == pytest.approx(0.8, abs=0.03)
    assert heavier["t2"].before.share == pytest.approx(0.5, abs=0.02)
    assert heavier["t2"].after.jobs == 120


def test_it_is_said_in_one_sentence(heavier: dict[str, TenantChange]):
    assert heavier["t2"].sentence == (
        "At weight 4, tenant t2's backlog ends 13:38 instead of 14:00 UTC; half of "
        "its jobs wait up to 18 min instead of 29 min."
    )
    assert heavier["t1"].sentence.startswith(
        "Tenant t1's backlog ends 14:00 UTC as before;"
    )


def test_without_a_change_nothing_changes():
    jobs = backlog("t1", 30) + backlog("t2", 50)
    same = weighted(t1=1000, t2=3000)
    for change in what_if(jobs, same, same).tenants:
        assert change.before == change.after
        assert " as before" in change.sentence
        assert "instead" not in change.sentence


def test_a_lone_tenant_waits_for_its_own_work_only():
    (change,) = what_if(backlog("a", 8), weighted(a=1000), weighted(a=9000)).tenants
    assert minutes(change.after.backlog_ends_us) == 2
    assert change.after.wait_p50_us == 0
    assert change.after.wait_p99_us == MINUTE
    assert change.after.share == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cap": 1}, "At cap 1, tenant a's backlog ends 13:04 instead of 13:01 UTC;"),
        ({"elastic_cap": 2}, "At elastic cap 2, tenant a's backlog ends 13:01 UTC as"),
        ({"paused": True}, "Paused, tenant a's backlog never ends; half of its jobs n"),
        ({"rate": Rate(10, 1)}, "At 0.01 jobs a second, tenant a's backlog ends 13:06"),
        ({"tier": "gold", "weight": 500}, "At weight 0.5, in tier gold, tenant a's"),
    ],
)
def test_every_change_is_named(changed: dict[str, Any], words: str):
    before = TenantConfig(tenant="a")
    after = replace(before, **changed)
    (change,) = what_if(backlog("a", 4), plan(before), plan(after)).tenants
    assert change.sentence.startswith(words)


def test_what_never_starts_has_no_numbers():
    paused = plan(TenantConfig(tenant="a", paused=True))
    (change,) = what_if(backlog("a", 4), paused, weighted(a=1000)).tenants
    assert change.before.wait_p50_us is None
    assert change.before.backlog_ends_us is None
    assert change.before.share is None
    assert change.sentence == (
        "Resumed, tenant a's backlog ends 2025-03-10 13:01 UTC instead of never; half "
        "of its jobs start at once instead of never."
    )


def test_a_cap_that_is_taken_away_is_named():
    capped = plan(TenantConfig(tenant="a", cap=2))
    (change,) = what_if(backlog("a", 4), capped, weighted(a=1000)).tenants
    assert change.sentence.startswith("Without cap, tenant a's backlog ends 13:01:00 ")


def test_moments_are_said_in_the_zone_asked_for():
    india = timezone(timedelta(hours=5, minutes=30), "IST")
    jobs, now = backlog("a", 4), weighted(a=1000)
    capped = plan(TenantConfig(tenant="a", cap=1))
    (change,) = what_if(jobs, now, capped, zone=india).tenants
    assert "ends 18:34 instead of 18:31 IST" in change.sentence
    (change,) = what_if(jobs, now, now, zone=india).tenants
    assert "ends 18:31 IST as before" in change.sentence
    cut = what_if(backlog("a", 4), now, now, most_jobs=2, zone=india)
    assert "from 2025-03-10 18:30 IST on" in cut.note


def test_seconds_are_said_where_they_make_the_difference():
    jobs = backlog("a", 2, cost_us=MINUTE + SECOND)
    capped = plan(TenantConfig(tenant="a", cap=1))
    (change,) = what_if(jobs, weighted(a=1000), capped).tenants
    assert "ends 13:02:02 instead of 13:01:01 UTC" in change.sentence


def test_moments_on_both_sides_of_a_change_of_clocks_each_name_their_zone():
    # At 01:00 UTC on 2025-03-30, Berlin's clocks went from CET to CEST.
    start = int(datetime(2025, 3, 30, 0, 58, tzinfo=UTC).timestamp()) * SECOND
    jobs = [RecordedJob("a", start, MINUTE)] * 4
    capped = plan(TenantConfig(tenant="a", cap=1))
    (change,) = what_if(
        jobs, weighted(a=1000), capped, zone=ZoneInfo("Europe/Berlin")
    ).tenants
    words = "ends 2025-03-30 03:02 CEST instead of 2025-03-30 01:59 CET"
    assert words in change.sentence


@pytest.mark.parametrize(
    ("minute", "words"),
    [
        # An hour apart both times; by the hands of the clock, the first is no time.
        (25, "ends 2025-10-26 02:26 CET instead of 2025-10-26 02:26 CEST"),
        (59, "ends 03:00 instead of 02:00 CET"),
    ],
)
def test_an_hour_that_comes_twice_is_told_apart(minute: int, words: str):
    # At 01:00 UTC Berlin's clocks went back from 03:00 CEST to 02:00 CET.
    start = int(datetime(2025, 10, 26, 0, minute, tzinfo=UTC).timestamp()) * SECOND
    jobs = [RecordedJob("a", start, MINUTE)] * 61
    wide, capped = (
        plan(TenantConfig(tenant="a", cap=cap), slots=61) for cap in (None, 1)
    )
    (change,) = what_if(jobs, wide, capped, zone=ZoneInfo("Europe/Berlin")).tenants
    assert words in change.sentence


def test_days_are_told_apart():
    jobs = backlog("a", 20, cost_us=120 * MINUTE)
    capped = plan(TenantConfig(tenant="a", cap=1))
    (change,) = what_if(jobs, weighted(a=1000), capped).tenants
    assert "ends 2025-03-12 05:00 instead of 2025-03-10 23:00 UTC" in change.sentence


def test_pools_are_apart_and_a_tenant_can_move():
    jobs = backlog("a", 40) + backlog("b", 40)
    tenants = [TenantConfig(tenant=name) for name in "ab"]
    before = Plan(slots={"default": 4, "big": 8}, tenants=tenants)
    after = replace(before, pool_of={"b": "big"})
    answer = changes(what_if(jobs, before, after))
    assert minutes(answer["a"].after.backlog_ends_us) == 10
    assert minutes(answer["b"].after.backlog_ends_us) == 5
    assert answer["b"].sentence.startswith("In pool big, tenant b's backlog ends 13:05")


def test_a_pool_without_slots_never_ends():
    nothing = Plan(slots={"default": 0}, tenants=[TenantConfig(tenant="a")])
    (change,) = what_if(backlog("a", 2), nothing, nothing).tenants
    assert change.after.backlog_ends_us is None
    assert "never ends either way" in change.sentence


def test_tiers_share_before_tenants_do():
    tiers = [TierConfig(tier="gold", weight=3000), TierConfig(tier="base", weight=1000)]
    tenants = [
        TenantConfig(tenant=t, tier=r) for t, r in (("a", "gold"), ("b", "base"))
    ]
    jobs = backlog("a", 60) + backlog("b", 60)
    answer = changes(what_if(jobs, *[plan(*tenants, tiers=tiers)] * 2))
    assert answer["a"].after.share == pytest.approx(0.75, abs=0.03)


def test_priorities_reorder_a_tenants_own_jobs():
    """Short jobs that go first keep the usual wait short; behind long ones, not."""

    def usual_wait_us(priority: Priority) -> int:
        short = RecordedJob("a", START, 6 * SECOND, "job", priority)
        jobs = backlog("a", 60) + [short] * 600
        (change,) = what_if(jobs, weighted(a=1000), weighted(a=1000)).tenants
        assert change.after.wait_p50_us is not None
        return change.after.wait_p50_us

    assert 2 * usual_wait_us(Priority.URGENT) < usual_wait_us(Priority.LOW)


@pytest.mark.parametrize(
    "wrong",
    [
        plan(TenantConfig(tenant="b")),
        plan(TenantConfig(tenant="a"), pool_of={"a": "nowhere"}),
    ],
)
def test_a_job_without_a_place_is_refused(wrong: Plan):
    with pytest.raises(ValueError, match=r"a or its pool (default|nowhere) is not in"):
        what_if(backlog("a", 1), wrong, wrong)


def test_no_jobs_no_answer():
    same = weighted(a=1000)
    assert what_if([], same, same) == WhatIf([], 0, "")


def recorded(random: Random, jobs: int) -> list[RecordedJob]:
    return [
        RecordedJob(
            random.choice("abc"),
            START + random.randrange(3600 * SECOND),
            random.randrange(20 * SECOND),
            random.choice(["load", "report"]),
        )
        for _ in range(jobs)
    ]


def test_more_jobs_than_wanted_are_cut_off_at_the_old_end_and_it_is_said():
    jobs = recorded(Random(1), 500)
    old, new = weighted(a=1000, b=1000, c=1000), weighted(a=1000, b=5000, c=1000)
    answer = what_if(jobs, old, new, most_jobs=200)
    latest = sorted(jobs, key=lambda job: job.arrival_us)[-200:]
    assert answer.jobs == 200
    assert answer.tenants == what_if(latest, old, new).tenants
    assert answer.note.startswith("Only the last 200 of 500 jobs were replayed, from ")
    assert what_if(jobs, old, new).note == ""


def test_the_order_in_which_jobs_are_given_does_not_matter():
    jobs = recorded(Random(2), 300)
    old, new = weighted(a=1000, b=1000, c=1000), weighted(a=3000, b=1000, c=1000)
    answer = what_if(jobs, old, new)
    assert answer == what_if(reversed(jobs), old, new)
    assert sum(change.before.jobs for change in answer.tenants) == 300
    assert sum(change.after.jobs for change in answer.tenants) == 300
