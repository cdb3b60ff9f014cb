"""A dialect as a source: data in, a reader out."""

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from ingestion.sources.base import Position, Source
from ingestion.sources.dialect.checks import checked
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.reading import DialectReading

#: Another one wherever the same dialect reads the same bytes otherwise than before.
_ENGINE: Final = "1"


def source_of(dialect: Dialect) -> Source:
    """Return the source that reads files of a dialect; raises DialectError."""
    checked(dialect)

    def read(
        blocks: Iterable[bytes], *, resume: Position | None = None
    ) -> DialectReading:
        return DialectReading(dialect, blocks, resume)

    return Source(
        name=dialect.name,
        read=read,
        version=_version_of(dialect),
        has_totals=dialect.has_totals,
    )


def _version_of(dialect: Dialect) -> str:
    """Return what changes with anything that a file is read by."""
    told = {**dialect.to_json(), "title": ""}
    text = json.dumps(told, sort_keys=True).encode()
    return f"{_ENGINE}:{blake2b(text, digest_size=8).hexdigest()}"
