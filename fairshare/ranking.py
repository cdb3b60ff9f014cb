"""Keep items in the order of keys that change.

Idea
    A binary heap that is told of every change: the changed item is pushed again under
    its new key, and the entry it leaves behind is skipped when it surfaces.

Source
    The priority queue notes of CPython's heapq, "Priority Queue Implementation Notes".

Differences
    An item knows its live entry, so a stale one is told by identity and no table of
    entries is kept; the heap is rebuilt before stale entries outnumber live ones.

Invariants
    1. The list is a heap.
    2. An item stands in it under one live entry at most.
    3. It holds at most twice the live entries plus a constant.

Cost
    O(log n) amortised for put and discard, O(1) amortised for first.

Limits
    An item stands in one ranking at a time.
"""
# ruff: noqa: S101 - invariants are asserted

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
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
        if len(self._heap) > 2 * self._live + _SLACK:
            self._rebuild()

    def discard(self, item: RankedT) -> None:
        """Take the item out if it is in."""
        if item.entry is not None:
            item.entry = None
            self._live -= 1
            if len(self._heap) > 2 * self._live + _SLACK:
                self._rebuild()

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

    def _rebuild(self) -> None:
        self._heap = [e for e in self._heap if e[-1].entry is e]
        heapify(self._heap)

    def check_invariants(self) -> None:
        heap = self._heap
        assert all(heap[(i - 1) // 2] <= heap[i] for i in range(1, len(heap)))
        assert sum(1 for _ in self) == self._live
        assert len(heap) <= 2 * self._live + _SLACK
