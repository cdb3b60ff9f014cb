"""Which reader reads which source; a new format is one line here."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ingestion.sources import bai2, mt940, upi
from ingestion.sources.base import Source
from ingestion.sources.camt import source as camt

SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        source.name: source
        for source in (upi.SOURCE, *mt940.SOURCES, bai2.SOURCE, *camt.SOURCES)
    }
)


class UnknownSourceError(LookupError):
    """No reader exists for this name of a source; `others` are known besides."""

    def __init__(self, source: str, others: Iterable[str] = ()):
        known = ", ".join(sorted({*SOURCES, *others}))
        super().__init__(f"Unknown source {source!r}; use one of: {known}.")
        self.source = source


def source_get(name: str) -> Source:
    """Return the source of that name; raises UnknownSourceError."""
    try:
        return SOURCES[name]
    except KeyError:
        raise UnknownSourceError(name) from None
