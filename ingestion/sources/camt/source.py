"""ISO 20022 camt.052, camt.053 and camt.054: `docs/formats.md` describes them."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from ingestion.sources.base import Position, Source
from ingestion.sources.camt.reading import CamtReading


def read(
    kind: str, blocks: Iterable[bytes], *, resume: Position | None = None
) -> CamtReading:
    """Return the records of a message of that kind; see `Read`."""
    return CamtReading(kind, blocks, resume)


SOURCES: Final = tuple(
    Source(name=f"CAMT{kind}", read=partial(read, kind), has_totals=True, version="2")
    for kind in ("052", "053", "054")
)
