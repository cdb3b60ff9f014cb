"""The bytes of a file in pieces of one size, with a way to give some back."""

from collections.abc import Iterable
from typing import Final, Self

from ingestion.sources.lines import chunks

PIECE_BYTES: Final = 1 << 16


class Pieces:
    """Yields about `PIECE_BYTES` at a time, however the blocks come."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._pieces = chunks(blocks, PIECE_BYTES)
        self._given_back = b""

    def __iter__(self) -> Self:
        """Go on where reading stopped."""
        return self

    def __next__(self) -> bytes:
        """Return the next piece."""
        if self._given_back:
            piece, self._given_back = self._given_back, b""
            return piece
        return next(self._pieces)

    def give_back(self, piece: bytes) -> None:
        """Let this come next; nothing may have been given back that is not taken."""
        self._given_back = piece
