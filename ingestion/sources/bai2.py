"""BAI2, the cash management reports of US banks: `docs/formats.md` describes them."""

from collections.abc import Iterable

from ingestion.sources.bai.cutting import units
from ingestion.sources.bai.records import Records
from ingestion.sources.base import Position, Source
from ingestion.sources.units import UnitReading


def read(blocks: Iterable[bytes], *, resume: Position | None = None) -> UnitReading:
    """Return the records of a BAI2 file; see `Read`."""
    return UnitReading(blocks, resume, cut=units, begin=Records)


SOURCE = Source(name="BAI2", read=read, has_totals=True, version="2")
