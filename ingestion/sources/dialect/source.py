"""A dialect as a source: data in, a reader out."""

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from ingestion.sources.base import Position, Source
from ingestion.sources.dialect.checks import checked
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.opening import open_file
from ingestion.sources.dialect.reading import DialectReading
from ingestion.sources.header import noted

#: Another one wherever the same dialect reads the same bytes otherwise than before.
_ENGINE: Final = "3"


def source_of(dialect: Dialect) -> Source:
    """Return the source that reads files of a dialect; raises DialectError."""
    checked(dialect)

    def read(
        blocks: Iterable[bytes], *, resume: Position | None = None
    ) -> DialectReading:
        return DialectReading(dialect, blocks, resume)

    def head(blocks: Iterable[bytes]) -> bytes:
        seen = bytearray()
        offset, _ = open_file(dialect, noted(blocks, seen)).mark
        return bytes(seen[:offset])

    return Source(
        name=dialect.name,
        read=read,
        has_totals=dialect.has_totals,
        head=head if dialect.stands_alone else None,
        version=_version(dialect),
    )


def _version(dialect: Dialect) -> str:
    """Return what differs wherever two dialects of a name do, but for their titles."""
    told = {**dialect.to_json(), "title": ""}
    digest = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return f"{_ENGINE}:{digest[:16]}"
