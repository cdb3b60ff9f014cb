"""The raw rows of entries: those that say the same things share a format."""

from typing import Final

from ingestion.sources.base import RawRow, raw_json

#: How many formats are remembered, and how many characters one's names may have.
MAX_FORMATS: Final = 256
MAX_FORMAT_CHARS: Final = 20_000


class RawRows:
    """Remembers a format for each set of names that it met, up to a bound."""

    def __init__(self) -> None:
        self._formats: dict[tuple[str, ...], RawRow] = {}

    def json(self, told: dict[str, str]) -> str:
        """Return the raw row of what an entry says."""
        names = tuple(told)
        known = self._formats.get(names)
        if known is None:
            if sum(map(len, names)) > MAX_FORMAT_CHARS:
                return raw_json(told)
            if len(self._formats) >= MAX_FORMATS:
                self._formats.clear()
            known = self._formats[names] = RawRow(names)
        return known.json(tuple(told.values()))

    def __len__(self) -> int:
        """Return how many formats are remembered."""
        return len(self._formats)
