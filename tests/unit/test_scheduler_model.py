"""Every call of the fair scheduler, in any order, beside its rules written plainly.

`make test ARGS="--hypothesis-profile long tests/unit/test_scheduler_model.py"` tries
thousands of histories instead of fifty.
"""

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fairshare.scheduler import DELTA_US, FairScheduler, Priority, Rate
from tests.unit.plain_scheduler import PlainScheduler, PlainTenant
from tests.unit.snapshot_store import Store

TICKS_PER_US = 720_720_000

# Weights whose ticks are exact, so that the fractions and the integers agree.
WEIGHTS = st.sampled_from([1000, 2000, 3000, 4000, 16000])
TIERS = ["basic", "gold", "standard"]
TENANTS = st.sampled_from(["a", "b", "c", "d"])
COSTS = st.integers(min_value=0, max_value=5 * DELTA_US)
CAPS = st.none() | st.integers(0, 3)
RATES = st.none() | st.builds(
    Rate, per_thousand_seconds=st.sampled_from([200, 1000]), burst=st.integers(1, 2)
)


class SchedulerMachine(RuleBasedStateMachine):
    """The reference and the scheduler decide alike and count alike."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler: FairScheduler[int] = FairScheduler()
        self.plain = PlainScheduler(TIERS)
        self.next_job = count()
        self.now_us = 0
        self.clocks: dict[str, int] = {}
        self.store = Store()

    @initialize()
    def create(self) -> None:
        for tier in TIERS:
            self.set_tier(tier, 1000, None)
        for tenant in "abcd":
            self.set_tenant(tenant, PlainTenant("standard", 1000), None)

    # Settings

    @rule(tier=st.sampled_from(TIERS), weight=WEIGHTS, cap=CAPS)
    def set_tier(self, tier: str, weight: int, cap: int | None) -> None:
        self.scheduler.set_tier(tier, weight=weight, cap=cap)
        self.plain.tiers[tier].weight, self.plain.tiers[tier].cap = weight, cap
        self.plain.update()

    @rule(
        tenant=TENANTS,
        known=st.builds(
            PlainTenant,
            tier=st.sampled_from(TIERS),
            weight=WEIGHTS,
            cap=CAPS,
            elastic_cap=st.none() | st.integers(0, 2),
            paused=st.sampled_from([False, False, True]),
            gate=st.none(),
            classes=st.builds(lambda: PlainTenant("", 1).classes),
            used_us=st.just(0),
        ),
        rate=RATES,
    )
    def set_tenant(self, tenant: str, known: PlainTenant, rate: Rate | None) -> None:
        self._set_tenant(self.scheduler, tenant, known, rate)
        self.plain.set_tenant(tenant, rate, known)

    @staticmethod
    def _set_tenant(
        scheduler: FairScheduler[int], name: str, known: PlainTenant, rate: Rate | None
    ) -> None:
        scheduler.set_tenant(
            name,
            weight=known.weight,
            tier=known.tier,
            cap=known.cap,
            elastic_cap=known.elastic_cap,
            rate=rate,
            paused=known.paused,
        )

    @rule(tenant=TENANTS, tier=st.sampled_from(TIERS))
    def start_afresh(self, tenant: str, tier: str) -> None:
        """Remove a tenant with nothing in flight, and create it anew."""
        if not self.plain.in_flight(tenant):
            self.scheduler.remove_tenant(tenant)
            self.plain.remove_tenant(tenant)
            self.set_tenant(tenant, PlainTenant(tier, 1000), None)

    # Jobs

    @rule(tenant=TENANTS, priority=st.sampled_from(Priority), order=st.integers(0, 9))
    def offer(self, tenant: str, priority: int, order: int) -> None:
        job = next(self.next_job)
        assert self.scheduler.offer(tenant, job, order=order, priority=priority)
        assert not self.scheduler.offer(tenant, job, order=order)
        self.plain.offer(tenant, job, int(priority), order)

    @rule(tenant=TENANTS, jobs=st.integers(2, 5))
    def offer_many(self, tenant: str, jobs: int) -> None:
        for _ in range(jobs):
            self.offer(tenant, Priority.NORMAL, 5)

    @precondition(lambda self: self.plain.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.plain.waiting)))
        assert self.scheduler.withdraw(job)
        del self.plain.waiting[job]
        self.plain.update()

    # Decisions and charges

    @rule(cost_us=COSTS, passed_us=st.integers(0, 3 * DELTA_US))
    def pick(self, cost_us: int, passed_us: int) -> None:
        self.now_us += passed_us
        self._pick(cost_us, None)

    @rule(cost_us=COSTS)
    def pick_again(self, cost_us: int) -> None:
        self._pick(cost_us, None)

    @rule(cost_us=COSTS, tenant=TENANTS)
    def pick_of_one_tenant(self, cost_us: int, tenant: str) -> None:
        self._pick(cost_us, tenant)

    def _pick(self, cost_us: int, tenant: str | None) -> None:
        expected = self.plain.pick(cost_us, self.now_us, tenant)
        dispatch = self.scheduler.pick(cost_us, now_us=self.now_us, tenant=tenant)
        assert expected == (dispatch and (dispatch.tenant, dispatch.job))
        if dispatch is not None:
            flight = self.plain.flights[dispatch.job]
            assert dispatch.held_us == flight.held_us
            assert dispatch.weight == flight.weight
            assert dispatch.tier_weight == flight.tier_weight
            self.caps_are_kept(dispatch.tenant)

    def caps_are_kept(self, name: str) -> None:
        tenant = self.plain.tenants[name]
        tier = self.plain.tiers[tenant.tier]
        if tenant.cap is not None:
            assert self.plain.in_flight(name) <= tenant.cap
        if tier.cap is not None:
            assert self.plain.tier_in_flight(tenant.tier) <= tier.cap

    def flying(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.plain.flights)))

    @precondition(lambda self: self.plain.flights)
    @rule(data=st.data(), elapsed_us=COSTS)
    def refresh(self, data: st.DataObject, elapsed_us: int) -> None:
        job = self.flying(data)
        self.scheduler.refresh(job, elapsed_us)
        self.plain.refresh(job, elapsed_us)

    @precondition(lambda self: self.plain.flights)
    @rule(data=st.data(), actual_us=COSTS)
    def settle(self, data: st.DataObject, actual_us: int) -> None:
        job = self.flying(data)
        self.scheduler.settle(job, actual_us)
        self.plain.settle(job, actual_us)

    @rule()
    def look_for_the_next_opening(self) -> None:
        assert self.scheduler.next_opening_us() == self.plain.next_opening_us()

    # A new leader

    @rule()
    def write_what_has_changed(self) -> None:
        """All that was ever written adds up to the snapshot of now."""
        self.store.keep(self.scheduler)
        assert self.store.read() == self.scheduler.snapshot()

    @rule()
    def start_again(self) -> None:
        """Rebuild the scheduler from a snapshot, the ledger and the backlog."""
        self.write_what_has_changed()
        rebuilt: FairScheduler[int] = FairScheduler()
        for name, tier in self.plain.tiers.items():
            rebuilt.set_tier(name, weight=tier.weight, cap=tier.cap)
        for name, tenant in self.plain.tenants.items():
            rate = None if tenant.gate is None else tenant.gate.rate
            self._set_tenant(rebuilt, name, tenant, rate)
        rebuilt.resume(self.store.read())
        for job, flight in self.plain.flights.items():
            rebuilt.restore(
                flight.tenant,
                job,
                held_us=flight.held_us,
                weight=flight.weight,
                priority=flight.priority,
                tier_weight=flight.tier_weight,
            )
        for job, (owner, priority, order) in sorted(self.plain.waiting.items()):
            rebuilt.offer(owner, job, order=order, priority=priority)
        self.scheduler = rebuilt
        self.plain.start_again()
        self.numbers_agree()
        self._pick(0, None)  # until then, nobody loses the place it had

    # What always holds

    @invariant()
    def scheduler_is_consistent(self) -> None:
        self.scheduler.check_invariants()

    @invariant()
    def numbers_agree(self) -> None:
        snapshot = self.scheduler.snapshot()
        assert snapshot.clock == self.plain.root.clock * TICKS_PER_US
        for name, state in snapshot.tiers.items():
            assert state.clock == self.plain.tiers[name].tenants.clock * TICKS_PER_US
        for name, tenant in self.plain.tenants.items():
            share = self.scheduler.share(name)
            assert (
                share.virtual_time == self.plain.level(name).time(name) * TICKS_PER_US
            )
            assert share.used_us == tenant.used_us
            assert share.in_flight == self.plain.in_flight(name)
            assert share.waiting == len(self.plain.jobs(name))
            assert (share.gate == "turn") == self.plain.may_start(name)

    @invariant()
    def ledger_and_scheduler_charge_the_same(self) -> None:
        """A tier's time is what is settled there and what is open."""
        snapshot = self.scheduler.snapshot()
        for name, state in snapshot.tiers.items():
            open_time = sum(
                flight.charged_us * 1000 * TICKS_PER_US // flight.tier_weight
                for flight in self.plain.flights.values()
                if flight.tier == name
            )
            assert state.virtual_time + open_time == (
                self.plain.root.time(name) * TICKS_PER_US
            )

    @invariant()
    def clocks_never_go_back(self) -> None:
        snapshot = self.scheduler.snapshot()
        clocks = {name: state.clock for name, state in snapshot.tiers.items()}
        clocks[""] = snapshot.clock
        assert all(clock >= self.clocks.get(name, 0) for name, clock in clocks.items())
        self.clocks = clocks


SchedulerMachine.TestCase.settings = settings(
    max_examples=settings().max_examples // 2, stateful_step_count=40, deadline=None
)
TestSchedulerMachine = SchedulerMachine.TestCase
