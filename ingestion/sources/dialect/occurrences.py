"""Ids for the rows of statements that have none: by what they say.

Idea: a row is known by its account, its day and a digest of its content, the running
balance included, so that overlapping exports of one account name the same row alike
whatever else they hold. A row that says the same as an earlier one of its day is
another payment: it is numbered, `.2` for the second.

State: the digests of the last days, 8 bytes each; `MAX_DIGESTS` at most. Rows of one
day that say the same and stand further apart than that are taken for one.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

#: Days whose rows may be mixed.
MAX_DAYS: Final = 4
MAX_DIGESTS: Final = 10_000
DIGEST_BYTES: Final = 8


class Occurrences:
    """Counts rows that say the same on one day."""

    def __init__(self) -> None:
        #: How often each digest came, day by day, the day seen last at the end.
        self._days: dict[str, dict[bytes, int]] = {}
        self._size = 0

    def number(self, day: str, digest: bytes) -> int:
        """Return the how-many-eth row of its day this is that says so; from 1."""
        seen = self._days.pop(day, None)
        if seen is None:
            seen = {}
            if len(self._days) >= MAX_DAYS:
                self._size -= len(self._days.pop(next(iter(self._days))))
        self._days[day] = seen
        # Popped and put back, so that the dictionary is in the order of last sight.
        count = seen.pop(digest, 0) + 1
        seen[digest] = count
        if count == 1:
            self._size += 1
            self._forget()
        return count

    def _forget(self) -> None:
        """Drop what was seen longest ago when there is too much."""
        if self._size > MAX_DIGESTS:
            day = next(iter(self._days))
            del self._days[day][next(iter(self._days[day]))]
            if not self._days[day]:
                del self._days[day]
            self._size -= 1

    def to_json(self) -> list[Any]:
        """Return what was seen: a day, its digests, and those that came repeatedly."""
        return [
            [
                day,
                b64encode(b"".join(seen)).decode(),
                [[at, count] for at, count in enumerate(seen.values()) if count > 1],
            ]
            for day, seen in self._days.items()
        ]

    def recall(self, data: Sequence[Any]) -> None:
        """Know again what `to_json` told."""
        for day, text, repeated in data:
            joined, counts = b64decode(text), dict(repeated)
            self._days[day] = {
                joined[start : start + DIGEST_BYTES]: counts.get(at, 1)
                for at, start in enumerate(range(0, len(joined), DIGEST_BYTES))
            }
            self._size += len(self._days[day])
