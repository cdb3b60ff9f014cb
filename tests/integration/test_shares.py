"""Entitled and received shares as SQL reads them, against plain Python."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

import pytest
from django.db import connection
from django.utils import timezone

from fairshare.entitlement import Share
from quotas.models import Quota
from taskqueue_site import shares
from taskqueue_site.shares import Window, WindowShares
from tenants.models import Tenant, Tier
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.history import Ran, make_past_job

pytestmark = pytest.mark.django_db

WINDOW = Window(minutes=2, step_seconds=10)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def read(now: datetime, window: Window = WINDOW) -> WindowShares:
    with all_tenants(reason="test"):
        return shares.window_shares(window, shares.tenants_now(), now=now)


def in_percent(share: Share | None) -> tuple[float, float]:
    assert share is not None
    return round(100 * share.entitled, 1), round(100 * share.received, 1)


def flood(tenant: str, now: datetime, *, since: float, jobs: int, seconds: float):
    """Enqueue at once what then runs one by one, up to now."""
    for number in range(jobs):
        started = jobs * seconds - number * seconds
        make_past_job(tenant, since, Ran(started, seconds), now=now)


def quota(slug: str, **values: object) -> None:
    with all_tenants(reason="test"):
        Quota.objects.filter(tenant=slug).update(**values)


# --- Truth ----------------------------------------------------------------------------


class Past(NamedTuple):
    """A job as it was: seconds ago; `ready` before each start, None if it waits now."""

    tenant: str
    spells: list[tuple[float, float]]  # waited from, to
    runs: list[tuple[float, float]]  # ran from, to


SHAPES = ("once", "late", "yielded", "retried", "queued", "live")


def some_past(source: Random, now: datetime) -> Iterator[Past]:
    """Write jobs of every shape and yield what they did."""
    # One shape in most places of a run, and few jobs: where tenants wait all the time,
    # no single wait matters.
    usual = source.choice(SHAPES)
    for _ in range(12):
        tenant = source.choice("abc")
        ready = source.uniform(30, 160)
        start = ready - source.choice([0.2, source.uniform(0, 25)])
        long = source.choice([0.5, source.uniform(0, 20)])
        shape = source.choice([usual, usual, *SHAPES])
        ran = [(start, start - long)]
        waited = [(ready, start)]
        if shape == "once":
            make_past_job(tenant, ready, Ran(start, long), now=now)
        elif shape == "late":
            make_past_job(tenant, ready + 50, Ran(start, long), now=now, due_ago=ready)
        elif shape == "queued":
            ready /= 5
            make_past_job(tenant, ready, now=now)
            ran, waited = [], [(ready, 0)]
        elif shape == "live":
            make_past_job(tenant, ready, Ran(start, None), now=now)
            ran = [(start, 0)]
        else:
            ended = max(2.5, start - long)
            long = start - ended
            again = ended - source.uniform(0, 0.8) * ended
            due = (ended + again) / 2 if shape == "retried" else ready
            outcome = "failed" if shape == "retried" else "yielded"
            first, then = Ran(start, long, outcome), Ran(again, again / 2)
            make_past_job(tenant, ready, first, then, now=now, due_ago=due)
            back = due if shape == "retried" else ended
            waited = [(ready, start), (back, again)]
            ran = [(start, ended), (again, again / 2)]
        yield Past(tenant, waited, ran)


def true_shares(past: list[Past], weights: dict[str, int]) -> dict[str, Share]:
    steps, step = WINDOW.steps, WINDOW.step_seconds
    found = {slug: Share() for slug in weights}
    total = 0.0
    for number in range(steps):
        opens, closes = (steps - number) * step, (steps - number - 1) * step
        got = dict.fromkeys(weights, 0.0)
        for job in past:
            for begin, end in job.runs:
                got[job.tenant] += max(0.0, min(begin, opens) - max(end, closes))
        hungry = {
            slug
            for slug in weights
            if all(
                any(
                    frm >= bound and (bound > to or bound == to == 0)
                    for job in past
                    if job.tenant == slug
                    for frm, to in job.spells
                )
                for bound in (opens, closes)
            )
        }
        amount = sum(got.values())
        total += amount
        level = _level(amount, got, hungry, weights)
        for slug, weight in weights.items():
            most = float("inf") if slug in hungry else got[slug]
            found[slug].entitled += min(most, level * weight)
            found[slug].received += got[slug]
    for share in found.values():
        share.entitled /= total
        share.received /= total
    return found


def _level(
    amount: float, got: dict[str, float], hungry: set[str], weights: dict[str, int]
) -> float:
    """Find the level of the water by halving."""
    low, high = 0.0, amount + 1
    for _ in range(80):
        middle = (low + high) / 2
        filled = sum(
            middle * weight if slug in hungry else min(got[slug], middle * weight)
            for slug, weight in weights.items()
        )
        low, high = (low, middle) if filled > amount else (middle, high)
    return high


@pytest.mark.parametrize("seed", range(24))
def test_the_shares_are_those_of_the_ledger(now: datetime, seed: int):
    weights = {"a": 1, "b": 2, "c": 5}
    for slug, weight in weights.items():
        make_tenant(slug, weight=weight)
    expected = true_shares(list(some_past(Random(seed), now)), weights)
    found = read(now).by_pool["shared"]
    assert sum(share.entitled for share in found.values()) == pytest.approx(1)
    for slug, share in expected.items():
        own = found.get(slug, Share())
        assert own.received == pytest.approx(share.received, abs=1e-4), slug
        assert own.entitled == pytest.approx(share.entitled, abs=1e-4), slug


# --- What it means --------------------------------------------------------------------


def test_a_tenant_with_work_for_half_of_the_window_is_entitled_to_half_its_part(
    now: datetime,
):
    """Both wait in the last minute only; before it, a had the pool for itself."""
    make_tenant("a")
    make_tenant("b")
    flood("a", now, since=300, jobs=24, seconds=5)
    make_past_job("a", 200, now=now)
    make_past_job("b", 60, now=now)
    assert in_percent(read(now).of("shared", "a")) == (75.0, 100.0)
    assert in_percent(read(now).of("shared", "b")) == (25.0, 0.0)


def test_a_light_tenant_is_entitled_to_what_it_asked_for(now: datetime):
    make_tenant("heavy")
    make_tenant("light")
    make_past_job("heavy", 300, now=now)
    make_past_job("heavy", 300, Ran(120, 90), now=now)
    make_past_job("light", 60.2, Ran(60, 10), now=now)
    assert in_percent(read(now).of("shared", "light")) == (10.0, 10.0)


@pytest.mark.parametrize("held_by", ["pause", "rate"])
def test_time_that_a_pause_or_a_rate_holds_back_earns_nothing(
    now: datetime, held_by: str
):
    make_tenant("busy")
    make_tenant("held", is_paused=held_by == "pause")
    if held_by == "rate":
        quota("held", rate_per_second=Decimal("0.1"))
    flood("busy", now, since=300, jobs=12, seconds=10)
    make_past_job("busy", 300, now=now)
    make_past_job("held", 300, now=now)
    assert in_percent(read(now).of("shared", "busy")) == (100.0, 100.0)
    assert read(now).of("shared", "held") is None


def test_a_cap_limits_what_a_tenant_is_entitled_to(now: datetime):
    """Four slots run all the time; with a cap of one, no more than a quarter is due."""
    make_tenant("capped")
    quota("capped", max_in_flight=1)
    make_tenant("other")
    for slug, slots in (("capped", 1), ("other", 3)):
        make_past_job(slug, 300, now=now)
        for _ in range(slots):
            make_past_job(slug, 300, Ran(150, None), now=now)
    assert in_percent(read(now).of("shared", "capped")) == (25.0, 25.0)


def test_tiers_share_before_tenants_do(now: datetime):
    Tier.objects.get_or_create(name="gold", defaults={"weight": 2})
    Tier.objects.filter(name="gold").update(weight=3)
    make_tenant("a")
    make_tenant("g")
    with all_tenants(reason="test"):
        Tenant.objects.filter(pk="g").update(tier_id="gold")
    for slug in ("a", "g"):
        make_past_job(slug, 300, now=now)
        make_past_job(slug, 300, Ran(200, None), now=now)
    assert in_percent(read(now).of("shared", "g")) == (75.0, 50.0)


def test_a_job_that_was_not_due_yet_did_not_wait(now: datetime):
    """It was enqueued long ago for a time that has come just now."""
    make_tenant("a")
    make_tenant("later")
    make_past_job("a", 300, now=now)
    make_past_job("a", 300, Ran(150, None), now=now)
    make_past_job("later", 300, now=now, due_ago=5)
    assert in_percent(read(now).of("shared", "a")) == (100.0, 100.0)


def test_a_retried_job_at_the_head_does_not_hide_the_wait_of_the_others(now: datetime):
    make_tenant("a")
    make_past_job("a", 300, Ran(290, 1, "failed"), now=now, due_ago=1, state="queued")
    make_past_job("a", 100, now=now)
    with all_tenants(reason="test"):
        (tenant,) = shares.tenants_now()
    assert tenant.due_at == now - timedelta(seconds=100)


def test_a_job_that_came_back_waits_since_then(now: datetime):
    """It ran until 35 s ago, gave its slot back, and now heads its line again."""
    make_tenant("a")
    make_tenant("b")
    make_past_job("a", 300, now=now)
    make_past_job("a", 300, Ran(150, None), now=now)
    make_past_job("b", 300, Ran(300, 265, "yielded"), now=now, state="queued")
    # Of 205 s in all: 85 s while both ran, and half of the last 30 s.
    assert in_percent(read(now).of("shared", "b")) == (
        round(100 * (85 + 15) / 205, 1),
        round(100 * 85 / 205, 1),
    )


def test_pools_are_apart(now: datetime):
    make_tenant("a")
    make_tenant("own", pool="own", weight=9)
    make_past_job("a", 100, Ran(90, 10), now=now)
    make_past_job("own", 100, Ran(90, 30, pool="own"), now=now)
    found = read(now)
    assert in_percent(found.of("shared", "a")) == (100.0, 100.0)
    assert in_percent(found.of("own", "own")) == (100.0, 100.0)
    assert found.of("shared", "own") is None


def test_a_window_with_too_many_attempts_is_cut_at_its_old_end(
    now: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shares, "MOST_ATTEMPTS", 3)
    make_tenant("old")
    make_tenant("new")
    make_past_job("old", 100, Ran(100, 10), now=now)
    for ago in (45, 35, 25):
        make_past_job("new", ago, Ran(ago, 5), now=now)
    found = read(now)
    assert found.is_cut
    assert found.begin == now - timedelta(seconds=90)
    assert in_percent(found.of("shared", "new")) == (100.0, 100.0)
    assert found.of("shared", "old") is None


def test_nothing_happened(now: datetime):
    make_tenant("a")
    found = read(now)
    assert (found.by_pool, found.is_cut) == ({}, False)


# --- Cost -----------------------------------------------------------------------------


def test_only_the_head_of_a_line_is_read(now: datetime):
    """However long the line, so many rows of it."""
    make_tenant("a")
    for _ in range(40):
        make_past_job("a", 100, now=now)
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        cursor.execute(
            "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)" + shares._TENANTS,
            {"heads": shares.HEADS},
        )
        plan = cursor.fetchone()[0][0]["Plan"]
    (scan,) = [node for node in nodes(plan) if node.get("Index Name") == "job_queue"]
    assert scan["Actual Rows"] * scan["Actual Loops"] <= 4 * shares.HEADS


def nodes(plan: dict) -> Iterator[dict]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)
