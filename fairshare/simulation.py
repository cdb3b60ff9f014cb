"""Run a policy on a workload in simulated time, to the microsecond.

Idea
    A discrete-event simulation of one pool: N slots that run attempts, a policy that
    says which job is next, and loads that bring jobs. Time jumps from one event to
    the next; after the events of a moment, every free slot is filled.

Source
    The usual event-list simulation (Law, "Simulation Modeling and Analysis", ch. 1).

Differences
    1. Time is whole microseconds, so runs are exact and the same on any machine.
    2. A look-ahead of D jobs may be published beyond the slots: they are out of the
       policy's hands and start in the order of publication, as on a real broker.
    3. A job longer than the quantum gives its slot back at a checkpoint and waits
       again, which is what a long handler does.

Invariants
    1. At most N attempts run and at most N + D jobs are in flight.
    2. A job runs for exactly its cost, in one attempt or several.
    3. The same setup and the same policy give the same trace.

Cost
    O(log n) for each event, n being the events to come, beside the policy's own.

Limits
    Workers start an attempt at once and never die. A tenant does not change tiers.
    An attempt still running at the end counts as far as it came.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple, Protocol

from fairshare.branch import WEIGHT_ONE
from fairshare.scheduler import DELTA_US, Priority, Rate
from fairshare.trace import Job, NodeTrace, Trace

__all__ = [
    "Arrival",
    "Change",
    "Policy",
    "Setup",
    "Simulation",
    "Standing",
    "Stream",
    "TenantConfig",
    "TierConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TierConfig:
    """A tier's settings; weights are in thousandths."""

    tier: str
    weight: int = WEIGHT_ONE
    cap: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantConfig:
    """A tenant's settings; weights are in thousandths."""

    tenant: str
    weight: int = WEIGHT_ONE
    tier: str = "standard"
    cap: int | None = None
    elastic_cap: int | None = None
    rate: Rate | None = None
    paused: bool = False


class Arrival(NamedTuple):
    """A job that comes at a time; `key` is what its producer calls itself."""

    at_us: int
    cost_us: int
    kind: str = "job"
    priority: int = Priority.NORMAL
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Jobs that arrive in the order of their times."""

    tenant: str
    arrivals: Iterable[Arrival]


@dataclass(frozen=True, slots=True)
class Standing:
    """A backlog that has been there since a time and never ends.

    Its jobs are made when they are needed, so it costs no memory. `costs` must not
    run out.
    """

    tenant: str
    costs: Iterator[int]
    since_us: int = 0
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A tenant's settings from a time on."""

    at_us: int
    config: TenantConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything a run depends on but the policy. Loads are used up by a run."""

    slots: int
    until_us: int
    tenants: Sequence[TenantConfig]
    loads: Sequence[Stream | Standing]
    tiers: Sequence[TierConfig] = ()
    changes: Sequence[Change] = ()
    lookahead: int = 0
    quantum_us: int | None = None
    delta_us: int = DELTA_US


class Policy(Protocol):
    """Whose job is next. Times and costs are whole microseconds."""

    def set_tier(self, config: TierConfig) -> None: ...
    def set_tenant(self, config: TenantConfig) -> None: ...
    def offer(self, job: Job) -> None: ...
    def pick(self, now_us: int) -> Job | None: ...
    def refresh(self, job: Job, elapsed_us: int) -> None: ...
    def settle(self, job: Job, actual_us: int) -> None: ...
    def next_opening_us(self) -> int | None: ...


class _Rank(IntEnum):
    """What comes first among events of one moment."""

    FINISH = 0
    CHANGE = 1
    ARRIVE = 2
    REFRESH = 3
    OPEN = 4
    PROBE = 5  # sees the pool before its free slots are filled


#: How many jobs of an endless backlog wait at any time.
_STANDING_DEPTH = 2


@dataclass(slots=True, eq=False)
class _Supply:
    """A load while its jobs come in."""

    number: int
    tenant: str
    arrivals: Iterator[Arrival]
    standing: bool
    serial: int = 0


Probe = tuple[int, Callable[["Simulation"], None]]


@dataclass(slots=True, eq=False)
class Simulation:
    """One run of a setup under a policy.

    `probes` are called at their times with the simulation, and may look at anything.
    """

    setup: Setup
    policy: Policy
    probes: Sequence[Probe] = ()
    now_us: int = 0
    tenants: dict[str, NodeTrace] = field(default_factory=dict)
    tiers: dict[str, NodeTrace] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    #: When each running attempt started, in the order of starts.
    running: dict[Job, int] = field(default_factory=dict)
    published: deque[Job] = field(default_factory=deque)
    idle_us: int = 0
    starts: int = 0
    _events: list[tuple[int, int, int, Any]] = field(default_factory=list)
    _serial: Iterator[int] = field(default_factory=count)
    _supply_of: dict[Job, _Supply] = field(default_factory=dict)
    _refreshing: bool = False
    _waiting: int = 0

    def run(self) -> Trace:
        """Run to the end and return the trace."""
        self._prepare()
        events, until_us, handlers = self._events, self.setup.until_us, self._handlers()
        idle_slots = 0
        while events and events[0][0] <= until_us:
            now_us = events[0][0]
            self.idle_us += idle_slots * (now_us - self.now_us)
            self.now_us = now_us
            while events and events[0][0] == now_us:
                _, rank, _, what = heappop(events)
                handlers[rank](what)
            self._fill()
            idle_slots = self._idle_slots() if self._waiting else 0
        self.idle_us += idle_slots * (until_us - self.now_us)
        self.now_us = until_us
        return self._trace()

    # Setting up

    def _prepare(self) -> None:
        for tier in self.setup.tiers:
            self._set_tier(tier)
        for config in self.setup.tenants:
            self._set_tenant(config)
        for change in self.setup.changes:
            self._push(change.at_us, _Rank.CHANGE, change.config)
        for at_us, probe in self.probes:
            self._push(at_us, _Rank.PROBE, probe)
        for number, load in enumerate(self.setup.loads):
            self._begin(number, load)

    def _handlers(self) -> dict[int, Callable[[Any], None]]:
        return {
            _Rank.FINISH: self._finish,
            _Rank.CHANGE: self._set_tenant,
            _Rank.ARRIVE: self._arrive,
            _Rank.REFRESH: self._refresh,
            _Rank.OPEN: lambda _: None,
            _Rank.PROBE: lambda probe: probe(self),
        }

    def _begin(self, number: int, load: Stream | Standing) -> None:
        if isinstance(load, Stream):
            supply = _Supply(number, load.tenant, iter(load.arrivals), standing=False)
            self._expect(supply)
            return
        arrivals = (
            Arrival(load.since_us, cost_us, key=load.key) for cost_us in load.costs
        )
        supply = _Supply(number, load.tenant, arrivals, standing=True)
        for _ in range(_STANDING_DEPTH):
            self._expect(supply)

    def _set_tier(self, config: TierConfig) -> None:
        tier = self.tiers[config.tier] = NodeTrace(config.tier, None)
        tier.reweigh(self.now_us, config.weight)
        tier.cap = config.cap
        self.policy.set_tier(config)

    def _set_tenant(self, config: TenantConfig) -> None:
        if config.tier not in self.tiers:
            self._set_tier(TierConfig(tier=config.tier))
        node = self.tenants.get(config.tenant)
        if node is None:
            parent = self.tiers[config.tier]
            node = self.tenants[config.tenant] = NodeTrace(config.tenant, parent)
        elif node.parent is not self.tiers[config.tier]:
            raise ValueError(f"{config.tenant} cannot change its tier in a run")
        node.reweigh(self.now_us, config.weight)
        node.cap, node.elastic_cap = config.cap, config.elastic_cap
        node.paused, node.is_rated = config.paused, config.rate is not None
        node.update(self.now_us)
        self.policy.set_tenant(config)

    # Events

    def _push(self, at_us: int, rank: int, what: Any) -> None:
        heappush(self._events, (at_us, rank, next(self._serial), what))

    def _expect(self, supply: _Supply) -> None:
        """Look forward to the next job of a load."""
        arrival = next(supply.arrivals, None)
        if arrival is not None:
            at_us = max(arrival.at_us, self.now_us)
            self._push(at_us, _Rank.ARRIVE, (supply, arrival))

    def _arrive(self, what: tuple[_Supply, Arrival]) -> None:
        supply, arrival = what
        self._offer_new(supply, arrival)
        if not supply.standing:
            self._expect(supply)

    def _offer_new(self, supply: _Supply, arrival: Arrival) -> None:
        supply.serial += 1
        job = Job(
            supply.tenant,
            arrival.at_us,
            arrival.cost_us,
            order=(arrival.at_us, supply.number, supply.serial),
            kind=arrival.kind,
            priority=arrival.priority,
            key=arrival.key,
        )
        self.jobs.append(job)
        if supply.standing:
            self._supply_of[job] = supply
        self._offer(job)

    def _offer(self, job: Job) -> None:
        node = self.tenants[job.tenant]
        node.waiting += 1
        self._waiting += 1
        node.update(self.now_us)
        self.policy.offer(job)

    def _finish(self, job: Job) -> None:
        started_us = self.running.pop(job)
        ran_us = self.now_us - started_us
        job.done_us += ran_us
        node = self.tenants[job.tenant]
        node.ran(started_us, self.now_us)
        node.in_flight -= 1
        tier = node.parent
        assert tier is not None  # noqa: S101 - every tenant has a tier
        tier.in_flight -= 1
        self.policy.settle(job, ran_us)
        node.update(self.now_us)
        tier.update(self.now_us)
        if job.done_us < job.cost_us:
            self._offer(job)
        else:
            job.finished_us = self.now_us
        if self.published:
            self._start(self.published.popleft())

    def _refresh(self, _: None) -> None:
        for job, started_us in self.running.items():
            self.policy.refresh(job, self.now_us - started_us)
        self._refreshing = False
        self._plan_refresh()

    def _plan_refresh(self) -> None:
        """Plan the next refresh, on a grid of delta, while anything is running."""
        if self.running and not self._refreshing:
            delta_us = self.setup.delta_us
            at_us = (self.now_us // delta_us + 1) * delta_us
            self._push(at_us, _Rank.REFRESH, None)
            self._refreshing = True

    # Filling the slots

    def _fill(self) -> None:
        room = self.setup.slots + self.setup.lookahead
        while len(self.running) + len(self.published) < room:
            job = self.policy.pick(self.now_us)
            if job is None:
                self._plan_opening()
                break
            self._dispatch(job)
        self._plan_refresh()

    def _plan_opening(self) -> None:
        at_us = self.policy.next_opening_us()
        if at_us is not None and at_us > self.now_us:
            self._push(at_us, _Rank.OPEN, None)

    def _dispatch(self, job: Job) -> None:
        node = self.tenants[job.tenant]
        tier = node.parent
        assert tier is not None  # noqa: S101 - every tenant has a tier
        supply = self._supply_of.pop(job, None)
        if supply is not None:
            # Before the job is gone: an endless backlog is never empty.
            self._offer_new(supply, next(supply.arrivals))
        node.waiting -= 1
        self._waiting -= 1
        node.in_flight += 1
        tier.in_flight += 1
        node.update(self.now_us)
        tier.update(self.now_us)
        if len(self.running) < self.setup.slots:
            self._start(job)
        else:
            self.published.append(job)

    def _start(self, job: Job) -> None:
        self.running[job] = self.now_us
        self.starts += 1
        if job.started_us is None:
            job.started_us = self.now_us
        left_us = job.cost_us - job.done_us
        if self.setup.quantum_us is not None:
            left_us = min(left_us, self.setup.quantum_us)
        self._push(self.now_us + left_us, _Rank.FINISH, job)

    # Looking back

    def _idle_slots(self) -> int:
        """Return how many slots are free although a job could start."""
        free = self.setup.slots - len(self.running)
        if free == 0:
            return 0
        return min(free, sum(tier.startable() for tier in self.tiers.values()))

    def _trace(self) -> Trace:
        for job, started_us in self.running.items():
            self.tenants[job.tenant].ran(started_us, self.now_us)
        for node in (*self.tenants.values(), *self.tiers.values()):
            node.close(self.now_us)
        return Trace(
            slots=self.setup.slots,
            lookahead=self.setup.lookahead,
            delta_us=self.setup.delta_us,
            until_us=self.now_us,
            jobs=self.jobs,
            tenants=self.tenants,
            tiers=self.tiers,
            idle_us=self.idle_us,
            starts=self.starts,
        )
