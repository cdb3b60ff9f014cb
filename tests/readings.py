"""What the tests of readers look at: each record with the position behind it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ingestion.sources.base import Position, Read, Record, Reject, Row


@dataclass(frozen=True, slots=True)
class Found:
    """One record, and where a later reading would go on after it."""

    record: Record
    position: Position

    @property
    def line(self) -> int:
        """Return its line."""
        return self.record.line

    @property
    def next_line(self) -> int:
        """Return the line behind it."""
        return self.position.line

    @property
    def end_offset(self) -> int:
        """Return the offset behind it."""
        return self.position.offset

    @property
    def row(self) -> Any:
        """Return it if it is a row, its `raw_row` as what the JSON says."""
        if not isinstance(self.record, Row):
            return None
        return self.record._replace(raw_row=json.loads(self.record.raw_row))

    @property
    def reject(self) -> Any:
        """Return it if it is a reject."""
        return self.record if isinstance(self.record, Reject) else None


def records(
    read: Read, blocks: Iterable[bytes], resume: Position | None = None
) -> list[Found]:
    """Return what a reader finds."""
    reading = read(blocks, resume=resume)
    return [Found(record, reading.position) for record in reading]
