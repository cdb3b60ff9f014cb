"""Keep items in the order of keys that change.

Idea
    A binary heap that is told of every change: the changed item is pushed again under
    its new key, and the entry it leaves behind is skipped when it surfaces.

Source
    The priority queue notes of CPython's heapq, "Priority Queue Implementation Notes".

Differences
    An item knows its live entry, so a stale one is told by identity and no table of
    entries is kept; the first item changes its place without leaving an entry behind;
    the heap is rebuilt before stale entries outnumber live ones.

Invariants
    1. The list is a heap.
    2. An item stands in it under one live entry at most.
    3. It holds at most twice the live entries plus a constant.

Cost
    O(log n) amortised for put and discard, O(1) amortised for first.

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
    """Something that can stand in one ranking, under one live entry at a time."""

    __slots__ = ("entry",)

    def __init__(self) -> None:
        self.entry: tuple[Any, ...] | None = None


RankedT = TypeVar("RankedT", bound=Ranked)


class Ranking(Generic[RankedT]):
    """Items in the order of their keys; a changed key is pushed again.

    The old entry stays behind until it surfaces or until a rebuild, and is told from
    the live one by identity.
    """

    __slots__ = ("_heap", "_live")

    def __init__(self) -> None:
        self._heap: list[tuple[Any, ...]] = []
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def __iter__(self) -> Iterator[RankedT]:
        return (entry[-1] for entry in self._heap if entry[-1].entry is entry)

    def put(self, entry: tuple[Any, ...]) -> None:
        """Rank an item, the last of the entry, under the rest of it as its key.

        It does not matter whether the item was ranked before.
        """
        item, heap = entry[-1], self._heap
        before, item.entry = item.entry, entry
        if not before:
            self._live += 1
            heappush(heap, entry)
        elif heap[0] is before:
            heapreplace(heap, entry)
        else:
            heappush(heap, entry)
            self._rebuild_if_stale()

    def discard(self, item: RankedT) -> None:
        """Take the item out if it is in."""
        if item.entry:
            self._live -= 1
            item.entry = None
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
        assert not any(heap[i] < heap[(i - 1) // 2] for i in range(1, len(heap)))
        assert sum(1 for _ in self) == self._live
        assert len(heap) <= 2 * self._live + _SLACK
