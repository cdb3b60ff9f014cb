"""The rules of the fair scheduler once more, as plainly as can be.

Fractions instead of ticks, linear search instead of heaps, every level brought up to
date after every call. What it decides, the real one must decide.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from fairshare.scheduler import DELTA_US, FLOOR_US, Rate

CLASS_WEIGHTS = {0: 8, 1: 4, 2: 2, 3: 1}


@dataclass
class PlainLevel:
    """Siblings by name: their virtual times, and which could start a job last."""

    clock: Fraction = Fraction(0)
    floor: Fraction = Fraction(0)
    times: dict[Any, Fraction] = field(default_factory=dict)
    #: Those that may start a job; whether all others go before them.
    ready: dict[Any, bool] = field(default_factory=dict)
    #: Those of them that a new leader takes over, until its first pick.
    held: set[Any] = field(default_factory=set)

    def update(self, ready: dict[Any, bool]) -> None:
        present = self.present(
            name
            for name, is_behind in ready.items()
            if not (is_behind or self.ready.get(name, True))
        )
        for name, is_behind in ready.items():
            goes_on = name in self.ready and (is_behind or not self.ready[name])
            if not (goes_on or name in self.held):
                self.times[name] = max(self.time(name), present)
        self.ready = ready
        self.held &= ready.keys()

    def present(self, staying: Iterable[object] | None = None) -> Fraction:
        """What a newcomer is lifted to: the clock, or the first if refunds undercut it.

        Whoever stands behind at its elastic limit does not count.
        """
        if staying is None:
            staying = [name for name, is_behind in self.ready.items() if not is_behind]
        return min([self.clock, *(self.time(name) for name in staying)])

    def time(self, name: object) -> Fraction:
        return self.times.get(name, Fraction(0))

    def serve(self, name: object) -> None:
        if self.ready.get(name):
            self.times[name] = max(self.time(name), self.floor)
            self.clock = max(self.clock, self.time(name))
        else:
            self.clock = self.floor = max(self.clock, self.time(name))

    def add(self, name: object, amount: Fraction) -> None:
        self.times[name] = self.time(name) + amount


@dataclass
class PlainGate:
    """A bucket of tokens as one number: when the tenant is due next."""

    rate: Rate
    due_us: int = 0
    seen_us: int = 0
    is_shut: bool = False
    is_watched: bool = False

    @property
    def opens_us(self) -> int:
        return self.due_us - (self.rate.burst - 1) * self.rate.interval_us

    def take(self, now_us: int) -> None:
        self.seen_us = max(self.seen_us, now_us)
        self.due_us = max(self.due_us, self.seen_us) + self.rate.interval_us
        self.shut()

    def change(self, rate: Rate) -> None:
        owed_us = max(0, self.due_us - self.seen_us)
        owed_us = owed_us * rate.interval_us // self.rate.interval_us
        self.due_us, self.rate = self.seen_us + owed_us, rate
        self.shut()

    def shut(self) -> None:
        self.is_shut = self.is_watched = self.opens_us > self.seen_us


@dataclass
class PlainTenant:
    tier: str
    weight: int
    cap: int | None = None
    elastic_cap: int | None = None
    paused: bool = False
    gate: PlainGate | None = None
    classes: PlainLevel = field(default_factory=PlainLevel)
    used_us: int = 0


@dataclass
class PlainFlight:
    tenant: str
    tier: str
    priority: int
    weight: int
    tier_weight: int
    held_us: int
    charged_us: int = 0


@dataclass
class PlainTier:
    weight: int = 1000
    cap: int | None = None
    tenants: PlainLevel = field(default_factory=PlainLevel)


class PlainScheduler:
    def __init__(self, tiers: Iterable[str]) -> None:
        self.root = PlainLevel()
        self.tiers = {name: PlainTier() for name in tiers}
        self.tenants: dict[str, PlainTenant] = {}
        self.waiting: dict[int, tuple[str, int, int]] = {}
        self.flights: dict[int, PlainFlight] = {}

    # Looking

    def jobs(self, name: str) -> list[tuple[int, int, int]]:
        return sorted(
            (priority, order, job)
            for job, (tenant, priority, order) in self.waiting.items()
            if tenant == name
        )

    def in_flight(self, name: str) -> int:
        return sum(flight.tenant == name for flight in self.flights.values())

    def tier_in_flight(self, name: str) -> int:
        return sum(flight.tier == name for flight in self.flights.values())

    def levels(self) -> Iterable[PlainLevel]:
        yield self.root
        yield from (tier.tenants for tier in self.tiers.values())
        yield from (tenant.classes for tenant in self.tenants.values())

    def level(self, tenant: str) -> PlainLevel:
        return self.tiers[self.tenants[tenant].tier].tenants

    def head(self, name: str) -> tuple[int, int, int]:
        """The priority, order and number of the job that the tenant starts next."""
        classes = self.tenants[name].classes
        return min(self.jobs(name), key=lambda job: (classes.time(job[0]), *job))

    def first_tenant(self, tier: str) -> str:
        level = self.tiers[tier].tenants
        keys: dict[str, Any] = {
            tenant: (is_behind, level.time(tenant), self.tie(tenant))
            for tenant, is_behind in level.ready.items()
        }
        return min(keys, key=lambda tenant: keys[tenant])

    def first_tier(self) -> str:
        root = self.root
        keys: dict[str, Any] = {
            tier: (
                is_behind,
                root.time(tier),
                self.tie(self.first_tenant(tier))[0],
                tier,
            )
            for tier, is_behind in root.ready.items()
        }
        return min(keys, key=lambda tier: keys[tier])

    def tie(self, tenant: str) -> tuple[int, str]:
        return self.head(tenant)[1], tenant

    def may_start(self, name: str) -> bool:
        """Whether the tenant could start a job now, were it its turn."""
        level, tier = self.level(name), self.tenants[name].tier
        if name not in level.ready or tier not in self.root.ready:
            return False
        return self.root.ready[self.first_tier()] or not level.ready[name]

    def next_opening_us(self) -> int | None:
        """As the real one, it loses sight of gates that hold nothing now."""
        gates = [(t.gate.opens_us, name) for name, t in self.tenants.items() if t.gate]
        for opens_us, name in sorted(gates):
            tenant = self.tenants[name]
            if not tenant.gate.is_watched:
                continue
            if self.jobs(name) and not tenant.paused:
                return opens_us
            tenant.gate.is_watched = False
        return None

    # Changing

    def set_tenant(self, name: str, rate: Rate | None, known: PlainTenant) -> None:
        before = self.tenants.get(name)
        if before is None:
            level = self.tiers[known.tier].tenants
            level.times[name] = level.present()
        else:
            known.classes, known.used_us = before.classes, before.used_us
            known.gate = before.gate
            if before.tier != known.tier:
                old, new = (
                    self.tiers[before.tier].tenants,
                    self.tiers[known.tier].tenants,
                )
                new.times[name] = new.clock + old.times.pop(name) - old.clock
                old.ready.pop(name, None)
        self.tenants[name] = known
        self.set_rate(known, rate)
        self.update()

    @staticmethod
    def set_rate(tenant: PlainTenant, rate: Rate | None) -> None:
        gate = tenant.gate
        if rate is None:
            tenant.gate = None
        elif gate is None:
            tenant.gate = PlainGate(rate)
        elif gate.rate != rate:
            gate.change(rate)
        if tenant.gate is not None:
            tenant.gate.is_watched = tenant.gate.is_shut

    def remove_tenant(self, name: str) -> None:
        level = self.level(name)
        level.times.pop(name, None)
        level.ready.pop(name, None)
        for _, _, job in self.jobs(name):
            del self.waiting[job]
        del self.tenants[name]
        self.update()

    def offer(self, tenant: str, job: int, priority: int, order: int) -> None:
        self.waiting[job] = (tenant, priority, order)
        gate = self.tenants[tenant].gate
        of_class = [known for known in self.jobs(tenant) if known[0] == priority]
        if gate is not None and of_class[0][2] == job:
            gate.is_watched = gate.is_shut
        self.update()

    def update(self) -> None:
        for name, tenant in self.tenants.items():
            tenant.classes.update(
                {priority: False for priority, _, _ in self.jobs(name)}
            )
            if not self.jobs(name) and not self.in_flight(name):
                tenant.classes.times.clear()
        for name, tier in self.tiers.items():
            members = [t for t, known in self.tenants.items() if known.tier == name]
            tier.tenants.update(
                {t: self.is_behind(t) for t in members if self.has_room(t)}
            )
        ready = {}
        for name, tier in self.tiers.items():
            is_full = tier.cap is not None and self.tier_in_flight(name) >= tier.cap
            if tier.tenants.ready and not is_full:
                ready[name] = tier.tenants.ready[self.first_tenant(name)]
        self.root.update(ready)

    def has_room(self, name: str) -> bool:
        tenant = self.tenants[name]
        is_full = tenant.cap is not None and self.in_flight(name) >= tenant.cap
        is_shut = tenant.gate is not None and tenant.gate.is_shut
        return bool(self.jobs(name)) and not (tenant.paused or is_full or is_shut)

    def is_behind(self, name: str) -> bool:
        elastic_cap = self.tenants[name].elastic_cap
        return elastic_cap is not None and self.in_flight(name) >= elastic_cap

    # Deciding

    def pick(
        self, cost_us: int, now_us: int, tenant: str | None = None
    ) -> tuple[str, int] | None:
        for level in self.levels():
            level.held.clear()
        for known in self.tenants.values():
            gate = known.gate
            if gate is not None and gate.is_watched and gate.opens_us <= now_us:
                gate.seen_us = max(gate.seen_us, gate.opens_us)
                gate.is_shut = gate.is_watched = False
        self.update()
        if not self.root.ready if tenant is None else not self.may_start(tenant):
            return None
        name = self.first_tenant(self.first_tier()) if tenant is None else tenant
        priority, _, job = self.head(name)
        known = self.tenants[name]
        if tenant is None:
            self.root.serve(known.tier)
            self.level(name).serve(name)
        known.classes.serve(priority)
        del self.waiting[job]
        if known.gate is not None:
            known.gate.take(now_us)
        self.flights[job] = PlainFlight(
            name,
            known.tier,
            priority,
            known.weight,
            self.tiers[known.tier].weight,
            max(FLOOR_US, cost_us),
        )
        self.charge(job, max(FLOOR_US, cost_us))
        return name, job

    def refresh(self, job: int, elapsed_us: int) -> None:
        if elapsed_us >= self.flights[job].charged_us:
            ahead_us = min(DELTA_US, max(FLOOR_US, elapsed_us))
            self.charge(job, elapsed_us + ahead_us)

    def settle(self, job: int, actual_us: int) -> None:
        self._add(self.flights[job], actual_us)
        del self.flights[job]
        self.update()

    def charge(self, job: int, total_us: int) -> None:
        self._add(self.flights[job], total_us)
        self.update()

    def _add(self, flight: PlainFlight, total_us: int) -> None:
        added_us = total_us - flight.charged_us
        tenant = self.tenants[flight.tenant]
        self.root.add(flight.tier, Fraction(added_us * 1000, flight.tier_weight))
        level = self.level(flight.tenant)
        level.add(flight.tenant, Fraction(added_us * 1000, flight.weight))
        class_weight = CLASS_WEIGHTS[flight.priority]
        tenant.classes.add(flight.priority, Fraction(added_us, class_weight))
        tenant.used_us += added_us
        flight.charged_us = total_us

    # Starting again

    @staticmethod
    def newcomer(tier: PlainTier) -> Fraction:
        """Where a new leader lets those start that the snapshot does not name."""
        level = tier.tenants
        return level.present(level.ready)

    def start_again(self) -> None:
        """Be what a new leader makes of a snapshot and the attempts in flight."""
        for flight in self.flights.values():
            self._add(flight, 0)
        newcomers = {name: self.newcomer(tier) for name, tier in self.tiers.items()}
        for name, tenant in self.tenants.items():
            tenant.used_us = 0
            if tenant.gate is not None:
                tenant.gate.is_watched = tenant.gate.is_shut
            level = self.level(name)
            is_busy = bool(self.jobs(name)) or bool(self.in_flight(name))
            is_owing = tenant.gate is not None and tenant.gate.due_us > 0
            if not (is_busy or is_owing or level.time(name) > level.clock):
                # Not in the snapshot.
                level.times[name] = newcomers[tenant.tier]
                tenant.classes = PlainLevel()
        for flight in self.flights.values():
            flight.tier = self.tenants[flight.tenant].tier
            for level, child in (
                (self.tenants[flight.tenant].classes, flight.priority),
                (self.level(flight.tenant), flight.tenant),
                (self.root, flight.tier),
            ):
                level.clock = level.floor = max(level.clock, level.time(child))
            self._add(flight, flight.held_us)
        for level in self.levels():
            level.held = set(level.ready)
        self.update()
