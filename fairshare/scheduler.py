"""Choose whose job is dispatched next, so that tenants share worker time by weight.

Idea
    Start-time fair queueing with a hold and a settlement. Every node of a tree (here:
    tenants under one root, priority classes under each tenant) has a virtual time:
    the worker-microseconds charged to it, divided by its weight. The eligible child
    with the smallest virtual time goes next. What a job will cost is not known when
    it starts, so the estimate is charged at once (hold), more is charged while the
    job runs past it (refresh), and the sum becomes the actual cost at the end
    (settle), which may give something back.

Source
    Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM 1996: the order and the
    hierarchy. Sheng et al., "Fairness in Serving Large Language Models" (VTC), OSDI
    2024: charge as the work is produced, lift on activation. Kubernetes API Priority
    and Fairness, KEP-1040: estimate, then correct by the actual.

Differences
    1. Start-time fair queueing tags each packet; here a node carries the only tag,
       so a new weight binds on the jobs already waiting.
    2. A branch's clock is the largest virtual time it has served, not the smallest
       one present: a tenant that cannot run never holds the clock back.
    3. A node that becomes eligible again (new work, cap or pause lifted) is lifted to
       the clock: idle and gated time earns nothing. It is never lowered: debt stays.
    4. An attempt is charged at the weight it was dispatched with, to its end. So a
       refund undoes exactly what the hold did, and the ledger alone (cost and weight
       of each attempt) reproduces the charges.

Invariants (`check_invariants` asserts the first five)
    1. A node is ranked if and only if it could start a job now, under its present key.
    2. A job is known once: waiting or in flight.
    3. A tenant's in-flight count is the number of its attempts not yet settled.
    4. A tenant's used time is at least the sum of its open charges, and an open
       charge is at least its hold.
    5. Each heap is a heap and holds at most twice its live entries plus a constant.
    6. A pick never takes a tenant past its cap, and is None only if no job is eligible.
    7. Clocks never go back.

Bound
    For tenants i and j that both have an eligible job waiting throughout an interval,
    the worker time A they get in it differs by at most

        | A_i / w_i - A_j / w_j |  <=  2 * N * K
        K = max over i and j of (max(C, hold) + delta) / w

    N is the number of slots plus the jobs published but not started, C a tenant's
    longest attempt, `hold` its largest hold, `delta` the refresh step, w the weight;
    3 * N * K if one of them enters the interval in debt. It does not depend on the
    quality of the estimates. It needs `refresh` for each running attempt at least
    every `delta`. Shorter attempts are the only way to a smaller bound: a running
    attempt is never interrupted here.

Cost
    O(log n) amortised for each call, n being the tenants; `snapshot`, `resume` and
    `check_invariants` are O(n). A tenant's heaps exist only while it has jobs.

Limits
    One level of tenants. One thread. Charges are whole microseconds; virtual time is
    in ticks, whole numbers, exact for the weights 1 to 16 and otherwise rounded down
    by less than one tick (1.4 millionths of a microsecond) for each attempt. Class
    virtual times are forgotten when a tenant has no job left, and are not part of a
    snapshot. `remove_tenant` forgets debt: pause a tenant to keep it.

>>> scheduler: FairScheduler[int] = FairScheduler()
>>> scheduler.set_tenant("small", weight=1000)
>>> scheduler.set_tenant("large", weight=2000)
>>> for job in range(12):
...     _ = scheduler.offer("small" if job % 2 else "large", job, order=job)
>>> picks = []
>>> for _ in range(6):
...     dispatch = scheduler.pick(estimate=5_000)
...     scheduler.settle(dispatch.job, actual_us=8_000)
...     picks.append(dispatch.tenant)
>>> picks
['large', 'small', 'large', 'small', 'large', 'large']
"""
# ruff: noqa: N818, S101 - exceptions are named for what happened; invariants are asserted

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from heapq import heapify, heappop, heappush
from typing import Any, Generic, Protocol, TypeVar

__all__ = [
    "DELTA_US",
    "FLOOR_US",
    "Dispatch",
    "FairScheduler",
    "Gate",
    "JobAlreadyKnown",
    "Priority",
    "Snapshot",
    "TenantInFlight",
    "TenantShare",
    "UnknownJob",
    "UnknownTenant",
]

DELTA_US = 1_000_000
"""How far ahead of its elapsed time a long attempt is charged, in microseconds."""

FLOOR_US = 200
"""The least hold, in microseconds: a zero estimate must not start jobs for free."""

# Weights are in thousandths.
_WEIGHT_ONE = 1000

# How far a microsecond moves virtual time at weight 1; divisible by 1 to 16.
_TICKS_PER_US = 720_720

# Stale heap entries tolerated before a heap is rebuilt, beside one per live entry.
_SLACK = 8


class Sortable(Protocol):
    """Whatever orders one job before another; comparable across all tenants."""

    def __lt__(self, other: Any, /) -> bool: ...


JobT = TypeVar("JobT", bound=Hashable)


class Priority(IntEnum):
    """Which of one tenant's own jobs goes first. Never a claim on another tenant."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


_PRIORITY_WEIGHTS = {
    Priority.URGENT: 8000,
    Priority.HIGH: 4000,
    Priority.NORMAL: 2000,
    Priority.LOW: 1000,
}


class Gate(StrEnum):
    """What a tenant's next job waits for."""

    IDLE = "idle"  # no eligible job waiting
    PAUSED = "paused"
    CAP = "cap"  # as many in flight as allowed
    TURN = "turn"  # only for others with a smaller virtual time, or for a slot


class UnknownTenant(LookupError):
    """The tenant was never set, or was removed: call set_tenant first."""


class UnknownJob(LookupError):
    """The job is not in flight: it was never picked or restored, or is settled."""


class JobAlreadyKnown(ValueError):
    """The job is waiting or in flight already, so it cannot be restored."""


class TenantInFlight(ValueError):
    """The tenant has attempts in flight: pause it and settle them first."""


@dataclass(frozen=True, slots=True)
class Dispatch(Generic[JobT]):
    """One decision: start this job and write its hold and weight to the ledger."""

    job: JobT
    tenant: str
    held_us: int
    weight: int  # in thousandths


@dataclass(frozen=True, slots=True)
class TenantShare:
    """One tenant's numbers, for explaining why its jobs wait."""

    tenant: str
    weight: int  # in thousandths
    virtual_time: int  # in ticks
    ahead_us: int  # virtual time minus the clock, in microseconds at weight 1
    used_us: int  # settled costs plus open charges since this object was made
    in_flight: int
    waiting: int
    gate: Gate


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The root's clock, in ticks, and every tenant's numbers by name."""

    clock: int
    tenants: dict[str, TenantShare]


class FairScheduler(Generic[JobT]):
    """The waiting and in-flight jobs of one pool, and the rule that orders them."""

    def __init__(self, *, delta_us: int = DELTA_US) -> None:
        self._delta_us = delta_us
        self._root = _Branch(_WEIGHT_ONE, parent=None)
        self._tenants: dict[str, _Tenant] = {}
        self._waiting: dict[JobT, _Waiting] = {}
        self._flights: dict[JobT, _Flight] = {}

    # Tenants

    def set_tenant(
        self, tenant: str, *, weight: int, cap: int | None = None, paused: bool = False
    ) -> None:
        """Create the tenant or change it, effective from the next charge.

        `weight` is in thousandths (1000 is weight 1); `cap` limits its attempts in
        flight, None meaning no limit. Raises ValueError for a weight below 1 or a
        negative cap.
        """
        if weight < 1:
            raise ValueError(f"weight of {tenant} is {weight}; it must be at least 1")
        if cap is not None and cap < 0:
            raise ValueError(f"cap of {tenant} is {cap}; it must not be negative")
        node = self._tenants.get(tenant)
        if node is None:
            node = self._tenants[tenant] = _Tenant(tenant, weight, self._root)
        node.weight, node.cap, node.is_paused = weight, cap, paused
        self._root.place(node)

    def remove_tenant(self, tenant: str) -> None:
        """Forget the tenant, its waiting jobs and its debt.

        Raises UnknownTenant, or TenantInFlight while it has attempts in flight.
        """
        node = self._tenant(tenant)
        if node.in_flight:
            raise TenantInFlight(f"{tenant} has {node.in_flight} attempts in flight")
        for queue in node.queues.values():
            for waiting in queue.jobs:
                del self._waiting[waiting.job]
        self._root.ready.discard(node)
        del self._tenants[tenant]

    # Waiting jobs

    def offer(
        self,
        tenant: str,
        job: JobT,
        *,
        order: Sortable,
        priority: int = Priority.NORMAL,
    ) -> bool:
        """Make an eligible job known; return whether it was new.

        A job that is waiting or in flight is left as it is: withdraw it first to
        change its order or priority. Raises UnknownTenant, or ValueError for an
        unknown priority.
        """
        node = self._tenant(tenant)
        if job in self._waiting or job in self._flights:
            return False
        queue = node.queue(Priority(priority))
        waiting = self._waiting[job] = _Waiting(job, order, queue)
        queue.jobs.put(waiting, (order,))
        _place(queue)
        return True

    def withdraw(self, job: JobT) -> bool:
        """Forget a waiting job that may not start; return whether it was known."""
        waiting = self._waiting.pop(job, None)
        if waiting is None:
            return False
        waiting.queue.jobs.discard(waiting)
        _place(waiting.queue)
        waiting.queue.tenant.forget_queues_if_drained()
        return True

    # Decisions and charges

    def pick(self, estimate: Callable[[str, JobT], int] | int) -> Dispatch[JobT] | None:
        """Choose the next job, charge its hold and count it in flight.

        `estimate` is the expected cost in microseconds, or a function of tenant and
        job that gives it. Returns None if no job is eligible. Whatever `estimate`
        raises leaves everything as it was.
        """
        waiting = self._root.head()
        if waiting is None:
            return None
        job, queue, tenant = waiting.job, waiting.queue, waiting.queue.tenant
        cost = estimate if isinstance(estimate, int) else estimate(tenant.name, job)
        held_us = max(FLOOR_US, _checked(cost))
        del self._waiting[job]
        queue.jobs.discard(waiting)
        self._launch(job, queue, held_us, tenant.weight)
        return Dispatch(job, tenant.name, held_us, tenant.weight)

    def refresh(self, job: JobT, elapsed_us: int) -> None:
        """Charge a running attempt ahead, once it has run as long as it is charged.

        Raises UnknownJob.
        """
        flight = self._flight(job)
        if _checked(elapsed_us) >= flight.charged_us:
            flight.charge(elapsed_us + self._delta_us)
            _place(flight.queue)

    def settle(self, job: JobT, actual_us: int) -> None:
        """Make the attempt's charge its actual cost, and count it out of flight.

        Raises UnknownJob, so a second settlement is never charged.
        """
        flight = self._flight(job)
        flight.charge(_checked(actual_us))
        del self._flights[job]
        flight.queue.tenant.in_flight -= 1
        # After the charge: a tenant held by its cap must be lifted from its true
        # virtual time, not from one that still holds the estimate.
        _place(flight.queue)
        flight.queue.tenant.forget_queues_if_drained()

    # Rebuilding from the ledger

    def resume(self, *, clock: int, virtual_times: Mapping[str, int]) -> None:
        """Take over the clock and the tenants' virtual times of a snapshot.

        Call it after set_tenant and before anything is charged or offered. Raises
        UnknownTenant.
        """
        self._root.clock = clock
        for tenant, virtual_time in virtual_times.items():
            node = self._tenant(tenant)
            node.virtual_time = virtual_time
            self._root.place(node)

    def restore(
        self,
        tenant: str,
        job: JobT,
        *,
        held_us: int,
        weight: int,
        priority: int = Priority.NORMAL,
    ) -> None:
        """Replay the dispatch of an attempt that is in flight in the ledger.

        Call it in the order of dispatch. Caps are not asked: the attempt runs.
        Raises UnknownTenant or JobAlreadyKnown.
        """
        queue = self._tenant(tenant).queue(Priority(priority))
        if job in self._waiting or job in self._flights:
            raise JobAlreadyKnown(f"{job!r} is waiting or in flight")
        self._launch(job, queue, _checked(held_us), weight)

    def charge(self, tenant: str, amount_us: int, weight: int) -> None:
        """Replay an attempt that is settled in the ledger. Raises UnknownTenant."""
        node = self._tenant(tenant)
        self._root.serve(node)
        node.charge(0, _checked(amount_us), weight)
        self._root.place(node)

    # Looking in

    def share(self, tenant: str) -> TenantShare:
        """Return one tenant's numbers. Raises UnknownTenant."""
        node = self._tenant(tenant)
        return TenantShare(
            tenant=tenant,
            weight=node.weight,
            virtual_time=node.virtual_time,
            ahead_us=(node.virtual_time - self._root.clock) // _TICKS_PER_US,
            used_us=node.used_us,
            in_flight=node.in_flight,
            waiting=node.waiting(),
            gate=node.gate(),
        )

    def snapshot(self) -> Snapshot:
        """Return the clock and every tenant's numbers."""
        shares = {tenant: self.share(tenant) for tenant in self._tenants}
        return Snapshot(self._root.clock, shares)

    def check_invariants(self) -> None:
        """Assert invariants 1 to 5 of the module; for tests, O(all jobs)."""
        assert not self._waiting.keys() & self._flights.keys()
        flights = Counter(f.queue.tenant.name for f in self._flights.values())
        open_us: Counter[str] = Counter()
        for flight in self._flights.values():
            assert flight.charged_us >= flight.held_us
            open_us[flight.queue.tenant.name] += flight.charged_us
        for name, node in self._tenants.items():
            assert node.in_flight == flights[name]
            assert node.used_us >= open_us[name]
            node.check_invariants()
        self._root.check_children(self._tenants.values())
        assert len(self._waiting) == sum(n.waiting() for n in self._tenants.values())
        for job, waiting in self._waiting.items():
            assert waiting.job == job
            assert waiting.entry is not None

    # Private

    def _tenant(self, tenant: str) -> "_Tenant":
        try:
            return self._tenants[tenant]
        except KeyError:
            raise UnknownTenant(f"{tenant} is not set; call set_tenant first") from None

    def _flight(self, job: JobT) -> "_Flight":
        try:
            return self._flights[job]
        except KeyError:
            raise UnknownJob(f"{job!r} is not in flight") from None

    def _launch(self, job: JobT, queue: "_Queue", held_us: int, weight: int) -> None:
        tenant = queue.tenant
        self._root.serve(tenant)
        tenant.serve(queue)
        flight = self._flights[job] = _Flight(queue, held_us, weight)
        flight.charge(held_us)
        tenant.in_flight += 1
        _place(queue)


def _checked(cost_us: int) -> int:
    """Return the cost. Raises TypeError unless an int, ValueError if negative."""
    if type(cost_us) is not int:
        raise TypeError(f"a cost is whole microseconds, not {cost_us!r}")
    if cost_us < 0:
        raise ValueError(f"a cost is not negative, but {cost_us} was given")
    return cost_us


def _ticks(cost_us: int, weight: int) -> int:
    """Return how far the cost moves virtual time at this weight."""
    return cost_us * _TICKS_PER_US * _WEIGHT_ONE // weight


class _Ranked:
    """Something that can stand in one ranking, under one live entry at a time."""

    __slots__ = ("entry",)

    def __init__(self) -> None:
        self.entry: tuple[Any, ...] | None = None


RankedT = TypeVar("RankedT", bound=_Ranked)


class _Ranking(Generic[RankedT]):
    """Items in the order of their keys; a changed key is pushed again.

    The old entry stays behind until it surfaces or until a rebuild, and is told from
    the live one by identity. Equal keys keep the order in which they were put.
    """

    __slots__ = ("_heap", "_live", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[Any, ...]] = []
        self._live = 0
        self._serial = 0

    def __len__(self) -> int:
        return self._live

    def __iter__(self) -> Iterator[RankedT]:
        return (entry[-1] for entry in self._heap if entry[-1].entry is entry)

    def put(self, item: RankedT, key: tuple[Any, ...]) -> None:
        """Rank the item under this key, whether or not it was ranked before."""
        if item.entry is None:
            self._live += 1
        elif item.entry[:-2] == key:
            return
        # The serial keeps a comparison from ever reaching the item.
        self._serial += 1
        item.entry = (*key, self._serial, item)
        heappush(self._heap, item.entry)
        self._rebuild_if_stale()

    def discard(self, item: RankedT) -> None:
        """Take the item out if it is in."""
        if item.entry is not None:
            item.entry = None
            self._live -= 1
            self._rebuild_if_stale()

    def first(self) -> RankedT | None:
        """Return the item with the smallest key, leaving it in."""
        heap = self._heap
        while heap:
            entry = heap[0]
            item: RankedT = entry[-1]
            if item.entry is entry:
                return item
            heappop(heap)
        return None

    def _rebuild_if_stale(self) -> None:
        if len(self._heap) > 2 * self._live + _SLACK:
            self._heap = [e for e in self._heap if e[-1].entry is e]
            heapify(self._heap)

    def check_invariants(self) -> None:
        heap = self._heap
        assert all(heap[(i - 1) // 2] <= heap[i] for i in range(1, len(heap)))
        assert sum(1 for _ in self) == self._live
        assert len(heap) <= 2 * self._live + _SLACK


class _Node(_Ranked):
    """A competitor among the children of its parent: a weight and a virtual time."""

    __slots__ = ("parent", "used_us", "virtual_time", "weight")

    def __init__(self, weight: int, parent: "_Branch | None") -> None:
        super().__init__()
        self.weight = weight
        self.parent = parent
        self.virtual_time = 0
        self.used_us = 0

    def head(self) -> "_Waiting | None":
        """Return the job this node would start now, or None if it may start none."""
        raise NotImplementedError

    def key(self, head: "_Waiting") -> tuple[Any, ...]:
        """Return the node's place among its siblings: virtual time, then ties."""
        raise NotImplementedError

    def charge(self, before_us: int, after_us: int, weight: int) -> None:
        """Replace a charge by another one made at the same weight."""
        # Totals are converted, not differences: rounding cannot pile up.
        self.virtual_time += _ticks(after_us, weight) - _ticks(before_us, weight)
        self.used_us += after_us - before_us


class _Branch(_Node):
    """A node with children, of which the one furthest behind goes next."""

    __slots__ = ("clock", "ready")

    def __init__(self, weight: int, parent: "_Branch | None") -> None:
        super().__init__(weight, parent)
        self.clock = 0
        self.ready: _Ranking[_Node] = _Ranking()

    def head(self) -> "_Waiting | None":
        child = self.ready.first()
        return None if child is None else child.head()

    def serve(self, child: _Node) -> None:
        """Advance the clock to the virtual time at which this child is served."""
        self.clock = max(self.clock, child.virtual_time)

    def place(self, child: _Node) -> None:
        """Rank the child if it may start a job; lift it if it could not before."""
        head = child.head()
        if head is None:
            self.ready.discard(child)
            return
        if child.entry is None:
            child.virtual_time = max(child.virtual_time, self.clock)
        self.ready.put(child, child.key(head))

    def check_children(self, children: Iterable[_Node]) -> None:
        self.ready.check_invariants()
        ranked = 0
        for child in children:
            head = child.head()
            assert (head is None) == (child.entry is None)
            if head is not None and child.entry is not None:
                ranked += 1
                assert child.entry[:-2] == child.key(head)
        assert ranked == len(self.ready)


class _Tenant(_Branch):
    """A tenant; its children are its priority classes."""

    __slots__ = ("cap", "in_flight", "is_paused", "name", "queues")

    def __init__(self, name: str, weight: int, parent: _Branch) -> None:
        super().__init__(weight, parent)
        self.name = name
        self.cap: int | None = None
        self.is_paused = False
        self.in_flight = 0
        self.queues: dict[Priority, _Queue] = {}

    def queue(self, priority: Priority) -> "_Queue":
        """Return the queue of this priority, made on demand."""
        if priority not in self.queues:
            self.queues[priority] = _Queue(priority, self)
        return self.queues[priority]

    def forget_queues_if_drained(self) -> None:
        """Free the memory of the queues once no job is waiting or in flight."""
        if not self.ready and not self.in_flight:
            self.queues.clear()

    def waiting(self) -> int:
        return sum(len(queue.jobs) for queue in self.queues.values())

    def gate(self) -> Gate:
        """Return what the next job waits for, the nearest cause first."""
        if not self.ready:
            return Gate.IDLE
        if self.is_paused:
            return Gate.PAUSED
        if self.cap is not None and self.in_flight >= self.cap:
            return Gate.CAP
        return Gate.TURN

    def head(self) -> "_Waiting | None":
        return super().head() if self.gate() is Gate.TURN else None

    def key(self, head: "_Waiting") -> tuple[Any, ...]:
        return self.virtual_time, head.order, self.name

    def check_invariants(self) -> None:
        self.check_children(self.queues.values())
        for queue in self.queues.values():
            queue.jobs.check_invariants()


class _Queue(_Node):
    """One tenant's waiting jobs of one priority, oldest first."""

    __slots__ = ("jobs", "priority", "tenant")

    def __init__(self, priority: Priority, tenant: _Tenant) -> None:
        super().__init__(_PRIORITY_WEIGHTS[priority], tenant)
        self.priority = priority
        self.tenant = tenant
        self.jobs: _Ranking[_Waiting] = _Ranking()

    def head(self) -> "_Waiting | None":
        return self.jobs.first()

    def key(self, head: "_Waiting") -> tuple[Any, ...]:
        return self.virtual_time, self.priority


class _Waiting(_Ranked):
    """A job that could start."""

    __slots__ = ("job", "order", "queue")

    def __init__(self, job: Any, order: Any, queue: _Queue) -> None:
        super().__init__()
        self.job = job
        self.order = order
        self.queue = queue


class _Flight:
    """An attempt in flight, and what its path is charged for it so far."""

    __slots__ = ("charged_us", "held_us", "queue", "weight")

    def __init__(self, queue: _Queue, held_us: int, weight: int) -> None:
        self.queue = queue
        self.held_us = held_us
        self.weight = weight
        self.charged_us = 0

    def charge(self, total_us: int) -> None:
        """Make this the attempt's charge, at every node of its path."""
        queue, before_us = self.queue, self.charged_us
        queue.charge(before_us, total_us, queue.weight)
        queue.tenant.charge(before_us, total_us, self.weight)
        self.charged_us = total_us


def _place(queue: _Queue) -> None:
    """Rank anew every node on the way from this queue up to the root."""
    node: _Node = queue
    while node.parent is not None:
        node.parent.place(node)
        node = node.parent
