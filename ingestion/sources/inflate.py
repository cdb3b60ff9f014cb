"""What every way of unpacking shares: the limits, the meter, and deflate itself."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ingestion.sources.base import FileFault, SourceError

#: Returns the blocks of a stored file from an offset up to another, or to its end.
Fetch = Callable[[int, int | None], Iterator[bytes]]

GIB: Final = 1024**3
#: So much may come out before its ratio to what went in counts: a small file of equal
#: rows is no bomb.
_FREE_BYTES: Final = 1024 * 1024
#: Small, for what follows the end of a member in its piece is copied.
_PIECE_BYTES: Final = 16 * 1024
_OUT_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a file may unpack."""

    most_bytes: int = 10 * GIB
    ratio: int = 100


class Meter:
    """Counts what goes in and comes out, and refuses what unpacks too far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        #: Bytes of the stored file that were used up.
        self.taken = 0
        self.given = 0

    def count(self, taken: int, given: int) -> None:
        """Count; raises SourceError beyond the limits."""
        self.taken += taken
        self.given += given
        self.check(self.taken, self.given)

    def check(self, taken: int, given: int) -> None:
        """Refuse so much out of so much; raises SourceError."""
        if given > self.limits.most_bytes:
            raise _too_large(f"{self.limits.most_bytes:,} bytes")
        if given > _FREE_BYTES and given > self.limits.ratio * taken:
            raise _too_large(f"{self.limits.ratio} times its size")


def inflated(inflater: Any, piece: bytes, meter: Meter) -> Iterator[bytes]:
    """Yield what a piece of a deflated stream unpacks to, never much at once.

    Raises SourceError. What follows the stream is in `inflater.unused_data` then.
    """
    while not inflater.eof:
        try:
            out = inflater.decompress(piece, _OUT_BYTES)
        except zlib.error:
            raise damaged("it is not what was compressed once") from None
        rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        meter.count(len(piece) - len(rest), len(out))
        if out:
            yield out
        elif not rest:
            return
        piece = rest


def pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut blocks into small pieces."""
    for block in blocks:
        for start in range(0, len(block), _PIECE_BYTES):
            yield block[start : start + _PIECE_BYTES]


def damaged(what: str) -> SourceError:
    """Return the error for a compressed file that cannot be read to its end."""
    return SourceError(
        FileFault.DAMAGED_ARCHIVE,
        f"The compressed file is damaged: {what}. Upload it again.",
    )


def unusable(what: str) -> SourceError:
    """Return the error for a zip that is whole, but not what is wanted."""
    return SourceError(
        FileFault.UNUSABLE_ARCHIVE,
        f"The zip {what}; put exactly one plain file into it, or upload that as it is.",
    )


def _too_large(bound: str) -> SourceError:
    return SourceError(
        FileFault.ARCHIVE_TOO_LARGE,
        f"The compressed file unpacks to more than {bound}; split it, or upload it "
        "unpacked.",
    )
