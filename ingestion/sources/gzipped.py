"""gzip: one member or several in a row, as `cat a.gz b.gz` makes them (RFC 1952)."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from ingestion.sources.inflate import Meter, damaged, inflated, pieces

MAGIC: Final = b"\x1f\x8b"
#: Enough for 10 GiB in the blocks of 64 KiB that bgzip writes.
MAX_MEMBERS: Final = 200_000
#: To zlib: a header and a checksum of gzip around the deflated stream.
_GZIP: Final = 31


def gunzip(blocks: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """Yield what the members of a gzip file hold; raises SourceError.

    Zeros behind a member are padding; anything else has to be another member.
    """
    inflater: Any = None
    members = 0
    for piece in pieces(blocks):
        while piece:
            if inflater is None:
                piece = _next_member(piece, members, meter)
                if not piece:
                    break
                members += 1
                inflater = zlib.decompressobj(_GZIP)
            yield from inflated(inflater, piece, meter)
            piece = inflater.unused_data
            inflater = None if inflater.eof else inflater
    if inflater is not None:
        raise damaged("it ends in the middle")


def _next_member(piece: bytes, members: int, meter: Meter) -> bytes:
    """Return the piece from the next member on; empty if there is none in it."""
    if not members:
        return piece
    if members >= MAX_MEMBERS:
        raise damaged(f"it has more than {MAX_MEMBERS:,} members")
    stripped = piece.lstrip(b"\0")
    meter.count(len(piece) - len(stripped), 0)
    if not MAGIC.startswith(stripped[: len(MAGIC)]):
        raise damaged("something that is not gzip follows its end")
    return stripped
