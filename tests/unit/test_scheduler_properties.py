"""The fair scheduler against a plain reference, and its bound in simulated pools."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fairshare.scheduler import (
    DELTA_US,
    FLOOR_US,
    Dispatch,
    FairScheduler,
    Priority,
)

TICKS_PER_US = 720_720_000
PRIORITY_WEIGHTS = {0: 8, 1: 4, 2: 2, 3: 1}

# The reference: the same rules in fractions, by linear search, with no heap.


@dataclass
class PlainLevel:
    """Siblings by name: their virtual times, and which could start a job last."""

    clock: Fraction = Fraction(0)
    times: dict[Any, Fraction] = field(default_factory=dict)
    eligible: set[Any] = field(default_factory=set)

    def update(self, eligible: set[Any]) -> None:
        present = [self.time(name) for name in eligible & self.eligible]
        newcomer = min([self.clock, *present])
        for name in eligible - self.eligible:
            self.times[name] = max(self.time(name), newcomer)
        self.eligible = eligible

    def time(self, name: Any) -> Fraction:
        return self.times.get(name, Fraction(0))

    def serve(self, name: Any) -> None:
        self.clock = max(self.clock, self.time(name))

    def add(self, name: Any, amount: Fraction) -> None:
        self.times[name] = self.time(name) + amount


@dataclass
class PlainTenant:
    weight: int
    cap: int | None
    paused: bool
    classes: PlainLevel = field(default_factory=PlainLevel)
    used_us: int = 0


@dataclass
class PlainFlight:
    tenant: str
    priority: int
    weight: int
    charged_us: int = 0


class PlainScheduler:
    def __init__(self) -> None:
        self.root = PlainLevel()
        self.tenants: dict[str, PlainTenant] = {}
        self.waiting: dict[int, tuple[str, int, int]] = {}
        self.flights: dict[int, PlainFlight] = {}

    def in_flight(self, name: str) -> int:
        return sum(flight.tenant == name for flight in self.flights.values())

    def jobs(self, name: str) -> list[tuple[int, int, int]]:
        return sorted(
            (priority, order, job)
            for job, (tenant, priority, order) in self.waiting.items()
            if tenant == name
        )

    def may_start(self, name: str) -> bool:
        tenant = self.tenants[name]
        below_cap = tenant.cap is None or self.in_flight(name) < tenant.cap
        return bool(self.jobs(name)) and not tenant.paused and below_cap

    def update(self) -> None:
        for name, tenant in self.tenants.items():
            tenant.classes.update({priority for priority, _, _ in self.jobs(name)})
            if not self.jobs(name) and not self.in_flight(name):
                tenant.classes.times.clear()
        self.root.update({name for name in self.tenants if self.may_start(name)})

    def head(self, name: str) -> tuple[int, int, int]:
        classes = self.tenants[name].classes
        return min(self.jobs(name), key=lambda job: (classes.time(job[0]), *job))

    def pick(self, held_us: int) -> tuple[str, int] | None:
        if not self.root.eligible:
            return None
        name = min(
            self.root.eligible,
            key=lambda name: (self.root.time(name), self.head(name)[1], name),
        )
        priority, _, job = self.head(name)
        tenant = self.tenants[name]
        self.root.serve(name)
        tenant.classes.serve(priority)
        del self.waiting[job]
        self.flights[job] = PlainFlight(name, priority, tenant.weight)
        self.charge(job, held_us)
        self.update()
        return name, job

    def charge(self, job: int, total_us: int) -> None:
        flight = self.flights[job]
        tenant = self.tenants[flight.tenant]
        added_us = total_us - flight.charged_us
        self.root.add(flight.tenant, Fraction(added_us * 1000, flight.weight))
        class_weight = PRIORITY_WEIGHTS[flight.priority]
        tenant.classes.add(flight.priority, Fraction(added_us, class_weight))
        tenant.used_us += added_us
        flight.charged_us = total_us


# Weights whose ticks are exact, so that the fractions and the integers agree.
WEIGHTS = st.sampled_from([1000, 2000, 3000, 4000, 16000])
TENANTS = st.sampled_from(["a", "b", "c", "d"])
COSTS = st.integers(min_value=0, max_value=5 * DELTA_US)


class SchedulerMachine(RuleBasedStateMachine):
    """Every call, in any order: the reference and the scheduler must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler: FairScheduler[int] = FairScheduler()
        self.plain = PlainScheduler()
        self.next_job = count()
        self.clock = 0

    def flying(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.plain.flights)))

    @initialize()
    def create_tenants(self) -> None:
        for tenant in "abcd":
            self.set_tenant(tenant, 1000, None, paused=False)

    @rule(
        tenant=TENANTS,
        weight=WEIGHTS,
        cap=st.none() | st.integers(0, 3),
        paused=st.booleans(),
    )
    def set_tenant(
        self, tenant: str, weight: int, cap: int | None, paused: bool
    ) -> None:
        self.scheduler.set_tenant(tenant, weight=weight, cap=cap, paused=paused)
        known = self.plain.tenants.setdefault(tenant, PlainTenant(weight, cap, paused))
        known.weight, known.cap, known.paused = weight, cap, paused
        self.plain.update()

    @rule(tenant=TENANTS, priority=st.sampled_from(Priority), order=st.integers(0, 9))
    def offer(self, tenant: str, priority: int, order: int) -> None:
        job = next(self.next_job)
        assert self.scheduler.offer(tenant, job, order=order, priority=priority)
        self.plain.waiting[job] = (tenant, int(priority), order)
        self.plain.update()

    @precondition(lambda self: self.plain.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.plain.waiting)))
        assert self.scheduler.withdraw(job)
        del self.plain.waiting[job]
        self.plain.update()

    @rule(cost_us=COSTS)
    def pick(self, cost_us: int) -> None:
        expected = self.plain.pick(max(FLOOR_US, cost_us))
        dispatch = self.scheduler.pick(cost_us)
        assert expected == (dispatch and (dispatch.tenant, dispatch.job))
        if dispatch is not None:
            tenant = self.plain.tenants[dispatch.tenant]
            assert tenant.cap is None or tenant.cap >= self.plain.in_flight(
                dispatch.tenant
            )

    @precondition(lambda self: self.plain.flights)
    @rule(data=st.data(), elapsed_us=COSTS)
    def refresh(self, data: st.DataObject, elapsed_us: int) -> None:
        job = self.flying(data)
        self.scheduler.refresh(job, elapsed_us)
        if elapsed_us >= self.plain.flights[job].charged_us:
            ahead_us = min(DELTA_US, max(FLOOR_US, elapsed_us))
            self.plain.charge(job, elapsed_us + ahead_us)
        self.plain.update()

    @precondition(lambda self: self.plain.flights)
    @rule(data=st.data(), actual_us=COSTS)
    def settle(self, data: st.DataObject, actual_us: int) -> None:
        job = self.flying(data)
        self.scheduler.settle(job, actual_us)
        self.plain.charge(job, actual_us)
        del self.plain.flights[job]
        self.plain.update()

    @invariant()
    def scheduler_is_consistent(self) -> None:
        self.scheduler.check_invariants()

    @invariant()
    def numbers_agree(self) -> None:
        tiers = self.scheduler.snapshot().tiers
        if tiers:
            assert tiers["standard"].clock == self.plain.root.clock * TICKS_PER_US
        for name, tenant in self.plain.tenants.items():
            share = self.scheduler.share(name)
            assert share.virtual_time == self.plain.root.time(name) * TICKS_PER_US
            assert share.used_us == tenant.used_us
            assert share.in_flight == self.plain.in_flight(name)
            assert share.waiting == len(self.plain.jobs(name))
            assert (share.gate == "turn") == self.plain.may_start(name)

    @invariant()
    def clock_never_goes_back(self) -> None:
        clock = self.scheduler.snapshot().clock
        assert clock >= self.clock
        self.clock = clock


SchedulerMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
TestSchedulerMachine = SchedulerMachine.TestCase


# The bound, in a simulated pool


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
