"""The objects of a report: one for each page of it, then all of them in one.

No store appends to an object. So each step writes a part of its own, and what the
checkpoint names is what is joined in the end: an attempt that came to nothing may leave
a part, but never one that counts. Parts are never written again, so that joining them
anew gives the same bytes.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, count
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

from ingestion.storage import Store, object_key

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FOLDER: Final = "reports"
_BUFFER_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a report is: what a checkpoint holds."""

    #: The last id that was looked at, and the last that will be.
    after: int
    upto: int
    #: How many ids the next page looks at.
    window: int
    rows: int = 0
    size: int = 0
    #: The attempts that wrote parts, in order, and how many each.
    writers: tuple[tuple[int, int], ...] = ()
    #: Whether the report lies in the store and nothing but its parts has to go.
    is_joined: bool = False

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Self:
        """Return what a checkpoint holds."""
        pairs = tuple((attempt, parts) for attempt, parts in state["writers"])
        return cls(**{**state, "writers": pairs})

    @property
    def parts(self) -> int:
        """Return how many parts are written."""
        return sum(parts for _, parts in self.writers)

    def with_part(self, attempt_id: int, *, rows: int, size: int) -> Self:
        """Return the same with one more part."""
        writers = [*self.writers]
        written = 0
        if writers and writers[-1][0] == attempt_id:
            _, written = writers.pop()
        return replace(
            self,
            rows=self.rows + rows,
            size=self.size + size,
            writers=(*writers, (attempt_id, written + 1)),
        )


def report_key(tenant: str, job_id: UUID) -> str:
    """Return where a report lies."""
    return object_key(tenant, f"{FOLDER}/{job_id}.csv")


def parts_key(tenant: str, job_id: UUID) -> str:
    """Return the folder of its parts, which is gone once it is done."""
    return object_key(tenant, f"{FOLDER}/{job_id}")


def part_keys(folder: str, progress: Progress) -> Iterator[str]:
    """Yield where its parts lie, in their order."""
    numbers = count(1)
    for attempt_id, parts in progress.writers:
        for _ in range(parts):
            yield _part_key(folder, next(numbers), attempt_id)


def write_part(
    store: Store,
    folder: str,
    progress: Progress,
    *,
    attempt_id: int,
    texts: Iterable[bytes],
) -> int:
    """Write the next part; returns its bytes, 0 where there is nothing to write.

    The store is called once all of the part is read.
    """
    with TemporaryFile("w+b") as file:
        for text in texts:
            file.write(text)
        size = file.tell()
        if size:
            file.seek(0)
            key = _part_key(folder, progress.parts + 1, attempt_id)
            store.write(key, file)
    return size


def join(
    store: Store, folder: str, progress: Progress, *, head: bytes, key: str
) -> None:
    """Write the report: its head, and all parts behind it, as they stream by.

    Raises ObjectMissingError, ObjectChangedError or StoreUnavailableError.
    """
    parts = (
        block
        for part in part_keys(folder, progress)
        for block in store.blocks(store.stat(part), 0)
    )
    store.write(key, io.BufferedReader(_Joined(chain([head], parts)), _BUFFER_BYTES))


def _part_key(folder: str, number: int, attempt_id: int) -> str:
    return f"{folder}/{number:06}-{attempt_id}.csv"


class _Joined(io.RawIOBase):
    """Blocks, one behind the other, as a file to read."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Take the next bytes, 0 at the end."""
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        view = memoryview(buffer)
        size = min(len(view), len(self._left))
        view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
