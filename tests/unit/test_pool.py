"""What a pool publishes, and when: no I/O, so told by hand what the ledger says."""

import pytest

from jobs.backlog import Head, Standing, TenantConfig
from jobs.pool import BUNDLE_JOBS, BUNDLE_US, Bundle, Cost, Pool


def make_pool(slots: int, *tenants: str) -> Pool:
    pool = Pool("shared", slots=slots)
    for tenant in tenants:
        pool.configure(
            TenantConfig(
                slug=tenant,
                weight=1000,
                cap=None,
                rate=None,
                burst=None,
                is_paused=False,
                pool="shared",
                tier="standard",
                tier_weight=1000,
            )
        )
    return pool


def offer(pool: Pool, tenant: str, *jobs: str, is_suspect: bool = False) -> None:
    for job in jobs:
        pool.offer(Head(job, tenant, "sleep", 2, is_suspect))


def jobs_of(bundles: list[Bundle]) -> list[list[str]]:
    return [[pick.job for pick in bundle] for bundle in bundles]


def publish(pool: Pool, estimate_us: int) -> list[list[str]]:
    """Plan once and note everything as dispatched; returns the jobs of the bundles."""
    bundles = pool.plan(lambda head: estimate_us, now_us=0)
    for bundle in bundles:
        first = max(pool.flights, default=0)
        attempts = {pick.job: first + n for n, pick in enumerate(bundle, start=1)}
        pool.publishes(bundle, attempts)
    return jobs_of(bundles)


def end(pool: Pool, attempt_id: int, settled_us: int) -> None:
    pool.observe([Standing(attempt_id, "succeeded", settled_us, True, settled_us)])


def test_long_jobs_are_published_for_free_slots_only():
    pool = make_pool(2, "t1")
    offer(pool, "t1", "a", "b", "c", "d")
    assert publish(pool, 1_000_000) == [["a"], ["b"]]
    assert publish(pool, 1_000_000) == []
    end(pool, 1, 900_000)
    assert publish(pool, 1_000_000) == [["c"]]


def test_tiny_jobs_of_one_tenant_are_bundled_and_one_bundle_waits_for_the_slot():
    pool = make_pool(1, "t1")
    offer(pool, "t1", *(f"{n:03}" for n in range(9)))
    assert publish(pool, BUNDLE_US // 4) == [["000", "001", "002", "003"]]
    assert publish(pool, BUNDLE_US // 4) == [["004", "005", "006", "007"]]
    assert publish(pool, BUNDLE_US // 4) == []


def test_a_pool_can_be_told_to_send_each_job_by_itself():
    pool = make_pool(2, "t1")
    pool.bundle_jobs = 1
    offer(pool, "t1", "000", "001", "002")
    assert publish(pool, BUNDLE_US // 4) == [["000"], ["001"]]


def test_a_bundle_holds_so_many_jobs_at_most():
    pool = make_pool(1, "t1")
    offer(pool, "t1", *(f"{n:03}" for n in range(2 * BUNDLE_JOBS)))
    (bundle,) = publish(pool, 1)
    # A hold has a floor, which keeps the number below the limit as well.
    assert 10 < len(bundle) <= BUNDLE_JOBS


def test_a_bundle_never_mixes_tenants_and_they_take_turns():
    pool = make_pool(1, "t1", "t2")
    offer(pool, "t1", *(f"a{n}" for n in range(8)))
    offer(pool, "t2", *(f"b{n}" for n in range(8)))
    turns = [publish(pool, BUNDLE_US // 4) for _ in range(2)]
    assert turns == [[["a0", "a1", "a2", "a3"]], [["b0", "b1", "b2", "b3"]]]


def test_a_job_that_was_lost_with_a_bundle_travels_alone():
    pool = make_pool(4, "t1")
    offer(pool, "t1", "a")
    offer(pool, "t1", "b", is_suspect=True)
    offer(pool, "t1", "c", "d")
    assert publish(pool, BUNDLE_US // 8) == [["a"], ["b"], ["c", "d"]]


def test_a_slot_whose_job_is_about_to_end_is_published_for():
    pool = make_pool(1, "t1")
    offer(pool, "t1", "a", "b", "c")
    assert publish(pool, 1_000_000) == [["a"]]
    pool.observe([Standing(1, None, None, True, 700_000)])
    assert publish(pool, 1_000_000) == []
    pool.observe([Standing(1, None, None, True, 960_000)])
    assert publish(pool, 1_000_000) == [["b"]]
    assert publish(pool, 1_000_000) == []


def test_what_a_worker_that_is_gone_holds_keeps_no_slot_of_another():
    pool = make_pool(4, "t1")
    offer(pool, "t1", *"abcdefgh")
    publish(pool, 1_000_000)
    held = [(1, "gone"), (2, "gone"), (3, "alive"), (4, "alive")]
    pool.observe(Standing(n, None, None, True, 9_000, worker) for n, worker in held)
    pool.slots = 2
    assert publish(pool, 1_000_000) == []
    pool.gone = {"gone"}
    assert publish(pool, 1_000_000) == []
    end(pool, 3, 10_000)
    assert publish(pool, 1_000_000) == [["e"]]
    # It reports itself again before its attempts are lost.
    pool.slots, pool.gone = 4, set()
    assert publish(pool, 1_000_000) == []
    assert pool.scheduler.share("t1").in_flight == 4


def test_one_bundle_waits_for_every_second_slot_that_is_about_to_be_free():
    pool = make_pool(4, "t1")
    offer(pool, "t1", *(f"{n}" for n in range(9)))
    assert len(publish(pool, BUNDLE_US)) == 4
    assert len(publish(pool, BUNDLE_US)) == 2
    assert publish(pool, BUNDLE_US) == []


def test_one_short_bundle_waits_for_each_slot_that_is_about_to_be_free():
    pool = make_pool(4, "t1")
    offer(pool, "t1", *(f"{n:04}" for n in range(12 * BUNDLE_JOBS)))
    assert len(publish(pool, 1)) == 4
    assert len(publish(pool, 1)) == 4
    assert publish(pool, 1) == []


def test_a_job_that_runs_past_its_estimate_is_not_expected_to_end():
    pool = make_pool(1, "t1")
    offer(pool, "t1", "a", "b")
    publish(pool, 1_000_000)
    pool.observe([Standing(1, None, None, True, 1_200_000)])
    assert publish(pool, 1_000_000) == []


def test_a_job_that_had_moved_costs_its_tenant_nothing():
    pool = make_pool(1, "t1")
    offer(pool, "t1", "a", "b")
    (bundle,) = pool.plan(lambda head: 1_000_000, now_us=0)
    pool.publishes(bundle, attempts={})
    assert (pool.flights, pool.outbox) == ({}, [])
    assert pool.scheduler.share("t1").used_us == 0
    assert publish(pool, 1_000_000) == [["b"]]


def test_it_tells_who_waits_for_its_slots():
    pool = make_pool(1, "t1", "t2")
    offer(pool, "t1", "a")
    publish(pool, 1_000_000)
    assert not pool.pressure().moves("t1", 2)
    pool.offer(Head("b", "t1", "sleep", 1, is_suspect=False))
    assert pool.pressure().moves("t1", 2)
    assert not pool.pressure().moves("t1", 1)
    offer(pool, "t2", "c")
    assert pool.pressure().moves("t1", 0)


def test_an_attempt_that_yielded_tells_what_attempts_cost_and_a_lost_one_does_not():
    pool = make_pool(2, "t1")
    offer(pool, "t1", "a", "b")
    publish(pool, 1_000_000)
    costs, back = pool.observe(
        [
            Standing(1, "yielded", 2_000_000, True, 2_000_000),
            Standing(2, "lost", 700_000, True, 700_000),
        ]
    )
    assert [cost.settled_us for cost in costs] == [2_000_000]
    assert back == {"t1"}


@pytest.mark.parametrize(
    ("outcome", "size"), [("succeeded", 5_000), ("failed", None), ("yielded", None)]
)
def test_only_who_succeeded_tells_what_bytes_cost(outcome: str, size: int | None):
    pool = make_pool(1, "t1")
    pool.offer(Head("a", "t1", "ingest", 2, is_suspect=False, size=5_000))
    publish(pool, 1_000_000)
    costs, _ = pool.observe([Standing(1, outcome, 700_000, True, 700_000)])
    assert costs == [Cost("t1", "ingest", 700_000, size)]
