"""MT940 and MT942, SWIFT's customer statements: `docs/formats.md` describes them.

The library `mt-940` reads the fields. A file is cut into fields here, so that one of
any length is read as a stream and nothing in it is passed over without a word: the
library reads whole files and skips what it cannot place.
"""

from collections.abc import Iterable
from functools import partial

from ingestion.sources.base import Position, Source
from ingestion.sources.swift.cutting import units
from ingestion.sources.swift.statements import Statements
from ingestion.sources.units import UnitReading


def read_940(blocks: Iterable[bytes], *, resume: Position | None = None) -> UnitReading:
    """Return the records of a file of MT940 messages; see `Read`."""
    return _read("MT940", blocks, resume)


def read_942(blocks: Iterable[bytes], *, resume: Position | None = None) -> UnitReading:
    """Return the records of a file of MT942 messages; see `Read`."""
    return _read("MT942", blocks, resume)


def _read(source: str, blocks: Iterable[bytes], resume: Position | None) -> UnitReading:
    about: dict[str, str] = {}
    return UnitReading(
        blocks,
        resume,
        cut=partial(units, source, about),
        begin=partial(Statements, source),
        about=about,
    )


SOURCES = (
    Source(name="MT940", read=read_940, has_totals=True, version="3"),
    Source(name="MT942", read=read_942, has_totals=True, version="3"),
)
