"""Writing only what has changed leaves the same snapshot as writing all of it."""

from random import Random

import pytest

from fairshare.scheduler import Dispatch, FairScheduler, Gate, Rate
from tests.unit.snapshot_store import Store

SECOND = 1_000_000
TENANTS = "abcdefgh"


class Product:
    """A scheduler with random work, whose leader is lost now and then."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.configs = {name: self.config() for name in TENANTS}
        self.waiting: dict[int, tuple[str, int]] = {}
        self.flights: dict[int, tuple[Dispatch[int], int]] = {}
        self.now_us = self.jobs = 0
        self.store = Store()
        self.scheduler = self.leader()

    def config(self) -> dict[str, object]:
        choose = self.random.choice
        return {
            "weight": choose([500, 1000, 3000]),
            "tier": choose(["gold", "standard"]),
            "cap": choose([None, None, 1]),
            "elastic_cap": choose([None, None, 1]),
            "rate": choose([None, Rate(200, 1)]),
            "paused": choose([False, False, False, True]),
        }

    def leader(self) -> FairScheduler[int]:
        scheduler: FairScheduler[int] = FairScheduler()
        for name, config in self.configs.items():
            scheduler.set_tenant(name, **config)  # type: ignore[arg-type]
        return scheduler

    def crash(self) -> None:
        """Rebuild from what was written and what is in flight, as the ledger has it."""
        self.store.keep(self.scheduler)
        self.scheduler = self.leader()
        self.scheduler.resume(self.store.read())
        for job in sorted(self.flights):
            self.replay(job)
        # Some were cancelled while nobody led.
        self.waiting = {
            job: of for job, of in self.waiting.items() if self.random.random() < 0.7
        }
        for job, (tenant, priority) in self.waiting.items():
            self.scheduler.offer(tenant, job, order=job, priority=priority)

    def replay(self, job: int) -> None:
        """Take an attempt over, or charge it if it has ended while nobody led."""
        dispatch, priority = self.flights[job]
        tenant, weight, tier = dispatch.tenant, dispatch.weight, dispatch.tier_weight
        if self.random.random() < 0.5:
            self.scheduler.restore(
                tenant,
                job,
                held_us=dispatch.held_us,
                weight=weight,
                tier_weight=tier,
                priority=priority,
            )
        else:
            del self.flights[job]
            self.scheduler.charge(
                tenant, SECOND, weight, tier_weight=tier, priority=priority
            )

    def change(self) -> None:
        name = self.random.choice(TENANTS)
        self.configs[name] = self.config()
        self.scheduler.set_tenant(name, **self.configs[name])  # type: ignore[arg-type]

    def offer(self) -> None:
        tenant, priority = self.random.choice(TENANTS), self.random.randrange(4)
        self.jobs += 1
        self.waiting[self.jobs] = tenant, priority
        self.scheduler.offer(tenant, self.jobs, order=self.jobs, priority=priority)

    def withdraw(self) -> None:
        if self.waiting:
            job = self.random.choice(list(self.waiting))
            del self.waiting[job]
            self.scheduler.withdraw(job)

    def pick(self) -> None:
        self.now_us += self.random.randrange(SECOND)
        dispatch = self.scheduler.pick(SECOND // 10, now_us=self.now_us)
        if dispatch is not None:
            priority = self.waiting.pop(dispatch.job)[1]
            self.flights[dispatch.job] = dispatch, priority

    def refresh(self) -> None:
        if self.flights:
            job = self.random.choice(list(self.flights))
            self.scheduler.refresh(job, self.random.randrange(SECOND))

    def settle(self) -> None:
        if self.flights:
            job = self.random.choice(list(self.flights))
            del self.flights[job]
            self.scheduler.settle(job, self.random.randrange(3 * SECOND))


@pytest.mark.parametrize("seed", range(20))
def test_the_changes_add_up_to_the_snapshot(seed: int) -> None:
    product = Product(seed)
    steps = [product.offer, product.pick, product.settle, product.refresh]
    rarer = [product.change, product.withdraw, product.crash]
    for _ in range(200):
        product.random.choice(steps * 4 + rarer)()
        if product.random.random() < 0.3:
            product.store.keep(product.scheduler)
            assert product.store.read() == product.scheduler.snapshot()


def test_what_has_not_changed_is_not_written_again() -> None:
    scheduler: FairScheduler[int] = FairScheduler()
    for job, tenant in enumerate(TENANTS):
        scheduler.set_tenant(tenant, weight=1000)
        scheduler.offer(tenant, job, order=job)
    assert set(scheduler.changes().snapshot.tenants) == set(TENANTS)
    dispatch = scheduler.pick(SECOND)
    assert dispatch is not None
    assert set(scheduler.changes().snapshot.tenants) == {dispatch.tenant}
    scheduler.settle(dispatch.job, SECOND)
    # Served last, it is not behind the clock: its debt alone is kept.
    assert set(scheduler.changes().snapshot.tenants) == {dispatch.tenant}
    assert scheduler.changes().snapshot.tenants == {}


def test_a_removed_tenant_is_gone() -> None:
    scheduler: FairScheduler[int] = FairScheduler()
    scheduler.set_tenant("a", weight=1000)
    scheduler.offer("a", 1, order=1)
    assert set(scheduler.changes().snapshot.tenants) == {"a"}
    scheduler.remove_tenant("a")
    assert scheduler.changes().gone == ["a"]


def test_a_gate_that_has_opened_is_open_to_a_new_leader() -> None:
    """So its tenant keeps the place that it waits in."""
    leaders: list[FairScheduler[int]] = [FairScheduler(), FairScheduler()]
    for scheduler in leaders:
        scheduler.set_tenant("a", weight=1000, rate=Rate(1000, 1))
        scheduler.set_tenant("b", weight=1000)
    old, new = leaders
    for job in range(2):
        old.offer("a", job, order=job)
        old.offer("b", 2 + job, order=2 + job)
    first = old.pick(5 * SECOND, now_us=1)
    second = old.pick(SECOND, now_us=2 * SECOND)
    assert first
    assert second
    assert (first.tenant, second.tenant) == ("a", "b")
    new.resume(old.snapshot())
    for job, tenant, held_us, weight, _ in (first, second):
        new.restore(tenant, job, held_us=held_us, weight=weight)
    new.offer("a", 1, order=1)
    assert old.share("a").gate is new.share("a").gate is Gate.TURN
