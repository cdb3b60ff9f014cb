"""The bound of the fair scheduler, in simulated pools of several slots."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairshare.scheduler import (
    DELTA_US,
    FLOOR_US,
    Dispatch,
    FairScheduler,
)


@dataclass(frozen=True)
class Workload:
    """A tenant that always has jobs waiting, from `joins_us` on."""

    tenant: str
    weight: int
    least_us: int
    most_us: int
    estimate: Callable[[int], int]
    joins_us: int = 0


@dataclass
class Running:
    dispatch: Dispatch[int]
    started_us: int
    ends_us: int


class SimulatedPool:
    """Slots, virtual microseconds, and one scheduler that keeps them busy."""

    def __init__(self, slots: int, workloads: list[Workload], random: Random) -> None:
        self.slots = slots
        self.workloads = {workload.tenant: workload for workload in workloads}
        self.random = random
        self.now_us = 0
        self.scheduler: FairScheduler[int] = FairScheduler()
        self.running: list[Running] = []
        self.done_us: Counter[str] = Counter()
        self.costs_us: dict[int, int] = {}
        for workload in workloads:
            self.scheduler.set_tenant(workload.tenant, weight=workload.weight)

    def run(self, until_us: int, observe: Callable[[], None]) -> None:
        """Advance from event to event, filling the slots; call `observe` at each."""
        while self.now_us < until_us:
            self.join()
            self.fill()
            observe()
            self.now_us = self.next_event_us()
            self.end_and_refresh()
            observe()

    def joined(self) -> list[str]:
        return [t for t, w in self.workloads.items() if w.joins_us <= self.now_us]

    def join(self) -> None:
        for tenant in self.joined():
            if not self.scheduler.share(tenant).waiting:
                self.offer(tenant)

    def offer(self, tenant: str) -> None:
        workload, job = self.workloads[tenant], len(self.costs_us)
        cost_us = self.random.randint(workload.least_us, workload.most_us)
        self.costs_us[job] = cost_us
        self.scheduler.offer(tenant, job, order=job)

    def fill(self) -> None:
        while len(self.running) < self.slots:
            dispatch = self.scheduler.pick(self.estimate)
            assert dispatch is not None, "a slot idles while jobs wait"
            cost_us = self.costs_us[dispatch.job]
            self.running.append(Running(dispatch, self.now_us, self.now_us + cost_us))
            self.offer(dispatch.tenant)

    def estimate(self, tenant: str, job: int) -> int:
        return self.workloads[tenant].estimate(self.costs_us[job])

    def next_event_us(self) -> int:
        grid_us = (self.now_us // DELTA_US + 1) * DELTA_US
        joins = [w.joins_us for w in self.workloads.values()]
        times = [grid_us, *(r.ends_us for r in self.running)]
        return min(times + [join for join in joins if join > self.now_us])

    def end_and_refresh(self) -> None:
        for running in [r for r in self.running if r.ends_us <= self.now_us]:
            cost_us = running.ends_us - running.started_us
            self.scheduler.settle(running.dispatch.job, cost_us)
            self.done_us[running.dispatch.tenant] += cost_us
            self.running.remove(running)
        if self.now_us % DELTA_US == 0:
            for running in self.running:
                elapsed_us = self.now_us - running.started_us
                self.scheduler.refresh(running.dispatch.job, elapsed_us)

    def attained(self, tenant: str) -> Fraction:
        """Return the tenant's worker time so far over its weight, in microseconds.

        A running attempt counts with what it has run, not with what it is charged.
        """
        running_us = sum(
            self.now_us - r.started_us
            for r in self.running
            if r.dispatch.tenant == tenant
        )
        weight = self.workloads[tenant].weight
        return Fraction((self.done_us[tenant] + running_us) * 1000, weight)


class LagMeter:
    """The range of the difference in normalised time of each pair of tenants."""

    def __init__(self, pool: SimulatedPool) -> None:
        self.pool = pool
        self.least: dict[tuple[str, str], Fraction] = {}
        self.most: dict[tuple[str, str], Fraction] = {}

    def observe(self) -> None:
        for pair in combinations(self.pool.joined(), 2):
            lag = self.pool.attained(pair[0]) - self.pool.attained(pair[1])
            self.least[pair] = min(lag, self.least.get(pair, lag))
            self.most[pair] = max(lag, self.most.get(pair, lag))

    def check_bound(self) -> None:
        for pair in self.least:
            steps = [self.step(self.pool.workloads[tenant]) for tenant in pair]
            bound = 2 * self.pool.slots * max(steps)
            assert self.most[pair] - self.least[pair] <= bound

    @staticmethod
    def step(workload: Workload) -> Fraction:
        held_us = max(
            FLOOR_US,
            workload.estimate(workload.least_us),
            workload.estimate(workload.most_us),
        )
        longest_us = max(workload.most_us, held_us) + DELTA_US
        return Fraction(longest_us * 1000, workload.weight)


ESTIMATES: list[Callable[[int], int]] = [
    lambda _cost: 0,
    lambda cost: cost,
    lambda cost: cost // 10,
    lambda cost: 2 * cost,
    lambda _cost: 2 * DELTA_US,
]


def random_workloads(random: Random, tenants: int, until_us: int) -> list[Workload]:
    workloads = []
    for number in range(tenants):
        least_us = random.choice([50_000, 200_000, DELTA_US])
        workloads.append(
            Workload(
                tenant=f"t{number}",
                weight=random.choice([500, 1000, 1237, 2000, 4000, 10_000]),
                least_us=least_us,
                most_us=least_us * random.choice([1, 3, 10]),
                estimate=random.choice(ESTIMATES),
                joins_us=random.choice([0, 0, random.randrange(until_us // 2)]),
            )
        )
    # Somebody must be there from the start, or the slots rightly idle.
    workloads.append(Workload("resident", 1000, 50_000, 2 * DELTA_US, ESTIMATES[1]))
    return workloads


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), slots=st.integers(1, 8), tenants=st.integers(1, 5))
def test_bound_holds_and_no_slot_idles(seed: int, slots: int, tenants: int) -> None:
    random = Random(seed)
    until_us = 20 * DELTA_US
    pool = SimulatedPool(slots, random_workloads(random, tenants, until_us), random)
    meter = LagMeter(pool)
    pool.run(until_us, meter.observe)
    pool.scheduler.check_invariants()
    meter.check_bound()


@pytest.mark.parametrize("seed", range(5))
def test_same_seed_gives_the_same_history(seed: int) -> None:
    histories = []
    for _ in range(2):
        random = Random(seed)
        pool = SimulatedPool(4, random_workloads(random, 3, 10 * DELTA_US), random)
        history: list[int] = []
        pool.run(
            10 * DELTA_US,
            lambda pool=pool, history=history: history.extend(  # type: ignore[misc]
                r.dispatch.job for r in pool.running
            ),
        )
        histories.append(history)
    assert histories[0] == histories[1]


def test_hundredfold_cost_skew_splits_a_pool_in_half() -> None:
    workloads = [
        Workload("dear", 1000, 10 * DELTA_US, 10 * DELTA_US, lambda cost: cost),
        Workload("cheap", 1000, DELTA_US // 10, DELTA_US // 10, lambda cost: cost),
    ]
    pool = SimulatedPool(8, workloads, Random(0))
    meter = LagMeter(pool)
    pool.run(600 * DELTA_US, meter.observe)
    meter.check_bound()
    dear = pool.attained("dear") / (600 * 8 * DELTA_US)
    assert Fraction(48, 100) < dear < Fraction(52, 100)
