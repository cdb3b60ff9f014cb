"""The simulated pool, what is measured in it, and the golden numbers of scenarios."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import repeat
from random import Random

import pytest

from fairshare.lag import lags
from fairshare.measures import jain, percentile, responses, shares, waits
from fairshare.policies import (
    ESTIMATES,
    Capped,
    CountFair,
    Estimates,
    FairShare,
    Fifo,
    RandomPick,
)
from fairshare.scenarios import SCENARIOS
from fairshare.scheduler import Rate
from fairshare.simulation import (
    Arrival,
    Change,
    Policy,
    Setup,
    Simulation,
    Standing,
    Stream,
    TenantConfig,
    TierConfig,
)
from fairshare.stress import random_setup, run_duel, run_stress
from fairshare.trace import NodeTrace, Stay, Trace

SECOND = 1_000_000

MAKERS: dict[str, Callable[[], Policy]] = {
    "fair share": FairShare,
    "fifo": Fifo,
    "count-fair": CountFair,
    "random": lambda: RandomPick(Random(3)),
    "cap": lambda: Capped(2),
}


def stream(tenant: str, *jobs: tuple[float, float], key: str | None = None) -> Stream:
    """Jobs given by arrival and cost, both in seconds."""
    return Stream(
        tenant,
        [Arrival(round(a * SECOND), round(c * SECOND), key=key) for a, c in jobs],
    )


def pool(*loads: Stream | Standing, slots: int = 1, until: float = 100) -> Setup:
    names = dict.fromkeys(load.tenant for load in loads)
    return Setup(
        slots=slots,
        until_us=round(until * SECOND),
        tenants=[TenantConfig(tenant=name) for name in names],
        loads=loads,
    )


def run(setup: Setup, policy: Policy | None = None) -> Trace:
    return Simulation(setup, Fifo() if policy is None else policy).run()


def timeline(trace: Trace) -> list[tuple[str, float | None, float | None]]:
    """Each job's tenant, start and end in seconds."""
    return [
        (
            job.tenant,
            None if job.started_us is None else job.started_us / SECOND,
            None if job.finished_us is None else job.finished_us / SECOND,
        )
        for job in trace.jobs
    ]


# The pool


def test_a_job_starts_when_a_slot_is_free():
    trace = run(pool(stream("a", (0, 2), (1, 3), (10, 1))))
    assert timeline(trace) == [("a", 0, 2), ("a", 2, 5), ("a", 10, 11)]
    assert waits(trace.jobs) == [0, 1, 0]
    assert responses(trace.jobs) == [2, 4, 1]


def test_slots_work_side_by_side():
    trace = run(pool(stream("a", (0, 2), (0, 3), (0, 1)), slots=2))
    assert timeline(trace) == [("a", 0, 2), ("a", 0, 3), ("a", 2, 3)]


def test_what_is_unfinished_at_the_end_counts_as_far_as_it_came():
    trace = run(pool(stream("a", (0, 8), (0, 8)), until=5))
    assert timeline(trace) == [("a", 0, None), ("a", None, None)]
    assert trace.tenants["a"].stretches == [(0, 5 * SECOND)]
    assert waits(trace.jobs) == [0, float("inf")]


def test_a_long_job_yields_at_the_quantum_and_goes_on():
    setup = pool(stream("a", (0, 5)), stream("b", (1, 1)))
    trace = run(replace(setup, quantum_us=2 * SECOND), CountFair())
    assert timeline(trace) == [("a", 0, 6), ("b", 2, 3)]
    assert trace.tenants["a"].stretches == [
        (0, 2 * SECOND),
        (3 * SECOND, 5 * SECOND),
        (5 * SECOND, 6 * SECOND),
    ]


def test_what_is_published_ahead_is_out_of_reach():
    """With one published ahead, a job that arrives too late waits for it as well."""
    setup = pool(stream("a", *repeat((0, 2), 9)), stream("b", (1, 1)))
    soon = run(setup, CountFair()).of("b")[0].wait_us
    late = run(replace(setup, lookahead=1), CountFair()).of("b")[0].wait_us
    assert (soon, late) == (1 * SECOND, 3 * SECOND)


def test_a_change_of_settings_takes_effect_at_its_time():
    pause = Change(3 * SECOND, TenantConfig(tenant="a", paused=True))
    go_on = Change(7 * SECOND, TenantConfig(tenant="a"))
    setup = replace(pool(stream("a", *repeat((0, 2), 3))), changes=[pause, go_on])
    for make in MAKERS.values():
        assert timeline(run(setup, make())) == [
            ("a", 0, 2),
            ("a", 2, 4),
            ("a", 7, 9),
        ]


def test_a_tenant_does_not_change_its_tier():
    change = Change(SECOND, TenantConfig(tenant="a", tier="gold"))
    with pytest.raises(ValueError, match="cannot change its tier"):
        run(replace(pool(stream("a", (0, 1))), changes=[change]))


def test_a_rate_lets_jobs_through_when_it_opens():
    rate = Rate(per_thousand_seconds=250, burst=1)
    setup = pool(stream("a", *repeat((0, 1), 3)), slots=2)
    setup = replace(setup, tenants=[TenantConfig(tenant="a", rate=rate)])
    assert [start for _, start, _ in timeline(run(setup, FairShare()))] == [0, 4, 8]


def test_a_standing_backlog_is_there_from_the_start():
    """It goes first under FIFO, though its jobs are made one by one."""
    setup = pool(Standing("a", repeat(SECOND)), Standing("b", repeat(SECOND)))
    assert shares(run(setup)) == {"a": 1, "b": 0}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("seed", [1, 4, 16])
def test_every_policy_keeps_the_rules_of_the_pool(name: str, seed: int):
    """Under random loads: slots, look-ahead and caps are kept; no work is lost."""
    setup, _ = random_setup(Random(seed))
    room = setup.slots + setup.lookahead

    def check(simulation: Simulation) -> None:
        in_flight = [*simulation.running, *simulation.published]
        assert len(simulation.running) <= setup.slots
        assert len(in_flight) <= room
        assert not simulation.published or len(simulation.running) == setup.slots
        for config in setup.tenants:
            own = sum(job.tenant == config.tenant for job in in_flight)
            assert own == simulation.tenants[config.tenant].in_flight
            assert config.cap is None or own <= config.cap

    moments = [setup.until_us * part // 50 for part in range(1, 50)]
    policy = MAKERS[name]()
    trace = Simulation(setup, policy, [(moment, check) for moment in moments]).run()
    for tenant, node in trace.tenants.items():
        ran = sum(end - start for start, end in node.stretches)
        done = [job for job in trace.of(tenant) if job.finished_us is not None]
        assert all(job.done_us == job.cost_us for job in done)
        assert ran >= sum(job.cost_us for job in done)
        assert all(job.wait_us >= 0 for job in done)
    stretches = [s for node in trace.tenants.values() for s in node.stretches]
    assert most_at_once(stretches) <= setup.slots


def most_at_once(stretches: list[tuple[int, int]]) -> int:
    steps = sorted(step for start, end in stretches for step in ((start, 1), (end, -1)))
    return max(itertools.accumulate(step for _, step in steps))


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_setup_gives_the_same_trace(name: str):
    def once() -> tuple[list[tuple[str, float | None, float | None]], int]:
        setup, _ = random_setup(Random(5))
        trace = run(setup, MAKERS[name]())
        return timeline(trace), trace.idle_us

    assert once() == once()


def test_the_others_go_by_the_key_and_ours_by_the_tenant():
    keys = [Standing("a", repeat(SECOND), key=f"a{n}") for n in range(3)]
    setup = pool(*keys, Standing("b", repeat(SECOND)))
    assert shares(run(setup, CountFair()))["b"] == pytest.approx(0.25, abs=0.02)
    keys = [Standing("a", repeat(SECOND), key=f"a{n}") for n in range(3)]
    setup = pool(*keys, Standing("b", repeat(SECOND)))
    assert shares(run(setup, FairShare()))["b"] == pytest.approx(0.5, abs=0.02)


# What is measured


def test_worker_time_is_idle_only_while_a_job_could_start():
    flood = stream("a", *repeat((0, 4), 4))
    # Two of three slots: one idle from 0 to 8, when the last two start.
    assert run(pool(flood, slots=3), Capped(2)).idle_us == 4 * SECOND
    assert run(pool(flood, slots=3), Fifo()).idle_us == 0
    # The tenant's own cap is not a fault of the policy.
    setup = replace(pool(flood, slots=3), tenants=[TenantConfig(tenant="a", cap=2)])
    assert run(setup, FairShare()).idle_us == 0


def test_the_cap_of_a_tier_is_no_idleness_either():
    tenants = [TenantConfig(tenant=name, tier="low") for name in "ab"]
    setup = pool(stream("a", (0, 4), (0, 4)), stream("b", (0, 4)), slots=3)
    setup = replace(
        setup, tenants=tenants, tiers=[TierConfig(tier="low", weight=1000, cap=2)]
    )
    trace = run(setup, FairShare())
    assert trace.idle_us == 0
    ends = [job.finished_us for job in trace.jobs]
    assert max(end for end in ends if end is not None) == 8 * SECOND


def test_percentiles_and_evenness():
    assert percentile([5, 1, 3], 50) == 3
    assert percentile([1, 2], 99) == 2
    assert percentile([7], 0) == 7
    assert percentile([], 50) != percentile([], 50)
    assert jain([2, 2]) == 1
    assert jain([1, 0]) == 0.5


def traced(**nodes: tuple[int, list[tuple[int, int]], list[tuple[int, int]]]) -> Trace:
    """Make a trace of tenants from weight, eligible times and times of attempts."""
    tier = NodeTrace("standard", None)
    tenants = {}
    for name, (weight, stays, stretches) in nodes.items():
        node = tenants[name] = NodeTrace(name, tier)
        node.stays = [Stay(start, end, weight, weight) for start, end in stays]
        for start, end in stretches:
            node.ran(start, end)
    return Trace(2, 0, 1, 100, [], tenants, {"standard": tier}, 0, 0)


def test_the_lag_is_the_range_of_the_difference():
    trace = traced(
        a=(1000, [(0, 10)], [(0, 4), (0, 4)]), b=(1000, [(0, 10)], [(4, 10)])
    )
    (lag,) = lags(trace, {})
    # a gains 8 until 4, then b 6 until 10.
    assert lag.us == 8
    assert lag.bound.us == 2 * 2 * (6 + 1)
    assert lag.ratio == pytest.approx(8 / 28)


def test_the_lag_is_by_weight_and_only_while_both_are_eligible():
    trace = traced(
        a=(1000, [(0, 3), (5, 9)], [(0, 9)]), b=(2000, [(2, 9)], [(2, 4), (6, 9)])
    )
    (lag,) = lags(trace, {})
    # From 2 to 3: 1 - 1/2. From 5 to 9: 1 until 6, then 3 - 3/2 more.
    assert lag.us == Fraction(5, 2)


def test_who_was_never_eligible_together_has_no_lag():
    trace = traced(a=(1000, [(0, 3)], [(0, 9)]), b=(1000, [(3, 9)], [(0, 9)]))
    assert lags(trace, {}) == []


def test_a_hold_above_the_longest_attempt_widens_the_bound():
    trace = traced(a=(1000, [(0, 9)], [(0, 4)]), b=(500, [(0, 9)], [(4, 9)]))
    assert lags(trace, {})[0].bound.critical_us == 2 * (5 + 1)
    assert lags(trace, {"a": 20})[0].bound.critical_us == 20 + 1


@pytest.mark.parametrize("seed", range(3))
def test_the_lag_agrees_with_one_found_by_looking_at_every_moment(seed: int):
    random = Random(seed)

    def node() -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        edges = sorted(random.sample(range(60), 8))
        stays = list(zip(edges[::2], edges[1::2], strict=True))
        runs = [(s, s + random.randint(1, 9)) for s in random.choices(range(50), k=9)]
        return random.choice([700, 1000, 3000]), stays, runs

    nodes = {name: node() for name in "ab"}
    worst = max(slow_lags(nodes), default=Fraction(0))
    assert max((lag.us for lag in lags(traced(**nodes), {})), default=0) == worst


def slow_lags(
    nodes: dict[str, tuple[int, list[tuple[int, int]], list[tuple[int, int]]]],
) -> Iterator[Fraction]:
    def progress(name: str, at: int) -> Fraction:
        weight, _, stretches = nodes[name]
        got = sum(max(0, min(at, end) - start) for start, end in stretches)
        return Fraction(got * 1000, weight)

    for start, end in itertools.product(range(61), repeat=2):
        both = all(
            any(a <= start and end <= b for a, b in stays)
            for _, stays, _ in nodes.values()
        )
        if start < end and both:
            gaps = [progress("a", at) - progress("b", at) for at in (start, end)]
            yield abs(gaps[1] - gaps[0])


def test_eligibility_follows_jobs_caps_pauses_and_weights():
    tier = NodeTrace("tier", None)
    tier.reweigh(0, 1000)
    node = NodeTrace("a", tier)
    node.reweigh(0, 1000)
    node.cap = 1
    node.waiting = 2
    node.update(1)
    node.reweigh(3, 500)
    node.waiting, node.in_flight = 1, 1
    node.update(5)
    assert node.stays == [Stay(1, 3, 1000, 1000), Stay(3, 5, 500, 500)]
    assert tier.stays == [Stay(1, 5, 1000, 1000)]
    node.in_flight = 0
    node.update(6)
    node.paused = True
    node.update(9)
    assert node.stays[-1] == Stay(6, 9, 500, 500)


# The bound


@pytest.mark.parametrize("mode", sorted(ESTIMATES))
def test_the_bound_holds_whatever_is_estimated(mode: str):
    scenario = SCENARIOS["cost-skew-100x"](Random(1))
    setup = replace(scenario.setup, until_us=80 * SECOND)
    policy = FairShare(Estimates(mode, longest_us=10 * SECOND))
    (lag,) = lags(run(setup, policy), policy.estimates.largest_us)
    assert lag.bound.us == 176 * SECOND
    assert lag.ratio < 0.8


@pytest.mark.parametrize("seed", range(12))
def test_random_workloads_keep_far_within_the_bound(seed: int):
    result = run_stress(Random(seed))
    assert result.idle_us == 0
    assert result.worst is None or result.worst.ratio < 0.8


def test_the_bound_is_tight_where_estimates_are_nothing():
    """Else the laws above would hold for a worse scheduler, too."""
    assert 0.95 < run_duel(Random(0), slots=1, mode="zero").ratio < 1
    assert run_duel(Random(1), slots=2, mode="ewma").ratio < 0.01


def test_another_policy_breaks_the_bound():
    scenario = SCENARIOS["cost-skew-100x"](Random(1))
    (lag,) = lags(run(scenario.setup, CountFair()), {})
    assert lag.ratio > 10
