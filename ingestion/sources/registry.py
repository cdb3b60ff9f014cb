"""Which reader reads which source; a new source is one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from ingestion.sources import upi
from ingestion.sources.base import Reader

READERS: Mapping[str, Reader] = MappingProxyType({"UPI": upi.read})


class UnknownSourceError(LookupError):
    """No reader exists for this name of a source."""

    def __init__(self, source: str):
        known = ", ".join(sorted(READERS))
        super().__init__(f"Unknown source {source!r}; use one of: {known}.")
        self.source = source


def reader_get(source: str) -> Reader:
    """Return the reader of `source`; raises UnknownSourceError."""
    try:
        return READERS[source]
    except KeyError:
        raise UnknownSourceError(source) from None
