"""The laws of the fair scheduler, one named example each, on a single slot."""

from collections import Counter
from collections.abc import Mapping
from itertools import count

import pytest

from fairshare.scheduler import (
    DELTA_US,
    FLOOR_US,
    FairScheduler,
    Gate,
    JobAlreadyKnown,
    Priority,
    Snapshot,
    TenantInFlight,
    UnknownJob,
    UnknownTenant,
)

MS = 1_000
SECOND = 1_000_000

# Orders of jobs offered again; above any order written out in a test.
LATER = count(1_000_000)


def backlogged(weights: Mapping[str, int], *, jobs: int = 2) -> FairScheduler[str]:
    scheduler: FairScheduler[str] = FairScheduler()
    for tenant, weight in weights.items():
        scheduler.set_tenant(tenant, weight=weight)
        offer(scheduler, tenant, jobs)
    return scheduler


def offer(
    scheduler: FairScheduler[str],
    tenant: str,
    jobs: int,
    *,
    priority: Priority = Priority.NORMAL,
) -> None:
    for _ in range(jobs):
        order = next(LATER)
        scheduler.offer(tenant, f"{tenant}-{order}", order=order, priority=priority)


def serve(
    scheduler: FairScheduler[str],
    picks: int,
    costs: Mapping[str, int] | int = MS,
    *,
    estimate: int = MS,
) -> Counter[str]:
    """Run jobs one after the other, each offered again; return microseconds served."""
    served: Counter[str] = Counter()
    for _ in range(picks):
        dispatch = scheduler.pick(estimate)
        assert dispatch is not None
        scheduler.check_invariants()
        cost = costs if isinstance(costs, int) else costs[dispatch.tenant]
        scheduler.settle(dispatch.job, cost)
        scheduler.offer(dispatch.tenant, dispatch.job, order=next(LATER))
        scheduler.check_invariants()
        served[dispatch.tenant] += cost
    return served


def picked(scheduler: FairScheduler[str], picks: int, cost: int = MS) -> list[str]:
    """Run jobs one after the other, each once; return whose they were."""
    tenants = []
    for _ in range(picks):
        dispatch = scheduler.pick(cost)
        assert dispatch is not None
        scheduler.settle(dispatch.job, cost)
        scheduler.check_invariants()
        tenants.append(dispatch.tenant)
    return tenants


# Shares


def test_equal_weights_get_equal_time_at_a_hundredfold_cost() -> None:
    scheduler = backlogged({"cheap": 1000, "dear": 1000})
    served = serve(scheduler, 2_000, {"cheap": 1 * MS, "dear": 100 * MS})
    assert abs(served["cheap"] - served["dear"]) <= 2 * 100 * MS
    assert served["dear"] >= 10 * 100 * MS


def test_weights_one_two_four_hold_within_the_bound() -> None:
    weights = {"small": 1000, "middle": 2000, "large": 4000}
    served = serve(backlogged(weights), 700)
    normalised = [served[tenant] * 1000 // weights[tenant] for tenant in weights]
    assert max(normalised) - min(normalised) <= 2 * MS
    assert sum(served.values()) == 700 * MS


def test_weight_is_live_on_the_standing_backlog() -> None:
    scheduler = backlogged({"grown": 1000, "same": 1000}, jobs=600)
    serve(scheduler, 100)
    scheduler.set_tenant("grown", weight=4000)
    served = serve(scheduler, 500)
    assert abs(served["grown"] - 400 * MS) <= 4 * MS


def test_changing_a_weight_changes_no_debt() -> None:
    scheduler = backlogged({"acme": 1000})
    serve(scheduler, 10)
    before = scheduler.share("acme").virtual_time
    scheduler.set_tenant("acme", weight=9000)
    assert scheduler.share("acme").virtual_time == before


def test_ties_go_to_the_oldest_head_then_to_the_name() -> None:
    scheduler: FairScheduler[str] = FairScheduler()
    for tenant, order in (("c", 1), ("b", 2), ("a", 2)):
        scheduler.set_tenant(tenant, weight=1000)
        scheduler.offer(tenant, tenant, order=order)
    assert picked(scheduler, 3) == ["c", "a", "b"]


# Newcomers, idleness, debt


def test_flood_does_not_delay_a_newcomer() -> None:
    scheduler = backlogged({"flood": 1000}, jobs=1_000)
    picked(scheduler, 200)
    scheduler.set_tenant("new", weight=1000)
    offer(scheduler, "new", 1)
    assert "new" in picked(scheduler, 2)


def test_idle_tenant_banks_no_credit() -> None:
    scheduler = backlogged({"busy": 1000})
    scheduler.set_tenant("idle", weight=1000)
    serve(scheduler, 500)
    offer(scheduler, "idle", 2)
    served = serve(scheduler, 100)
    assert abs(served["idle"] - served["busy"]) <= 2 * MS


def test_debt_survives_drain() -> None:
    scheduler = backlogged({"busy": 1000})
    scheduler.set_tenant("debtor", weight=1000)
    scheduler.offer("debtor", "long", order=0)
    assert scheduler.pick(MS) is not None
    scheduler.settle("long", 100 * MS)
    assert scheduler.share("debtor").gate is Gate.IDLE
    serve(scheduler, 10)
    offer(scheduler, "debtor", 1)
    assert serve(scheduler, 85).keys() == {"busy"}
    assert "debtor" in serve(scheduler, 10)


def test_stalled_tenant_does_not_freeze_the_clock_for_a_newcomer() -> None:
    running = ["a", "b", "c", "d"]
    scheduler = backlogged(dict.fromkeys(running, 1000))
    scheduler.set_tenant("stalled", weight=1000)
    scheduler.offer("stalled", "tomorrow", order=0)
    scheduler.withdraw("tomorrow")
    serve(scheduler, 400)
    scheduler.set_tenant("new", weight=1000)
    offer(scheduler, "new", 20)
    assert serve(scheduler, 20)["new"] <= 5 * MS


# Gates


def test_paused_time_earns_nothing() -> None:
    scheduler = backlogged({"busy": 1000, "held": 1000})
    scheduler.set_tenant("held", weight=1000, paused=True)
    assert scheduler.share("held").gate is Gate.PAUSED
    assert serve(scheduler, 500).keys() == {"busy"}
    scheduler.set_tenant("held", weight=1000)
    served = serve(scheduler, 100)
    assert abs(served["held"] - served["busy"]) <= 2 * MS


def test_capped_time_earns_nothing() -> None:
    scheduler = backlogged({"busy": 1000, "held": 1000}, jobs=3)
    scheduler.set_tenant("held", weight=1000, cap=1)
    dispatches = [scheduler.pick(MS), scheduler.pick(MS)]
    running = next(d for d in dispatches if d and d.tenant == "held")
    other = next(d for d in dispatches if d and d.tenant == "busy")
    assert scheduler.share("held").gate is Gate.CAP
    scheduler.settle(other.job, MS)
    assert serve(scheduler, 500).keys() == {"busy"}
    scheduler.settle(running.job, MS)
    served = serve(scheduler, 100)
    assert abs(served["held"] - served["busy"]) <= 2 * MS


def test_cap_is_exact() -> None:
    scheduler = backlogged({"capped": 1000}, jobs=10)
    scheduler.set_tenant("capped", weight=1000, cap=3)
    dispatches = [scheduler.pick(MS) for _ in range(4)]
    assert dispatches[3] is None
    assert scheduler.share("capped").in_flight == 3
    assert dispatches[0] is not None
    scheduler.settle(dispatches[0].job, MS)
    assert scheduler.pick(MS) is not None
    assert scheduler.pick(MS) is None


def test_lowered_cap_holds_until_enough_are_settled() -> None:
    scheduler = backlogged({"capped": 1000}, jobs=5)
    jobs = [d.job for d in (scheduler.pick(MS) for _ in range(3)) if d]
    scheduler.set_tenant("capped", weight=1000, cap=2)
    scheduler.settle(jobs[0], MS)
    assert scheduler.pick(MS) is None
    scheduler.settle(jobs[1], MS)
    assert scheduler.pick(MS) is not None


def test_gated_tenant_does_not_stop_others() -> None:
    scheduler = backlogged({"a": 1000, "b": 1000})
    scheduler.set_tenant("a", weight=1000, cap=0)
    assert serve(scheduler, 10) == {"b": 10 * MS}


def test_gates_are_told_apart() -> None:
    scheduler: FairScheduler[str] = FairScheduler()
    scheduler.set_tenant("acme", weight=1000)
    assert scheduler.share("acme").gate is Gate.IDLE
    assert scheduler.pick(MS) is None
    scheduler.offer("acme", "job", order=0)
    assert scheduler.share("acme").gate is Gate.TURN
    assert scheduler.share("acme").waiting == 1


# Charges


def test_hold_is_corrected_at_settlement() -> None:
    scheduler = backlogged({"acme": 2000})
    dispatch = scheduler.pick(10 * MS)
    assert dispatch is not None
    assert (dispatch.held_us, dispatch.weight) == (10 * MS, 2000)
    held = scheduler.share("acme")
    scheduler.settle(dispatch.job, 4 * MS)
    settled = scheduler.share("acme")
    assert (held.used_us, settled.used_us) == (10 * MS, 4 * MS)
    assert (held.ahead_us, settled.ahead_us) == (5 * MS, 2 * MS)


def test_overestimated_tenant_still_gets_its_share() -> None:
    scheduler = backlogged({"feared": 1000, "known": 1000})

    def estimate(tenant: str, _job: str) -> int:
        return 100 * MS if tenant == "feared" else MS

    served: Counter[str] = Counter()
    for _ in range(200):
        dispatch = scheduler.pick(estimate)
        assert dispatch is not None
        scheduler.settle(dispatch.job, MS)
        scheduler.offer(dispatch.tenant, dispatch.job, order=next(LATER))
        served[dispatch.tenant] += 1
    assert served == {"feared": 100, "known": 100}


def test_refund_undoes_the_hold_at_the_weight_it_was_made() -> None:
    scheduler = backlogged({"acme": 1000})
    dispatch = scheduler.pick(10 * MS)
    assert dispatch is not None
    scheduler.set_tenant("acme", weight=4000)
    scheduler.settle(dispatch.job, 0)
    assert scheduler.share("acme").virtual_time == 0


def test_odd_weight_leaves_no_rounding_behind() -> None:
    scheduler = backlogged({"odd": 1237})
    dispatch = scheduler.pick(777)
    assert dispatch is not None
    for elapsed_us in (777, 2 * SECOND, 5 * SECOND):
        scheduler.refresh(dispatch.job, elapsed_us)
    scheduler.settle(dispatch.job, 0)
    assert scheduler.share("odd").virtual_time == 0


def test_long_job_is_charged_ahead_while_it_runs() -> None:
    scheduler = backlogged({"long": 1000})
    dispatch = scheduler.pick(MS)
    assert dispatch is not None
    used = []
    for elapsed_us in (MS - 1, MS, 2 * MS - 1, 2 * MS, 2 * DELTA_US):
        scheduler.refresh(dispatch.job, elapsed_us)
        scheduler.check_invariants()
        used.append(scheduler.share("long").used_us)
    assert used == [MS, 2 * MS, 2 * MS, 4 * MS, 3 * DELTA_US]


def test_tiny_job_that_is_a_little_late_does_not_count_as_a_long_one() -> None:
    scheduler = backlogged({"tiny": 1000, "other": 1000})
    dispatch = scheduler.pick(5 * MS)
    assert dispatch is not None
    assert dispatch.tenant == "tiny"
    scheduler.refresh(dispatch.job, 6 * MS)
    assert scheduler.share("tiny").used_us == 12 * MS


def test_newcomer_owes_nothing_for_a_hold_that_was_given_back() -> None:
    scheduler = backlogged({"flood": 1000}, jobs=50)
    for _ in range(20):
        first, second = scheduler.pick(SECOND), scheduler.pick(SECOND)
        assert first is not None
        assert second is not None
        scheduler.settle(first.job, MS)
        scheduler.settle(second.job, MS)
    scheduler.set_tenant("newcomer", weight=1000)
    scheduler.offer("newcomer", "n", order=0)
    picks = [scheduler.pick(MS), scheduler.pick(MS)]
    assert "newcomer" in {pick.tenant for pick in picks if pick is not None}


def test_long_job_holds_its_tenant_back_before_it_ends() -> None:
    scheduler = backlogged({"long": 1000, "short": 1000})
    first = scheduler.pick(MS)
    assert first is not None
    assert first.tenant == "long"
    scheduler.refresh(first.job, SECOND)
    assert serve(scheduler, 1_000).keys() == {"short"}


def test_zero_estimate_is_held_at_the_floor() -> None:
    dispatch = backlogged({"acme": 1000}).pick(0)
    assert dispatch is not None
    assert dispatch.held_us == FLOOR_US


def test_second_settlement_is_refused() -> None:
    scheduler = backlogged({"acme": 1000})
    dispatch = scheduler.pick(MS)
    assert dispatch is not None
    scheduler.settle(dispatch.job, MS)
    with pytest.raises(UnknownJob):
        scheduler.settle(dispatch.job, MS)
    assert scheduler.share("acme").used_us == MS


def test_failing_estimate_changes_nothing() -> None:
    scheduler = backlogged({"acme": 1000})
    before = scheduler.snapshot()
    with pytest.raises(ZeroDivisionError):
        scheduler.pick(lambda _tenant, _job: 1 // 0)
    with pytest.raises(TypeError, match="whole microseconds"):
        scheduler.pick(lambda _tenant, _job: 1.5)  # type: ignore[arg-type, return-value]
    assert scheduler.snapshot() == before
    scheduler.check_invariants()


# Priority inside a tenant


def test_priority_takes_nothing_from_another_tenant() -> None:
    scheduler = backlogged({"plain": 1000})
    scheduler.set_tenant("loud", weight=1000)
    offer(scheduler, "loud", 300, priority=Priority.URGENT)
    assert Counter(serve(scheduler, 200)) == {"plain": 100 * MS, "loud": 100 * MS}


def test_urgent_job_of_a_tenant_passes_its_standing_backlog() -> None:
    scheduler = backlogged({"acme": 1000}, jobs=50)
    picked(scheduler, 10)
    scheduler.offer("acme", "now", order=next(LATER), priority=Priority.URGENT)
    dispatch = scheduler.pick(MS)
    assert dispatch is not None
    assert dispatch.job == "now"


def test_low_class_is_not_starved() -> None:
    scheduler: FairScheduler[str] = FairScheduler()
    scheduler.set_tenant("acme", weight=1000)
    classes: dict[str, Priority] = {}
    for priority in Priority:
        for number in range(200):
            job = f"{priority.name}-{number}"
            classes[job] = priority
            scheduler.offer("acme", job, order=number, priority=priority)
    served: Counter[Priority] = Counter()
    for _ in range(150):
        dispatch = scheduler.pick(MS)
        assert dispatch is not None
        scheduler.settle(dispatch.job, MS)
        served[classes[dispatch.job]] += 1
    assert [served[priority] for priority in Priority] == [80, 40, 20, 10]


def test_jobs_of_one_class_go_oldest_first() -> None:
    scheduler: FairScheduler[int] = FairScheduler()
    scheduler.set_tenant("acme", weight=1000)
    for order in (5, 3, 9, 1):
        scheduler.offer("acme", order, order=order)
    picks = [scheduler.pick(MS) for _ in range(4)]
    assert [d.job for d in picks if d] == [1, 3, 5, 9]


# Knowing and forgetting jobs and tenants


def test_known_job_is_not_offered_twice() -> None:
    scheduler: FairScheduler[str] = FairScheduler()
    scheduler.set_tenant("acme", weight=1000)
    assert scheduler.offer("acme", "job", order=1)
    assert not scheduler.offer("acme", "job", order=0)
    assert scheduler.pick(MS) is not None
    assert not scheduler.offer("acme", "job", order=1)
    assert scheduler.pick(MS) is None
    scheduler.settle("job", MS)
    assert scheduler.offer("acme", "job", order=1)


def test_withdrawn_job_is_never_picked() -> None:
    scheduler: FairScheduler[str] = FairScheduler()
    scheduler.set_tenant("acme", weight=1000)
    for number, job in enumerate(("first", "second")):
        scheduler.offer("acme", job, order=number)
    assert scheduler.withdraw("first")
    assert not scheduler.withdraw("first")
    dispatch = scheduler.pick(MS)
    assert dispatch is not None
    assert dispatch.job == "second"
    assert not scheduler.withdraw("second")


def test_removed_tenant_takes_its_jobs_along() -> None:
    scheduler = backlogged({"gone": 1000, "stays": 1000})
    scheduler.remove_tenant("gone")
    scheduler.check_invariants()
    assert picked(scheduler, 2) == ["stays", "stays"]
    assert scheduler.pick(MS) is None
    with pytest.raises(UnknownTenant):
        scheduler.share("gone")


def test_tenant_in_flight_is_not_removed() -> None:
    scheduler = backlogged({"acme": 1000})
    scheduler.pick(MS)
    with pytest.raises(TenantInFlight, match="1 attempts"):
        scheduler.remove_tenant("acme")


@pytest.mark.parametrize(
    ("weight", "cap"), [(0, None), (-1, None), (1000, -1)], ids=str
)
def test_impossible_weight_or_cap_is_refused(weight: int, cap: int | None) -> None:
    scheduler: FairScheduler[str] = FairScheduler()
    with pytest.raises(ValueError, match="acme"):
        scheduler.set_tenant("acme", weight=weight, cap=cap)


def test_what_was_never_set_is_refused() -> None:
    scheduler: FairScheduler[str] = FairScheduler()
    with pytest.raises(UnknownTenant, match="set_tenant"):
        scheduler.offer("nobody", "job", order=0)
    scheduler.set_tenant("acme", weight=1000)
    with pytest.raises(ValueError, match="7"):
        scheduler.offer("acme", "job", order=0, priority=7)
    with pytest.raises(UnknownJob):
        scheduler.refresh("job", 1)
    scheduler.check_invariants()


# Rebuilding


def test_rebuilt_scheduler_decides_as_the_lost_one() -> None:
    weights = {"a": 1000, "b": 2000, "c": 3000}
    lost = backlogged(weights, jobs=9)
    rebuilt: FairScheduler[str] = FairScheduler()
    for tenant, weight in weights.items():
        rebuilt.set_tenant(tenant, weight=weight)
    serve(lost, 20, {"a": 5 * MS, "b": 3 * MS, "c": 2 * MS})
    snapshot = lost.snapshot()
    rebuilt.resume(Snapshot.from_json(snapshot.shared_json(), snapshot.tenants_json()))
    settled, live = lost.pick(7 * MS), lost.pick(4 * MS)
    assert settled is not None
    assert live is not None
    lost.settle(settled.job, 6 * MS)

    rebuilt.charge(settled.tenant, 6 * MS, settled.weight)
    rebuilt.restore(live.tenant, live.job, held_us=live.held_us, weight=live.weight)
    for order, tenant in enumerate(sorted(weights)):
        for number in range(5):
            job = f"{tenant}:{number}"
            lost.offer(tenant, job, order=-100 + 10 * number + order)
            rebuilt.offer(tenant, job, order=-100 + 10 * number + order)
    rebuilt.check_invariants()
    assert picked(rebuilt, 9) == picked(lost, 9)


def test_rebuilt_tier_keeps_its_place_whoever_is_offered_first() -> None:
    """A tenant at its elastic cap comes back first; its tier is not behind for it."""
    lost: FairScheduler[str] = FairScheduler()
    rebuilt: FairScheduler[str] = FairScheduler()
    for scheduler in (lost, rebuilt):
        scheduler.set_tier("gold", weight=1000)
        scheduler.set_tenant("plain", weight=1000)
        scheduler.set_tenant("elastic", weight=1000, elastic_cap=0)
        scheduler.set_tenant("golden", weight=1000, tier="gold")
    for tenant in ("golden", "plain", "elastic"):
        offer(lost, tenant, 3)
    golden, plain, again = (lost.pick(MS) for _ in range(3))
    assert [golden.tenant, plain.tenant, again.tenant] == ["golden", "plain", "golden"]
    for dispatch, cost_us in ((golden, MS), (again, MS), (plain, 0)):
        lost.settle(dispatch.job, cost_us)
    snapshot = lost.snapshot()
    assert snapshot.tiers["standard"].virtual_time < snapshot.clock
    rebuilt.resume(snapshot)
    for tenant in ("elastic", "plain", "golden"):
        offer(rebuilt, tenant, 1)
    assert rebuilt.snapshot().tiers == snapshot.tiers


def test_rebuild_without_a_snapshot_banks_no_credit() -> None:
    scheduler: FairScheduler[str] = FairScheduler()
    for tenant in ("used", "unused"):
        scheduler.set_tenant(tenant, weight=1000)
    for _ in range(100):
        scheduler.charge("used", SECOND, 1000)
    offer(scheduler, "used", 2)
    offer(scheduler, "unused", 2)
    served = serve(scheduler, 100, SECOND, estimate=SECOND)
    assert abs(served["used"] - served["unused"]) <= 2 * SECOND


def test_restored_attempt_counts_against_the_cap_and_is_settled() -> None:
    scheduler = backlogged({"acme": 1000})
    scheduler.set_tenant("acme", weight=1000, cap=1)
    scheduler.restore("acme", "live", held_us=5 * MS, weight=1000)
    assert scheduler.pick(MS) is None
    with pytest.raises(JobAlreadyKnown):
        scheduler.restore("acme", "live", held_us=5 * MS, weight=1000)
    scheduler.settle("live", 2 * MS)
    assert scheduler.share("acme").used_us == 2 * MS
    assert scheduler.pick(MS) is not None


def test_stale_heap_entries_do_not_pile_up() -> None:
    scheduler = backlogged({"a": 1000, "b": 1000})
    for number in range(2_000):
        scheduler.offer("a", "flapping", order=-number)
        scheduler.withdraw("flapping")
    scheduler.check_invariants()
