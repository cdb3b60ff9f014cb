"""Keep items in the order of keys that change.

Idea
    A binary heap that is told of every change. An item whose key has shrunk is pushed
    again, and the entry it leaves behind is skipped when it surfaces. An item whose key
    has grown stays where it is, and moves back only when it surfaces: until then its
    old key is a lower bound, which is all that the order of the others needs.

Source
    The priority queue notes of CPython's heapq, "Priority Queue Implementation Notes".

Differences
    An item knows the entry that stands for it, so a stale one is told by identity and
    no table of entries is kept; the first item changes its place without leaving an
    entry behind; the heap is rebuilt before stale entries outnumber the others.

Invariants
    1. The list is a heap, and its first entry is that of an item under its true key.
    2. One entry stands for each item, under its true key or a smaller one.
    3. It holds at most twice its items plus a constant.

Cost
    O(log n) amortised for put and discard, O(1) for first.

Limits
    An item stands in one ranking at a time. Items are compared when their keys are
    equal.
"""
# ruff: noqa: S101 - invariants are asserted

from collections.abc import Iterator
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, Generic, TypeVar

__all__ = ["Ranked", "Ranking"]

# Stale heap entries tolerated before a heap is rebuilt, beside one per live entry.
_SLACK = 8


class Ranked:
    """Something that can stand in one ranking: its true key, and what stands for it."""

    __slots__ = ("entry", "standing")

    def __init__(self) -> None:
        self.entry: tuple[Any, ...] | None = None
        self.standing: tuple[Any, ...] | None = None


RankedT = TypeVar("RankedT", bound=Ranked)


class Ranking(Generic[RankedT]):
    """Items in the order of their keys, which are told anew whenever they change.

    `heap` and `size` are for those who derive from it, to do the usual without a call.
    """

    __slots__ = ("heap", "size")

    def __init__(self) -> None:
        self.heap: list[tuple[Any, ...]] = []
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[RankedT]:
        return (entry[-1] for entry in self.heap if entry[-1].standing is entry)

    def put(self, entry: tuple[Any, ...]) -> RankedT:
        """Rank an item, the last of the entry, under the rest of it as its key.

        It does not matter whether the item was ranked before. Returns the first item.
        """
        item, heap = entry[-1], self.heap
        item.entry = entry
        standing = item.standing
        if standing is None:
            self.size += 1
            item.standing = entry
            heappush(heap, entry)
        elif heap[0] is standing:
            item.standing = entry
            heapreplace(heap, entry)
        elif entry < standing:
            item.standing = entry
            heappush(heap, entry)
            if len(heap) > 2 * self.size + _SLACK:
                self._rebuild()
        first = heap[0]
        item = first[-1]
        if item.entry is first:
            return item  # type: ignore[no-any-return]
        return self.surface()

    def discard(self, item: RankedT) -> RankedT | None:
        """Take the item out if it is in; return the first one left."""
        if item.standing is not None:
            item.entry = item.standing = None
            self.size -= 1
            if not self.size:
                self.heap.clear()
            elif len(self.heap) > 2 * self.size + _SLACK:
                self._rebuild()
        return self.surface() if self.size else None

    def first(self) -> RankedT | None:
        """Return the item with the smallest key, leaving it in."""
        return self.heap[0][-1] if self.size else None

    def surface(self) -> RankedT:
        """Return the first item, once it stands under its true key."""
        heap = self.heap
        while True:
            first = heap[0]
            item: RankedT = first[-1]
            entry = item.entry
            if entry is first:
                return item
            if item.standing is first and entry is not None:
                item.standing = entry
                heapreplace(heap, entry)
            else:
                heappop(heap)

    def _rebuild(self) -> None:
        items = list(self)
        for item in items:
            item.standing = item.entry
        self.heap = [item.entry for item in items if item.entry is not None]
        heapify(self.heap)

    def check_invariants(self) -> None:
        heap = self.heap
        assert not any(heap[i] < heap[(i - 1) // 2] for i in range(1, len(heap)))
        items = list(self)
        assert len(items) == self.size
        for item in items:
            assert item.entry is not None
            assert item.standing is not None
            assert not item.entry < item.standing
        assert not heap or heap[0][-1].entry is heap[0]
        assert len(heap) <= 2 * self.size + _SLACK
