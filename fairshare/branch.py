"""The rule by which the children of one node compete for worker time.

Every level of the tree works by it: the ready child with the smallest virtual time goes
first, and a child that becomes ready is lifted to the clock. Why it does so, and what
follows, stands in `fairshare.scheduler`; what the nodes stand for, in `fairshare.tree`.
"""
# ruff: noqa: S101 - invariants are asserted

from collections.abc import Iterable
from typing import Any, TypeAlias

from fairshare.ranking import Ranked, Ranking

__all__ = [
    "NO_LIMIT",
    "TICKS_PER_US",
    "WEIGHT_ONE",
    "Branch",
    "Node",
    "Waiting",
    "place",
    "ticks_per_us",
]

WEIGHT_ONE = 1000
"""Weight 1: weights are in thousandths."""

TICKS_PER_US = 720_720_000
"""How far a microsecond moves virtual time at weight 1; divisible by 1 to 16."""

NO_LIMIT = 1_000_000_000
"""More in flight than any pool has; small, as CPython compares small numbers faster."""

# A heap entry: order, serial, job, queue. The serial keeps comparisons from the job.
Waiting: TypeAlias = tuple[Any, int, Any, Any]


def ticks_per_us(weight: int) -> int:
    """Return how far a microsecond moves virtual time at this weight."""
    return TICKS_PER_US * WEIGHT_ONE // weight


class Node(Ranked):
    """A competitor among the children of a branch: a weight and a virtual time.

    One class for every level, not a base of several: CPython is quick with attributes
    only where it meets one class.
    """

    __slots__ = (
        "bar",
        "elastic_limit",
        "head",
        "in_flight",
        "is_behind",
        "is_held",
        "limit",
        "name",
        "parent",
        "ticks",
        "tie",
        "virtual_time",
        "weight",
    )

    def __init__(self, name: str, weight: int, parent: "Branch | None") -> None:
        super().__init__()
        self.name = name
        self.weight = weight
        self.ticks = ticks_per_us(weight)
        self.parent: Branch = parent  # type: ignore[assignment] # None at the root only
        self.virtual_time = 0 if parent is None else parent.present()
        self.in_flight = 0
        self.bar = 0  # ranked as usual below so many in flight; 0 if it is not
        self.limit = NO_LIMIT  # may start nothing from so many in flight on
        self.elastic_limit = NO_LIMIT  # lets all others go first from here on
        self.head: Waiting | None = None  # the job it would start next
        self.tie: Any = None  # breaks ties of virtual time
        self.is_behind = False  # its head waits for an elastic limit further down
        self.is_held = False  # was ready in a snapshot, and no pick has followed yet

    def __lt__(self, other: "Node") -> bool:
        return self.name < other.name


class Branch(Ranking[Node]):
    """The ready children of a node: the one furthest behind goes next, for the node."""

    __slots__ = ("clock", "floor", "node", "ready_weight")

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.clock = 0
        self.floor = 0  # the clock when a child within its elastic limit last went
        self.ready_weight = 0

    def serve(self, child: Node) -> None:
        """Advance the clock to the virtual time at which this child is served."""
        if child.entry and child.entry[0]:
            # Others went before it until now, which has earned it nothing.
            child.virtual_time = max(child.virtual_time, self.floor)
            self.clock = max(self.clock, child.virtual_time)
        else:
            self.clock = self.floor = max(self.clock, child.virtual_time)

    def charge(self, child: Node, added: int, is_served: bool) -> None:
        """Charge the child so many ticks and rank it anew, whatever its state."""
        if is_served:
            self.serve(child)
        # Charged before it is ranked: one that was held by its cap must be lifted from
        # its true virtual time.
        child.virtual_time += added
        self.place(child)

    def present(self) -> int:
        """Return the virtual time of a newcomer: the clock, or less after refunds.

        A clock may have been served on a hold that turned out too large.
        """
        first = self.first()
        if first is None or first.entry is None or first.entry[0]:
            return self.clock
        return min(self.clock, first.virtual_time)

    def place(self, child: Node) -> None:
        """Rank the child if it may start a job; lift it if it could not before."""
        entry = child.entry
        if child.head is None or child.in_flight >= child.limit:
            child.bar = 0
            if entry:
                self.remove(child)
            return
        is_behind = child.is_behind or child.in_flight >= child.elastic_limit
        if entry is None or (entry[0] and not is_behind):
            self._let_in(child)
        if is_behind:
            child.bar = 0
        else:
            limit, elastic_limit = child.limit, child.elastic_limit
            child.bar = limit if limit < elastic_limit else elastic_limit
        self.go_by(self.put((is_behind, child.virtual_time, child.tie, child)))

    def remove(self, child: Node) -> None:
        """Let the child compete here no more, until it is placed again."""
        if child.entry is not None:
            self.ready_weight -= child.weight
        child.is_held = False
        self.go_by(self.discard(child))

    def _let_in(self, child: Node) -> None:
        """Lift a child that earned nothing until now, unless its place is held."""
        if not child.entry:
            self.ready_weight += child.weight
        if not child.is_held and child.virtual_time < self.clock:
            child.virtual_time = max(child.virtual_time, self.present())

    def go_by(self, first: Node | None) -> None:
        """Let the node do as its first child would."""
        node = self.node
        if first is None or first.head is None or first.entry is None:
            node.head, node.is_behind, node.bar = None, False, 0
            return
        node.head = head = first.head
        node.tie = head[0]
        node.is_behind = first.entry[0]
        if node.is_behind:
            node.bar = 0

    def reweigh(self, child: Node, weight: int) -> None:
        """Give the child another weight from now on."""
        if child.entry:
            self.ready_weight += weight - child.weight
        child.weight, child.ticks = weight, ticks_per_us(weight)

    def part(self, child: Node) -> float:
        """Return the child's part of the weight here, counting it in if it is idle."""
        total = self.ready_weight + (0 if child.entry else child.weight)
        return child.weight / total

    def check_children(self, children: Iterable[Node]) -> None:
        self.check_invariants()
        ranked = [child for child in children if child.entry]
        for child in children:
            may_start = child.head is not None and child.in_flight < child.limit
            assert may_start == bool(child.entry)
            assert may_start or not child.bar
        for child in ranked:
            is_behind = child.is_behind or child.in_flight >= child.elastic_limit
            key = (is_behind, child.virtual_time, child.tie)
            assert child.entry == (*key, child)
            usual = min(child.limit, child.elastic_limit)
            assert child.bar == (0 if is_behind else usual)
        assert len(ranked) == len(self)
        assert self.ready_weight == sum(child.weight for child in ranked)
        assert self.floor <= self.clock
        first = min(ranked, key=lambda child: child.entry or (), default=None)
        assert self.node.head is (first and first.head)


def place(node: Node) -> None:
    """Rank a node anew, and those above it as far as that changes who goes first."""
    while (parent := node.parent) is not None:
        above = parent.node
        before = above.head, above.is_behind
        parent.place(node)
        if (above.head, above.is_behind) == before:
            return
        node = above
