"""A dialect as a source: data in, a reader out."""

from collections.abc import Iterable

from ingestion.sources.base import Position, Source
from ingestion.sources.dialect.checks import checked
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.reading import DialectReading


def source_of(dialect: Dialect) -> Source:
    """Return the source that reads files of a dialect; raises DialectError."""
    checked(dialect)

    def read(
        blocks: Iterable[bytes], *, resume: Position | None = None
    ) -> DialectReading:
        return DialectReading(dialect, blocks, resume)

    return Source(name=dialect.name, read=read, has_totals=dialect.has_totals)
