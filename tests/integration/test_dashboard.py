"""What the overview counts."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from jobs.models import LeaderLease, Worker
from taskqueue_site import dashboard
from tenants.scoping import all_tenants
from tests.arrange import (
    dispatch,
    lead,
    make_dead_job,
    make_job,
    make_tenant,
    run,
    start,
)
from tests.integration.history import Ran, make_past_job

pytestmark = pytest.mark.django_db


def read() -> dashboard.Overview:
    with all_tenants(reason="test"):
        return dashboard.overview()


def share_of(slug: str) -> dashboard.Share:
    return next(share for share in read().shares if share.load.slug == slug)


def settle(slug: str, seconds: int, *, minutes_ago: int = 1) -> None:
    """Write a finished attempt of a cost."""
    ended = timezone.now() - timedelta(minutes=minutes_ago)
    make_dead_job(slug, ended=ended, seconds=seconds)


def test_jobs_are_counted_by_state():
    make_tenant("t1")
    run(make_job("t1"))
    dispatch(make_job("t1"))
    start(dispatch(make_job("t1")))
    make_job("t1")
    make_job("t1", run_after=timezone.now() + timedelta(hours=1))
    make_dead_job("t1")
    found = read()
    states = ("queued", "dispatched", "running", "scheduled", "retryable", "dead")
    assert [found.total(state) for state in states] == [1, 1, 1, 1, 0, 1]
    assert found.succeeded == 1
    assert found.oldest_wait_seconds is not None
    assert [failure.code for failure in found.failures] == ["asked_to_fail"]


def test_shares_compare_tenants_that_had_work():
    make_tenant("heavy", weight=3)
    make_tenant("light", weight=1)
    make_tenant("idle", weight=6)
    for slug in ("heavy", "light"):
        make_past_job(slug, 3600, now=timezone.now())
    settle("heavy", 60)
    settle("light", 40)
    heavy, light, idle = (share_of(slug) for slug in ("heavy", "light", "idle"))
    # Where the clock cuts the window decides how the sums are rounded.
    assert (heavy.received, heavy.entitled) == pytest.approx((60.0, 75.0))
    assert (light.received, light.entitled) == pytest.approx((40.0, 25.0))
    assert (idle.received, idle.entitled) == (None, None)


def test_only_the_window_counts():
    make_tenant("old")
    make_tenant("new")
    make_tenant("other")
    settle("old", 60, minutes_ago=dashboard.WINDOW.minutes + 5)
    # Ended a minute into the window after two of work: one minute lies inside.
    settle("new", 120, minutes_ago=dashboard.WINDOW.minutes - 1)
    settle("other", 60)
    assert share_of("old").received is None
    assert share_of("new").received == pytest.approx(50.0, abs=0.5)


def test_tenants_compete_inside_their_pool():
    make_tenant("shared", weight=1)
    make_tenant("own", weight=9, pool="own")
    settle("shared", 10)
    make_past_job("own", 200, Ran(190, 90, pool="own"), now=timezone.now())
    for slug in ("shared", "own"):
        share = share_of(slug)
        assert (share.entitled, share.received) == pytest.approx((100.0, 100.0))


def test_a_paused_tenant_with_nothing_but_a_backlog_is_entitled_to_nothing():
    make_tenant("paused", is_paused=True)
    make_job("paused")
    assert share_of("paused").entitled is None


def test_slots_are_those_of_fresh_workers():
    make_tenant("t1")
    with all_tenants(reason="test"):
        Worker.objects.create(name="fresh", pool="shared", slots=3)
        long_ago = timezone.now() - timedelta(minutes=5)
        Worker.objects.create(
            name="stale", pool="shared", slots=8, last_seen_at=long_ago
        )
    start(dispatch(make_job("t1")))
    dispatch(make_job("t1"))
    (pool,) = read().pools
    counts = (pool.workers, pool.slots, pool.running, pool.published, pool.free)
    assert counts == (1, 3, 1, 1, 1)
    assert pool.marks == [True, True, False]


def test_an_expired_lease_means_that_no_dispatcher_leads():
    assert read().leader is None
    lead()
    leader = read().leader
    assert leader is not None
    assert leader.is_leading
    LeaderLease.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    leader = read().leader
    assert leader is not None
    assert not leader.is_leading


def test_the_overview_takes_the_same_few_statements_however_many_tenants():
    for number in range(6):
        make_tenant(f"t{number}")
        make_dead_job(f"t{number}")
    with all_tenants(reason="test"):
        before = len(connection.queries_log)
        connection.force_debug_cursor = True
        try:
            dashboard.overview()
        finally:
            connection.force_debug_cursor = False
        assert len(connection.queries_log) - before == 10
