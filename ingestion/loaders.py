"""Loads chunks in their order, with the next one on its way if there are two loaders.

Two loaders take turns, each in a thread with a connection and transactions of its own:
while one inserts its chunk, the other sends the next one to the server, and inserts it
once the first has committed. A chunk is committed together with a row that says how far
the file is, so what was committed before its step failed is known, and passed over when
the load goes on. A single loader writes in the step's own transaction.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from django.db import connection

from ingestion import loader
from ingestion.loader import Batch, Counts, Target
from ingestion.models import LoadNote
from ingestion.reading import Chunk
from ingestion.sources.base import Reject
from jobs.fencing import fenced
from jobs.handlers import Assignment
from tenants.scoping import tenant_scope

_NOTE: Final = """
INSERT INTO ingestion_loadnote AS n (tenant_id, file_id, line, rows, inserted,
                                     duplicate, conflicting, rejected)
VALUES (%(tenant)s, %(file)s, %(line)s, %(rows)s, %(inserted)s,
        %(duplicate)s, %(conflicting)s, %(rejected)s)
ON CONFLICT (file_id) DO UPDATE
SET line = EXCLUDED.line, rows = n.rows + EXCLUDED.rows,
    inserted = n.inserted + EXCLUDED.inserted,
    duplicate = n.duplicate + EXCLUDED.duplicate,
    conflicting = n.conflicting + EXCLUDED.conflicting,
    rejected = n.rejected + EXCLUDED.rejected
"""

_COUNTED: Final = [field.name for field in fields(Counts)]


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
    """A chunk that a loader has taken, and what becomes of it."""

    ready: Ready
    counts: Future[Counts] | None

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
        self._before: Future[Counts] | None = None
        self._left = threading.Event()
        self._begun = 0
        self._counts = Counts()

    def __enter__(self) -> Self:
        """Read how far the file is."""
        with tenant_scope(self._target.tenant):
            row = LoadNote.objects.filter(file_id=self._target.file_id).first()
        if row is not None:
            self._begun = row.line
            self._counts = Counts(**{name: getattr(row, name) for name in _COUNTED})
        return self

    def __exit__(self, *_: object) -> None:
        """Let a chunk that is being inserted come to its end; close the connections."""
        self._left.set()
        for thread in self._threads:
            thread.submit(_close_own)
        for thread in self._threads:
            thread.shutdown()

    @property
    def until_line(self) -> int:
        """Return up to where the file was written before."""
        return self._begun

    @property
    def counts(self) -> Counts:
        """Return what has become of the rows so far."""
        return self._counts

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
        if taken.counts is None:
            loader.send(taken.ready.batch)
            self._counts += self._write(taken.ready)
        else:
            self._counts += taken.counts.result()

    def _load_beside(self, ready: Ready, before: Future[Counts] | None) -> Counts:
        with fenced(self._assignment):
            loader.send(ready.batch)
            if before is not None:
                before.result()  # the ids in it have to be seen
            if self._left.is_set():
                raise LoadLeftError
            return self._write(ready)

    def _write(self, ready: Ready) -> Counts:
        counts = loader.load(self._target, ready.batch, ready.rejects)
        values: dict[str, Any] = {
            "tenant": self._target.tenant,
            "file": self._target.file_id,
            "line": max(self._begun, ready.chunk.last_line),
            **asdict(counts),
        }
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, values)
        return counts


def _close_own() -> None:
    # Looked up by the thread that runs this: each has a connection of its own.
    connection.close()
