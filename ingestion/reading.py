"""Cuts the records of a file into chunks, one chunk ahead of who loads them.

A chunk is what is written together. Reading goes on in a thread of its own while the
chunk before is on its way to the database: a wait for the server leaves the interpreter
free.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, Generic, TypeVar

from ingestion.sources.base import (
    Fault,
    Position,
    Reading,
    Record,
    Reject,
    Row,
    Statement,
)

#: A chunk of long rows ends here: its rows are all in memory at once.
CHUNK_BYTES: Final = 4 * 1024 * 1024


@dataclass(slots=True)
class Chunk:
    """Records that are loaded together; `position` is where the next one starts."""

    rows: list[Row]
    rejects: list[Reject]
    statements: list[Statement]
    faults: list[Fault]
    position: Position
    last_line: int
    #: Bytes of the stored file that were unpacked for it; None if it is not compressed.
    taken: int | None = None

    @property
    def row_count(self) -> int:
        """Return how many rows of the file it holds, refused ones included."""
        return len(self.rows) + len(self.rejects)


def chunks(reading: Reading, *, most_rows: int) -> Iterator[Chunk]:
    """Yield the chunks of a reading, which are the same from wherever it goes on."""
    begin, records = reading.position, iter(reading)
    for first in records:
        chunk = Chunk([], [], [], [], begin, 0)
        end = begin.offset + CHUNK_BYTES
        rows, line = chunk.rows, 0
        for count, record in enumerate(chain([first], records), 1):
            # A fault may stand for an earlier line than the rows that it comes behind.
            if record.line > line:
                line = record.line
            if type(record) is Row:
                rows.append(record)
            else:
                _put_aside(chunk, record)
            if count >= most_rows or reading.offset >= end:
                break
        chunk.last_line = line
        chunk.position = begin = reading.position
        yield chunk


def _put_aside(chunk: Chunk, record: Record) -> None:
    if isinstance(record, Reject):
        chunk.rejects.append(record)
    elif isinstance(record, Statement):
        chunk.statements.append(record)
    elif isinstance(record, Fault):
        chunk.faults.append(record)


ItemT = TypeVar("ItemT")


class Ahead(Generic[ItemT]):
    """Hands out chunks while a thread prepares the next one, and no further.

    What goes wrong in the thread is raised where the chunk would have come. To be
    entered; when it is left the thread has ended, and what it read ahead is lost.
    """

    def __init__(self, found: Iterator[ItemT]) -> None:
        self._found = found
        self._ready: queue.Queue[ItemT | BaseException | None] = queue.Queue()
        self._wanted = threading.Semaphore()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._prepare, daemon=True)

    def __enter__(self) -> Iterator[ItemT]:
        """Begin to read."""
        self._thread.start()
        return self._hand_out()

    def __exit__(self, *_: object) -> None:
        """Stop reading."""
        self._left.set()
        self._wanted.release()
        self._thread.join()

    def _hand_out(self) -> Iterator[ItemT]:
        while (item := self._ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            self._wanted.release()
            yield item

    def _prepare(self) -> None:
        try:
            while self._wanted.acquire() and not self._left.is_set():
                chunk = next(self._found, None)
                self._ready.put(chunk)
                if chunk is None:
                    return
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self._ready.put(error)
