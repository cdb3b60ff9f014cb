"""Which jobs the dispatcher knows: the heads of each tenant's line, not the backlog.

A line is read when its tenant is named by a wake, when what was read of it runs out,
or when the sweep comes past it: the sweep walks over all tenants with queued work, a
slice at a time, so that a lost wake costs latency only. How deep a line is read
follows how fast it is drained, so memory follows the work being done, not the work
waiting.
"""

from collections.abc import Collection, Iterable
from typing import Final

from jobs import backlog
from jobs.backlog import Head

#: Queued jobs read of each priority class at first, and at most.
SHALLOW: Final = 4
DEEP: Final = 512
#: Rows of one reading: it takes milliseconds.
READ_ROWS: Final = 256


class Lines:
    """The lines to read, and how deep."""

    def __init__(self, *, without: Collection[str] = ()) -> None:
        #: Kinds that are passed over.
        self.without = without
        self._wanted: dict[str, None] = {}
        self._depth: dict[str, int] = {}
        #: Tenants of whose lines only the front is known.
        self._longer: set[str] = set()
        self._after = ""

    @property
    def is_behind(self) -> bool:
        """Return whether lines are waiting to be read."""
        return bool(self._wanted)

    def want(self, tenants: Iterable[str]) -> None:
        """Read these tenants' lines soon, in the order they were wanted."""
        self._wanted.update(dict.fromkeys(tenants))

    def ran_low(self, tenant: str, waiting: int) -> None:
        """Note how many jobs are left of what was read of this tenant's line."""
        depth = self._depth.get(tenant, SHALLOW)
        if tenant in self._longer and waiting <= depth // 4:
            self._depth[tenant] = min(DEEP, depth * 4)
            self._wanted[tenant] = None

    def sweep(self, most: int) -> None:
        """Want the next so many of the tenants that have queued work."""
        slice_ = backlog.backlogged(after=self._after, limit=most)
        self._after = slice_[-1] if len(slice_) == most else ""
        self.want(slice_)

    def read(self) -> list[Head]:
        """Read wanted lines, as many as fit in one reading."""
        found: list[Head] = []
        for depth, batch in self._batches().items():
            heads = backlog.heads(batch, limit=depth, without=self.without)
            for tenant in batch:
                del self._wanted[tenant]
            self._note(batch, heads, depth)
            found += heads
        return found

    def _batches(self) -> dict[int, list[str]]:
        """Return the tenants to read now, by how deep."""
        batches: dict[int, list[str]] = {}
        left = READ_ROWS
        for tenant in self._wanted:
            if left <= 0:
                break
            depth = self._depth.get(tenant, SHALLOW)
            batches.setdefault(depth, []).append(tenant)
            left -= depth
        return batches

    def _note(self, batch: list[str], heads: list[Head], depth: int) -> None:
        read: dict[tuple[str, int], int] = {}
        for head in heads:
            key = (head.tenant, head.priority)
            read[key] = read.get(key, 0) + 1
        longer = {tenant for (tenant, _), count in read.items() if count == depth}
        self._longer.difference_update(batch)
        self._longer |= longer
        for tenant in batch:
            if tenant not in longer:
                self._depth.pop(tenant, None)
