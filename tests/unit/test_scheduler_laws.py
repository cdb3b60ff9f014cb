"""The laws of fair share, held against drawn weights, costs, holds and absences.

| law | held by |
|---|---|
| no slot idles while a job may start | `test_bound_holds_and_no_slot_idles`, machine |
| lag stays within the bound | `shares_follow_weights`, the same test |
| nobody starves | `nobody_starves`, `test_no_job_waits_longer_than_the_bound` |
| idle time earns nothing | `idle_time_earns_nothing`, `a_newcomer_has_no_credit` |
| debt survives a drain | `debt_survives_a_drain` |
| gated time earns nothing | `paused_`, `capped_`, `limited_time_earns_nothing` |
| a stalled head stops no clock | `a_stalled_tenant_holds_nobody_back` |
| a weight binds on what waits | `a_weight_binds_on_what_waits` |
| charges are what the ledger says | `charges_are_the_costs`, machine |
| estimates change no share | `estimates_change_no_share`, `test_the_bound_holds_…` |
| an attempt is charged once | `test_second_settlement_is_refused`, machine |
| splitting earns nothing | `splitting_earns_nothing`, `a_long_line_costs_nothing` |
| caps are exact | `a_cap_is_exact`, machine |
| same calls, same decisions | `decisions_repeat`, `test_same_seed_gives_…` |
| a replay gives the same times | `test_a_replay_gives_the_same_…`, machine |

The functions are in `scheduler_laws.py`, the machine is in `test_scheduler_model.py`,
and the other tests are in files beside this one. `test_planted_bugs.py` plants bugs and
sees the laws break.
"""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairshare.scheduler import Dispatch, FairScheduler, Snapshot
from tests.unit.scheduler_laws import LAWS, MS, Case
from tests.unit.snapshot_store import copied

# Every tenant's weight divides a tick, so that no law needs room for rounding.
WEIGHTS = st.sampled_from([250, 500, 1000, 2000, 3000, 4000, 8000])
COSTS = st.integers(min_value=MS, max_value=100 * MS)
CASES = st.builds(
    Case,
    weight_a=WEIGHTS,
    weight_b=WEIGHTS,
    cost_a=COSTS,
    cost_b=COSTS,
    hold=COSTS,
    away=st.integers(10, 100),
)


@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=settings().max_examples // 8, deadline=None)
@given(case=CASES)
def test_law(law: str, case: Case) -> None:
    LAWS[law](FairScheduler, case)


class Leader:
    """A scheduler that starts attempts, and the ledger that they are written to."""

    def __init__(self, weights: dict[str, int]) -> None:
        self.weights = weights
        self.scheduler = self.configured()
        self.dispatched: list[Dispatch[int]] = []
        self.settled: dict[int, int] = {}
        jobs = count()
        for _ in range(20):
            for tenant in weights:
                job = next(jobs)
                self.scheduler.offer(tenant, job, order=job)

    def configured(self) -> FairScheduler[int]:
        scheduler: FairScheduler[int] = FairScheduler()
        scheduler.set_tier("gold", weight=2000)
        for tenant, weight in self.weights.items():
            tier = "gold" if tenant == "c" else "standard"
            scheduler.set_tenant(tenant, weight=weight, tier=tier)
        return scheduler

    def work(self, data: st.DataObject, decisions: int) -> None:
        for _ in range(decisions):
            dispatch = self.scheduler.pick(data.draw(COSTS))
            assert dispatch is not None
            self.dispatched.append(dispatch)
            late = data.draw(st.sampled_from(self.dispatched))
            if late.job not in self.settled:
                self.settled[late.job] = data.draw(COSTS)
                self.scheduler.settle(late.job, self.settled[late.job])

    def successor(self, snapshot: Snapshot, known: set[int]) -> FairScheduler[int]:
        """Go on from a snapshot that holds these settlements."""
        scheduler = self.configured()
        scheduler.resume(snapshot)
        for job, tenant, held_us, weight, tier_weight in self.dispatched:
            if job not in self.settled:
                scheduler.restore(
                    tenant, job, held_us=held_us, weight=weight, tier_weight=tier_weight
                )
            elif job not in known:
                scheduler.charge(
                    tenant, self.settled[job], weight, tier_weight=tier_weight
                )
        return scheduler


@settings(max_examples=settings().max_examples // 4, deadline=None)
@given(data=st.data(), weight_a=WEIGHTS, weight_b=WEIGHTS)
def test_a_replay_gives_the_same_virtual_times(
    data: st.DataObject, weight_a: int, weight_b: int
) -> None:
    """A new leader charges what the ledger has since the snapshot, in order."""
    leader = Leader({"a": weight_a, "b": weight_b, "c": 1000})
    leader.work(data, 3)
    snapshot, known = copied(leader.scheduler.snapshot()), set(leader.settled)
    leader.work(data, 15)
    successor = leader.successor(snapshot, known)
    for tenant in leader.weights:
        before, after = leader.scheduler.share(tenant), successor.share(tenant)
        assert after.virtual_time == before.virtual_time
        assert after.in_flight == before.in_flight
    assert times(successor) == times(leader.scheduler)


def times(scheduler: FairScheduler[int]) -> dict[str, int]:
    tiers = scheduler.snapshot().tiers
    return {name: state.virtual_time for name, state in tiers.items()}
