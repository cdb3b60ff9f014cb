"""Loads a chunk part by part, side by side where there are several.

Each part is written in a transaction of its own, on a connection of its own, together
with a row that says how far it is: so a part that was committed before its step failed
is known, and passed over when the step is done again. A single part is written in the
step's own transaction.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from django.db import connection

from ingestion import loader
from ingestion.loader import Batch, Counts, Target
from ingestion.models import FilePart
from ingestion.reading import Chunk
from ingestion.sources.base import Reject
from jobs.fencing import fenced
from jobs.handlers import Assignment
from tenants.scoping import tenant_scope

_NOTE: Final = """
INSERT INTO ingestion_filepart AS p (tenant_id, file_id, part, line, rows, inserted,
                                     duplicate, conflicting, rejected)
VALUES (%(tenant)s, %(file)s, %(part)s, %(line)s, %(rows)s, %(inserted)s,
        %(duplicate)s, %(conflicting)s, %(rejected)s)
ON CONFLICT (file_id, part) DO UPDATE
SET line = EXCLUDED.line, rows = p.rows + EXCLUDED.rows,
    inserted = p.inserted + EXCLUDED.inserted,
    duplicate = p.duplicate + EXCLUDED.duplicate,
    conflicting = p.conflicting + EXCLUDED.conflicting,
    rejected = p.rejected + EXCLUDED.rejected
"""

_COUNTED: Final = [field.name for field in fields(Counts)]


@dataclass(frozen=True, slots=True)
class Ready:
    """A chunk, and the rows of each part as they are sent."""

    chunk: Chunk
    batches: list[Batch]


class Parts:
    """The parts of one file's load; to be entered, and left when the load pauses."""

    def __init__(self, assignment: Assignment, target: Target, count: int) -> None:
        self._assignment = assignment
        self._target = target
        self._counts = [Counts()] * count
        self._lines = [0] * count
        self._begun = [0] * count
        #: One thread for each part, so that each keeps its connection.
        self._threads = [
            ThreadPoolExecutor(1, thread_name_prefix=f"part{part}")
            for part in range(count)
        ]

    def __enter__(self) -> Self:
        """Read how far each part is."""
        with tenant_scope(self._target.tenant):
            for row in FilePart.objects.filter(file_id=self._target.file_id):
                self._lines[row.part] = row.line
                self._counts[row.part] = Counts(
                    **{name: getattr(row, name) for name in _COUNTED}
                )
        self._begun = list(self._lines)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections of the parts."""
        if len(self._threads) == 1:
            return  # it was never started
        for thread in self._threads:
            thread.submit(_close_own)
            thread.shutdown()

    @property
    def until_line(self) -> int:
        """Return up to where the part that is furthest has been written."""
        return max(self._lines)

    @property
    def counts(self) -> Counts:
        """Return what has become of the rows so far."""
        return sum(self._counts, Counts())

    def prepared(self, chunk: Chunk) -> Ready:
        """Return a chunk whose rows are ready to be sent, without those written before.

        It may be called ahead, and by another thread.
        """
        batches = []
        for rows, line in zip(chunk.parts, self._begun, strict=True):
            left = [row for row in rows if row.line > line] if line else rows
            batches.append(Batch.of(left))
        return Ready(chunk, batches)

    def load(self, ready: Ready) -> None:
        """Write what the parts do not have yet, within the step's transaction.

        Raises what the first part that failed raised, once all have come to their end.
        """
        if len(self._threads) == 1:
            self._done(0, ready.chunk, self._write(0, ready))
            return
        futures = [
            thread.submit(self._write_beside, part, ready)
            for part, thread in enumerate(self._threads)
        ]
        wait(futures)
        for part, future in enumerate(futures):
            self._done(part, ready.chunk, future.result())

    def _write_beside(self, part: int, ready: Ready) -> Counts:
        with fenced(self._assignment):
            return self._write(part, ready)

    def _write(self, part: int, ready: Ready) -> Counts:
        """Write the part's own rows, and the first part the rejects too."""
        chunk, line = ready.chunk, self._lines[part]
        rejects: Sequence[Reject] = ()
        if part == 0:
            rejects = [r for r in chunk.rejects if r.line > self._begun[part]]
        counts = loader.load(self._target, ready.batches[part], rejects)
        self._note(part, max(line, chunk.last_line), counts)
        return counts

    def _note(self, part: int, line: int, counts: Counts) -> None:
        values: dict[str, Any] = {
            "tenant": self._target.tenant,
            "file": self._target.file_id,
            "part": part,
            "line": line,
            **asdict(counts),
        }
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, values)

    def _done(self, part: int, chunk: Chunk, counts: Counts) -> None:
        self._counts[part] += counts
        self._lines[part] = max(self._lines[part], chunk.last_line)


def _close_own() -> None:
    # Looked up by the thread that runs this: each has a connection of its own.
    connection.close()
