"""The nodes that compete for worker time: tiers, their tenants, their classes.

Every level works by the same rule, in `Branch`: the ready child with the smallest
virtual time goes first, and a child that becomes ready is lifted to the clock. Why
it does so, and what follows, stands in `fairshare.scheduler`.
"""
# ruff: noqa: S101 - invariants are asserted

from collections.abc import Iterable
from enum import IntEnum
from heapq import heapify, heappop, heappush
from sys import maxsize
from typing import Any, TypeAlias

from fairshare.gates import Gate, Rate, RateGate
from fairshare.ranking import Ranked, Ranking

__all__ = [
    "NO_LIMIT",
    "TICKS_PER_US",
    "WEIGHT_ONE",
    "Branch",
    "Flight",
    "Node",
    "Path",
    "Priority",
    "Queue",
    "Tenant",
    "Tier",
    "Waiting",
    "place",
    "ticks_per_us",
]

WEIGHT_ONE = 1000
"""Weight 1: weights are in thousandths."""

TICKS_PER_US = 720_720_000
"""How far a microsecond moves virtual time at weight 1; divisible by 1 to 16."""

NO_LIMIT = maxsize

HELD_PLACE: tuple[Any, ...] = ()
"""The entry of a node that was ready in a snapshot and is not ranked again yet."""


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

# A heap entry: order, serial, job, queue. The serial keeps comparisons from the job.
Waiting: TypeAlias = tuple[Any, int, Any, "Queue"]

# The nodes an attempt is charged at, each with its ticks for a microsecond.
Path: TypeAlias = tuple[tuple["Node", int], ...]


def ticks_per_us(weight: int) -> int:
    """Return how far a microsecond moves virtual time at this weight."""
    return TICKS_PER_US * WEIGHT_ONE // weight


class Node(Ranked):
    """A competitor among the children of its parent: a weight and a virtual time."""

    __slots__ = (
        "elastic_limit",
        "head",
        "in_flight",
        "is_behind",
        "limit",
        "name",
        "parent",
        "tie",
        "used_us",
        "virtual_time",
        "weight",
    )

    def __init__(self, name: str, weight: int, parent: "Branch | None") -> None:
        super().__init__()
        self.name = name
        self.weight = weight
        self.parent = parent
        self.virtual_time = 0 if parent is None else parent.present()
        self.used_us = 0
        self.in_flight = 0
        self.limit = NO_LIMIT  # may start nothing from so many in flight on
        self.elastic_limit = NO_LIMIT  # lets all others go first from here on
        self.head: Waiting | None = None  # the job it would start next
        self.tie: Any = None  # breaks ties of virtual time
        self.is_behind = False  # its head waits for an elastic limit further down

    def __lt__(self, other: "Node") -> bool:
        return self.name < other.name


class Branch(Node):
    """A node with children, of which the one furthest behind goes next."""

    __slots__ = ("clock", "floor", "ready", "ready_weight")

    def __init__(self, name: str, weight: int, parent: "Branch | None") -> None:
        super().__init__(name, weight, parent)
        self.clock = 0
        self.floor = 0  # the clock when a child within its elastic limit last went
        self.ready: Ranking[Node] = Ranking()
        self.ready_weight = 0

    def serve(self, child: Node) -> None:
        """Advance the clock to the virtual time at which this child is served."""
        if not child.entry or not child.entry[0]:
            self.clock = self.floor = max(self.clock, child.virtual_time)
            return
        # Others went before it until now, which has earned it nothing.
        child.virtual_time = max(child.virtual_time, self.floor)
        self.clock = max(self.clock, child.virtual_time)

    def present(self) -> int:
        """Return the virtual time of a newcomer: the clock, or less after refunds.

        A clock may have been served on a hold that turned out too large.
        """
        first = self.ready.first()
        if first is None or first.entry is None or first.entry[0]:
            return self.clock
        return min(self.clock, first.virtual_time)

    def place(self, child: Node) -> None:
        """Rank the child if it may start a job; lift it if it could not before."""
        if child.head is None or child.in_flight >= child.limit:
            self._unrank(child)
        else:
            is_behind = child.is_behind or child.in_flight >= child.elastic_limit
            entry = child.entry
            if not entry:
                self.ready_weight += child.weight
            if entry is None or (entry and entry[0] and not is_behind):
                child.virtual_time = max(child.virtual_time, self.present())
            self.ready.put((is_behind, child.virtual_time, child.tie, child))
        self._look()

    def remove(self, child: Node) -> None:
        """Let the child compete here no more."""
        self._unrank(child)
        self._look()

    def reweigh(self, child: Node, weight: int) -> None:
        """Give the child another weight from now on."""
        if child.entry:
            self.ready_weight += weight - child.weight
        child.weight = weight

    def _unrank(self, child: Node) -> None:
        if child.entry:
            self.ready_weight -= child.weight
        self.ready.discard(child)

    def _look(self) -> None:
        first = self.ready.first()
        if first is None or first.head is None or first.entry is None:
            self.head, self.is_behind = None, False
        else:
            self.head = first.head
            self.tie = first.head[0]
            self.is_behind = first.entry[0]

    def check_children(self, children: Iterable[Node]) -> None:
        self.ready.check_invariants()
        ranked = [child for child in children if child.entry]
        for child in children:
            may_start = child.head is not None and child.in_flight < child.limit
            assert may_start == bool(child.entry)
        for child in ranked:
            is_behind = child.is_behind or child.in_flight >= child.elastic_limit
            key = (is_behind, child.virtual_time, child.tie)
            assert child.entry is not None
            assert child.entry == (*key, child)
        assert len(ranked) == len(self.ready)
        assert self.ready_weight == sum(child.weight for child in ranked)
        assert self.floor <= self.clock
        first = min(ranked, key=lambda child: child.entry or (), default=None)
        assert self.head is (first and first.head)


class Tier(Branch):
    """A class of tenants; its children are the tenants."""

    __slots__ = ()


class Tenant(Branch):
    """A tenant; its children are its priority classes."""

    __slots__ = ("cap", "elastic_cap", "is_paused", "queues", "rate_gate")

    parent: "Tier"

    def __init__(self, name: str, weight: int, parent: Tier) -> None:
        super().__init__(name, weight, parent)
        self.cap: int | None = None
        self.elastic_cap: int | None = None
        self.is_paused = False
        self.rate_gate: RateGate | None = None
        self.queues: dict[Priority, Queue] = {}

    @property
    def rate(self) -> Rate | None:
        return None if self.rate_gate is None else self.rate_gate.rate

    def queue(self, priority: Priority) -> "Queue":
        """Return the queue of this priority, made on demand."""
        if priority not in self.queues:
            self.queues[priority] = Queue(priority, self)
        return self.queues[priority]

    def forget_queues_if_drained(self) -> None:
        """Free the memory of the queues once no job is waiting or in flight."""
        if self.head is None and not self.in_flight:
            self.queues.clear()

    def waiting(self) -> int:
        return sum(queue.waiting() for queue in self.queues.values())

    def is_shut(self) -> bool:
        """Return whether its rate gate is shut."""
        return self.rate_gate is not None and self.rate_gate.is_shut

    def update_limits(self) -> None:
        """Turn what gates the tenant into limits on its attempts in flight."""
        limit = NO_LIMIT if self.cap is None else self.cap
        self.limit = 0 if self.is_paused or self.is_shut() else limit
        elastic = self.elastic_cap
        self.elastic_limit = NO_LIMIT if elastic is None else elastic

    def gate(self) -> Gate:
        """Return what the next job waits for, the nearest cause first."""
        if self.head is None:
            return Gate.IDLE
        if self.is_paused:
            return Gate.PAUSED
        if self.cap is not None and self.in_flight >= self.cap:
            return Gate.CAP
        if self.parent.in_flight >= self.parent.limit:
            return Gate.TIER_CAP
        if self.is_shut():
            return Gate.RATE
        return Gate.TURN if self.may_start() else Gate.CAP

    def may_start(self) -> bool:
        """Return whether the head may start now, though it may not be its turn."""
        if not self.entry or not self.parent.entry:
            return False
        root = self.parent.parent
        assert root is not None
        return root.is_behind or not self.entry[0]

    def check_invariants(self) -> None:
        self.check_children(self.queues.values())
        for queue in self.queues.values():
            queue.check_invariants()


class Queue(Node):
    """One tenant's waiting jobs of one priority, oldest first."""

    __slots__ = ("_heap", "_withdrawn", "priority")

    parent: Tenant

    def __init__(self, priority: Priority, tenant: Tenant) -> None:
        super().__init__(priority.name, _PRIORITY_WEIGHTS[priority], tenant)
        self.priority = self.tie = priority
        self._heap: list[Waiting] = []
        self._withdrawn: set[int] = set()

    def path(self, weight: int, tier_weight: int) -> Path:
        """Return where and how an attempt of this queue is charged."""
        return (
            (self, ticks_per_us(self.weight)),
            (self.parent, ticks_per_us(weight)),
            (self.parent.parent, ticks_per_us(tier_weight)),
        )

    def waiting(self) -> int:
        return len(self._heap) - len(self._withdrawn)

    def jobs(self) -> list[Any]:
        """Return the waiting jobs, in no order."""
        return [job for _, n, job, _ in self._heap if n not in self._withdrawn]

    def add(self, waiting: Waiting) -> None:
        heappush(self._heap, waiting)
        self.head = self._heap[0]

    def pop(self) -> None:
        """Drop the oldest job."""
        heappop(self._heap)
        self._look()

    def withdraw(self, waiting: Waiting) -> None:
        """Drop any job."""
        self._withdrawn.add(waiting[1])
        self._look()

    def _look(self) -> None:
        if self._withdrawn:
            self._clear_withdrawn()
        self.head = self._heap[0] if self._heap else None

    def _clear_withdrawn(self) -> None:
        """Let no withdrawn job be first, nor more of them stay than half of all."""
        heap, withdrawn = self._heap, self._withdrawn
        while heap and heap[0][1] in withdrawn:
            withdrawn.remove(heappop(heap)[1])
        if 2 * len(withdrawn) > len(heap):
            self._heap = [waiting for waiting in heap if waiting[1] not in withdrawn]
            heapify(self._heap)
            withdrawn.clear()

    def check_invariants(self) -> None:
        heap = self._heap
        assert not any(heap[i] < heap[(i - 1) // 2] for i in range(1, len(heap)))
        assert self._withdrawn <= {serial for _, serial, _, _ in heap}
        assert len(heap) >= 2 * len(self._withdrawn)
        assert self.head is (heap[0] if heap else None)


class Flight:
    """An attempt in flight, and what its path is charged for it so far."""

    __slots__ = ("charged_us", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.charged_us = 0

    @property
    def queue(self) -> Queue:
        queue = self.path[0][0]
        assert isinstance(queue, Queue)
        return queue

    def charge(self, total_us: int) -> None:
        """Make this the attempt's charge, at every node of its path."""
        added_us = total_us - self.charged_us
        for node, ticks in self.path:
            node.virtual_time += added_us * ticks
            node.used_us += added_us
        self.charged_us = total_us


def place(node: Node) -> None:
    """Rank anew every node on the way from this one up to the root."""
    while node.parent is not None:
        node.parent.place(node)
        node = node.parent
