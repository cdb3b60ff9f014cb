"""The nodes that compete for worker time: tenants under a root, classes under each.

Every level works by the same rule, in `Branch`: the ready child with the smallest
virtual time goes first, and a child that becomes ready is lifted to the clock. Why
it does so, and what follows, stands in `fairshare.scheduler`.
"""
# ruff: noqa: S101 - invariants are asserted

from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import Any

from fairshare.ranking import Ranked, Ranking

__all__ = [
    "TICKS_PER_US",
    "WEIGHT_ONE",
    "Branch",
    "Flight",
    "Gate",
    "Node",
    "Priority",
    "Queue",
    "Tenant",
    "Waiting",
    "place",
]

WEIGHT_ONE = 1000
"""Weight 1: weights are in thousandths."""

TICKS_PER_US = 720_720
"""How far a microsecond moves virtual time at weight 1; divisible by 1 to 16."""


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


def ticks(cost_us: int, weight: int) -> int:
    """Return how far the cost moves virtual time at this weight."""
    return cost_us * TICKS_PER_US * WEIGHT_ONE // weight


class Node(Ranked, ABC):
    """A competitor among the children of its parent: a weight and a virtual time."""

    __slots__ = ("parent", "used_us", "virtual_time", "weight")

    def __init__(self, weight: int, parent: "Branch | None") -> None:
        super().__init__()
        self.weight = weight
        self.parent = parent
        self.virtual_time = 0
        self.used_us = 0

    @abstractmethod
    def head(self) -> "Waiting | None":
        """Return the job this node would start now, or None if it may start none."""

    @abstractmethod
    def key(self, head: "Waiting") -> tuple[Any, ...]:
        """Return the node's place among its siblings: virtual time, then ties."""

    def charge(self, before_us: int, after_us: int, weight: int) -> None:
        """Replace a charge by another one made at the same weight."""
        # Totals are converted, not differences: rounding cannot pile up.
        self.virtual_time += ticks(after_us, weight) - ticks(before_us, weight)
        self.used_us += after_us - before_us


class Branch(Node):
    """A node with children, of which the one furthest behind goes next."""

    __slots__ = ("clock", "ready")

    def __init__(self, weight: int, parent: "Branch | None") -> None:
        super().__init__(weight, parent)
        self.clock = 0
        self.ready: Ranking[Node] = Ranking()

    def head(self) -> "Waiting | None":
        child = self.ready.first()
        return None if child is None else child.head()

    def key(self, head: "Waiting") -> tuple[Any, ...]:
        return self.virtual_time, head.order

    def serve(self, child: Node) -> None:
        """Advance the clock to the virtual time at which this child is served."""
        self.clock = max(self.clock, child.virtual_time)

    def place(self, child: Node) -> None:
        """Rank the child if it may start a job; lift it if it could not before."""
        head = child.head()
        if head is None:
            self.ready.discard(child)
            return
        if child.entry is None:
            child.virtual_time = max(child.virtual_time, self.clock)
        self.ready.put(child, child.key(head))

    def check_children(self, children: Iterable[Node]) -> None:
        self.ready.check_invariants()
        ranked = 0
        for child in children:
            head = child.head()
            assert (head is None) == (child.entry is None)
            if head is not None and child.entry is not None:
                ranked += 1
                assert child.entry[:-2] == child.key(head)
        assert ranked == len(self.ready)


class Tenant(Branch):
    """A tenant; its children are its priority classes."""

    __slots__ = ("cap", "in_flight", "is_paused", "name", "queues")

    def __init__(self, name: str, weight: int, parent: Branch) -> None:
        super().__init__(weight, parent)
        self.name = name
        self.cap: int | None = None
        self.is_paused = False
        self.in_flight = 0
        self.queues: dict[Priority, Queue] = {}

    def queue(self, priority: Priority) -> "Queue":
        """Return the queue of this priority, made on demand."""
        if priority not in self.queues:
            self.queues[priority] = Queue(priority, self)
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
        return Gate.CAP if self.is_full() else Gate.TURN

    def is_full(self) -> bool:
        return self.cap is not None and self.in_flight >= self.cap

    def head(self) -> "Waiting | None":
        return None if self.is_paused or self.is_full() else super().head()

    def key(self, head: "Waiting") -> tuple[Any, ...]:
        return self.virtual_time, head.order, self.name

    def check_invariants(self) -> None:
        self.check_children(self.queues.values())
        for queue in self.queues.values():
            queue.jobs.check_invariants()


class Queue(Node):
    """One tenant's waiting jobs of one priority, oldest first."""

    __slots__ = ("jobs", "priority", "tenant")

    def __init__(self, priority: Priority, tenant: Tenant) -> None:
        super().__init__(_PRIORITY_WEIGHTS[priority], tenant)
        self.priority = priority
        self.tenant = tenant
        self.jobs: Ranking[Waiting] = Ranking()

    def head(self) -> "Waiting | None":
        return self.jobs.first()

    def key(self, head: "Waiting") -> tuple[Any, ...]:
        return self.virtual_time, self.priority


class Waiting(Ranked):
    """A job that could start."""

    __slots__ = ("job", "order", "queue")

    def __init__(self, job: Any, order: Any, queue: Queue) -> None:
        super().__init__()
        self.job = job
        self.order = order
        self.queue = queue


class Flight:
    """An attempt in flight, and what its path is charged for it so far."""

    __slots__ = ("charged_us", "held_us", "queue", "weight")

    def __init__(self, queue: Queue, held_us: int, weight: int) -> None:
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


def place(queue: Queue) -> None:
    """Rank anew every node on the way from this queue up to the root."""
    node: Node = queue
    while node.parent is not None:
        node.parent.place(node)
        node = node.parent
