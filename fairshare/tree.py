"""What competes for worker time: tiers, their tenants, their classes of jobs.

Each has a node; the rule by which nodes compete is `fairshare.branch`.
"""
# ruff: noqa: S101 - invariants are asserted

from enum import IntEnum
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, TypeAlias

from fairshare.branch import (
    NO_LIMIT,
    WEIGHT_ONE,
    Branch,
    Node,
    Waiting,
    place,
    ticks_per_us,
)
from fairshare.gates import Gate, Rate, RateGate

__all__ = [
    "PRIORITY_WEIGHTS",
    "Charged",
    "Flight",
    "Path",
    "Priority",
    "Queue",
    "Tenant",
    "Tier",
]


class Priority(IntEnum):
    """Which of one tenant's own jobs goes first. Never a claim on another tenant."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


PRIORITY_WEIGHTS = {
    Priority.URGENT: 8000,
    Priority.HIGH: 4000,
    Priority.NORMAL: 2000,
    Priority.LOW: 1000,
}

# A node that an attempt is charged at, with its ticks for a microsecond.
Charged: TypeAlias = tuple["Node", int]

# All of them: class, tenant, tier.
Path: TypeAlias = tuple[Charged, Charged, Charged]


class Tier:
    """A class of tenants, who are the children of its branch."""

    __slots__ = ("branch", "name", "node")

    def __init__(self, name: str, root: Branch) -> None:
        self.name = name
        self.node = Node(name, WEIGHT_ONE, root)
        self.branch = Branch(self.node)


class Tenant:
    """A tenant, its limits, and its queues, which are the children of its branch."""

    __slots__ = (
        "branch",
        "cap",
        "elastic_cap",
        "has_moved",
        "is_paused",
        "name",
        "node",
        "queues",
        "rate_gate",
        "tier",
        "used_us",
    )

    def __init__(self, name: str, weight: int, tier: Tier) -> None:
        self.name = name
        self.tier = tier
        self.node = Node(name, weight, tier.branch)
        self.branch = Branch(self.node)
        self.cap: int | None = None
        self.elastic_cap: int | None = None
        self.is_paused = False
        self.has_moved = False  # to another tier, ever
        self.used_us = 0
        self.rate_gate: RateGate | None = None
        self.queues: dict[int, Queue] = {}  # by priority

    @property
    def rate(self) -> Rate | None:
        return None if self.rate_gate is None else self.rate_gate.rate

    def queue(self, priority: int) -> "Queue":
        """Return the queue of this priority, made on demand.

        Raises ValueError for an unknown priority.
        """
        queue = self.queues.get(priority)
        if queue is None:
            known = Priority(priority)
            queue = self.queues[known] = Queue(known, self)
        return queue

    def forget_queues_if_drained(self) -> None:
        """Free the memory of the queues once no job is waiting or in flight."""
        if self.is_drained():
            self.queues.clear()

    def is_drained(self) -> bool:
        """Return whether no job is waiting or in flight."""
        return self.node.head is None and not self.node.in_flight

    def move(self, tier: Tier) -> None:
        """Compete in another tier from now on, as far ahead of its clock as before."""
        node, before = self.node, self.tier
        ahead = node.virtual_time - before.branch.clock
        before.branch.remove(node)
        place(before.node)
        self.tier, node.parent, self.has_moved = tier, tier.branch, True
        node.virtual_time = tier.branch.clock + ahead
        self.forget_paths()

    def forget_paths(self) -> None:
        for queue in self.queues.values():
            queue.path = None

    def waiting(self) -> int:
        return sum(queue.waiting() for queue in self.queues.values())

    def is_shut(self) -> bool:
        """Return whether its rate gate is shut."""
        return self.rate_gate is not None and self.rate_gate.is_shut

    def update_limits(self) -> None:
        """Turn what gates the tenant into limits on its attempts in flight."""
        limit = NO_LIMIT if self.cap is None else self.cap
        self.node.limit = 0 if self.is_paused or self.is_shut() else limit
        elastic = self.elastic_cap
        self.node.elastic_limit = NO_LIMIT if elastic is None else elastic
        self.node.bar = 0

    def gate(self) -> Gate:
        """Return what the next job waits for, the nearest cause first."""
        if self.node.head is None:
            return Gate.IDLE
        if self.is_paused:
            return Gate.PAUSED
        if self.cap is not None and self.node.in_flight >= self.cap:
            return Gate.CAP
        if self.tier.node.in_flight >= self.tier.node.limit:
            return Gate.TIER_CAP
        if self.is_shut():
            return Gate.RATE
        return Gate.TURN if self.may_start() else Gate.CAP

    def may_start(self) -> bool:
        """Return whether the head may start now, though it may not be its turn."""
        if not self.node.entry or not self.tier.node.entry:
            return False
        return self.tier.node.parent.node.is_behind or not self.node.entry[0]

    def best_waiting(self) -> Priority | None:
        """Return the highest class of which a job could start now."""
        if not self.may_start():
            return None
        queues = self.queues.items()
        return Priority(min(p for p, queue in queues if queue.node.head is not None))

    def check_invariants(self) -> None:
        self.branch.check_children([queue.node for queue in self.queues.values()])
        for queue in self.queues.values():
            queue.check_invariants()


class Queue:
    """One tenant's waiting jobs of one priority, oldest first."""

    __slots__ = ("_heap", "_withdrawn", "node", "path", "tenant")

    def __init__(self, priority: Priority, tenant: Tenant) -> None:
        self.tenant = tenant
        self.node = Node(priority.name, PRIORITY_WEIGHTS[priority], tenant.branch)
        self.node.tie = priority
        self._heap: list[Waiting] = []
        self._withdrawn: set[int] = set()
        self.path: Path | None = None  # forgotten when a weight or the tier changes

    def find_path(self) -> Path:
        """Return where and how an attempt that starts now is charged; keep it, too."""
        tenant = self.tenant
        path = self._path_at(tenant.node.ticks, tenant.tier.node.ticks)
        self.path = path
        return path

    def path_then(self, weight: int, tier_weight: int) -> Path:
        """Return where and how an attempt was charged that started at these weights."""
        return self._path_at(ticks_per_us(weight), ticks_per_us(tier_weight))

    def _path_at(self, ticks: int, tier_ticks: int) -> Path:
        tenant = self.tenant
        return (
            (self.node, self.node.ticks),
            (tenant.node, ticks),
            (tenant.tier.node, tier_ticks),
        )

    def waiting(self) -> int:
        return len(self._heap) - len(self._withdrawn)

    def jobs(self) -> list[Any]:
        """Return the waiting jobs, in no order."""
        return [job for _, n, job, _ in self._heap if n not in self._withdrawn]

    def add(self, waiting: Waiting) -> bool:
        """Add a job; return whether it goes first now."""
        heappush(self._heap, waiting)
        self.node.head = self._heap[0]
        return self.node.head is waiting

    def pop(self) -> None:
        """Drop the oldest job."""
        heap = self._heap
        heappop(heap)
        if heap and not self._withdrawn:
            self.node.head = heap[0]
        else:
            self._look()

    def withdraw(self, waiting: Waiting) -> None:
        """Drop any job."""
        self._withdrawn.add(waiting[1])
        self._look()

    def _look(self) -> None:
        if self._withdrawn:
            self._clear_withdrawn()
        if self._heap:
            self.node.head = self._heap[0]
        else:
            self.node.head, self.node.bar = None, 0

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
        assert self.node.head is (heap[0] if heap else None)


class Flight:
    """An attempt in flight, and what its path is charged for it so far."""

    __slots__ = ("charged_us", "path", "tenant")

    def __init__(self, tenant: Tenant, path: Path) -> None:
        self.tenant = tenant
        self.path = path
        self.charged_us = 0

    # The hot loop: a call for each of its steps would make it a third slower.
    def charge(  # noqa: C901
        self, total_us: int, started: int, is_served: bool
    ) -> None:
        """Make this the attempt's charge, and rank anew all that are charged.

        `started` is 1 if the attempt starts now, -1 if it ends and 0 otherwise.
        `is_served` says that it was its turn, so that the clocks advance to it.
        """
        added_us = total_us - self.charged_us
        self.charged_us = total_us
        tenant = self.tenant
        tenant.used_us += added_us
        for node, ticks in self.path:
            branch = node.parent
            node.in_flight = in_flight = node.in_flight + started
            if in_flight >= node.bar:
                branch.charge(node, added_us * ticks, is_served)
                continue
            # What `Branch.charge` would come to for a child that is ranked as usual.
            time = node.virtual_time
            if is_served:
                if time > branch.clock:
                    branch.clock = branch.floor = time
                else:
                    branch.floor = branch.clock
            node.virtual_time = time = time + added_us * ticks
            node.entry = key = (False, time, node.tie, node)
            heap = branch.heap
            if heap[0] is node.standing:
                node.standing = key
                heapreplace(heap, key)
                entry = heap[0]
                first: Any = entry[3]
                if first.entry is not entry:
                    first = branch.surface()
                above = branch.node
                above.head = head = first.head
                above.tie = head[0]
            elif key < node.standing and branch.put(key) is node:  # type: ignore[operator]
                branch.go_by(node)
        if tenant.has_moved:
            place(tenant.tier.node)  # the path may lead through another tier
