"""Loads chunks in their order, with the next one on its way if there are two loaders.

Two loaders take turns, each in a thread with a connection and transactions of its own:
while one inserts its chunk, the other sends the next one to the server, and inserts it
once the first has committed. The file's counts and its last line are committed with a
chunk's rows, so what was written before its step failed is known, and passed over when
the load goes on. A single loader writes in the step's own transaction.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from django.db import connection

from ingestion import loader
from ingestion.loader import Batch, Target
from ingestion.models import IngestedFile
from ingestion.reading import Chunk
from ingestion.sources.base import Reject
from jobs.fencing import fenced
from jobs.handlers import Assignment
from tenants.scoping import tenant_scope

_COUNT: Final = """
UPDATE ingestion_ingestedfile
SET state = 'loading', written_line = GREATEST(written_line, %(line)s),
    rows = rows + %(rows)s,
    inserted = inserted + %(inserted)s, duplicate = duplicate + %(duplicate)s,
    conflicting = conflicting + %(conflicting)s, rejected = rejected + %(rejected)s
WHERE id = %(file)s
"""


class LoadLeftError(Exception):
    """The load pauses: a chunk that is on its way is not inserted."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A chunk, and what of it was not written before."""

    chunk: Chunk
    batch: Batch
    rejects: Sequence[Reject]


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A chunk, and when it is written; None where the step itself is to write it."""

    ready: Ready
    written: Future[None] | None

    @property
    def chunk(self) -> Chunk:
        """Return the chunk."""
        return self.ready.chunk


class Loaders:
    """The loaders of one file; to be entered, and left when the load pauses."""

    def __init__(self, assignment: Assignment, target: Target, count: int) -> None:
        self._assignment = assignment
        self._target = target
        #: One thread for each, so that each keeps its connection.
        self._threads = [
            ThreadPoolExecutor(1, thread_name_prefix=f"loader{number}")
            for number in range(count if count > 1 else 0)
        ]
        self._taken = 0
        self._before: Future[None] | None = None
        self._left = threading.Event()
        self._begun = 0

    def __enter__(self) -> Self:
        """Read how far the file is."""
        with tenant_scope(self._target.tenant):
            lines = IngestedFile.objects.values_list("written_line", flat=True)
            self._begun = lines.get(pk=self._target.file_id)
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is being inserted, take back the rest, close connections."""
        self._left.set()
        for thread in self._threads:
            thread.submit(_close_own)
        for thread in self._threads:
            thread.shutdown()
        self._before = None  # an error in it holds the chunk that it came from

    def take(self, chunk: Chunk) -> OnItsWay:
        """Make a chunk ready, and have the next loader send it, if there are two.

        It is called for one chunk after another, ahead of `load`, by another thread.
        """
        ready = self._ready(chunk)
        if not self._threads:
            return OnItsWay(ready, None)
        thread = self._threads[self._taken % len(self._threads)]
        self._taken += 1
        self._before = thread.submit(self._load_beside, ready, self._before)
        return OnItsWay(ready, self._before)

    def _ready(self, chunk: Chunk) -> Ready:
        rows, rejects, begun = chunk.rows, chunk.rejects, self._begun
        if begun:
            rows = [row for row in rows if row.line > begun]
            rejects = [reject for reject in rejects if reject.line > begun]
        return Ready(chunk, Batch.of(rows), rejects)

    def load(self, taken: OnItsWay) -> None:
        """Write a chunk, within the step's transaction unless a loader does it.

        Raises what the loader raised.
        """
        if taken.written is None:
            loader.send(taken.ready.batch)
            self._write(taken.ready)
        else:
            taken.written.result()

    def _load_beside(self, ready: Ready, before: Future[None] | None) -> None:
        with fenced(self._assignment):
            loader.send(ready.batch)
            if before is not None:
                before.result()  # the ids in it have to be seen
            if self._left.is_set():
                raise LoadLeftError
            self._write(ready)

    def _write(self, ready: Ready) -> None:
        counts = loader.load(self._target, ready.batch, ready.rejects)
        values: dict[str, Any] = {
            "file": self._target.file_id,
            "line": ready.chunk.last_line,
            **asdict(counts),
        }
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, values)


def _close_own() -> None:
    # Looked up by the thread that runs this: each has a connection of its own.
    connection.close()
