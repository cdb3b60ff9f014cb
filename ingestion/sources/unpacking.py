"""The plain bytes of a stored file: as it is, or unpacked from gzip or zip.

Told apart by the first bytes, never by the name. Positions in a file are those of its
plain bytes; neither format can be entered in the middle, so going on at an offset means
to unpack from the start and to drop what is before it.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from ingestion.sources.gzipped import MAGIC, gunzip
from ingestion.sources.inflate import Fetch, Limits, Meter
from ingestion.sources.zipped import MAGICS, unzip

_HEAD_BYTES: Final = 4


class Unpacked:
    """The blocks of a file's plain bytes from an offset on."""

    def __init__(
        self, fetch: Fetch, size: int, *, limits: Limits, offset: int = 0
    ) -> None:
        self._fetch = fetch
        self._size = size
        self._offset = offset
        self._meter = Meter(limits)
        self._is_packed = False

    @property
    def taken(self) -> int | None:
        """Return how many bytes of the stored file were used so far.

        None where it is not compressed: then a position in it says that exactly.
        """
        return self._meter.taken if self._is_packed else None

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks; raises SourceError where the file cannot be unpacked."""
        blocks = self._fetch(0, _HEAD_BYTES if self._offset else None)
        head = b""
        while len(head) < _HEAD_BYTES and (block := next(blocks, b"")):
            head += block
        if head.startswith(MAGIC):
            rest = self._fetch(len(head), None) if self._offset else blocks
            yield from self._from_offset(gunzip(chain((head,), rest), self._meter))
        elif head.startswith(MAGICS):
            yield from self._from_offset(unzip(self._fetch, self._size, self._meter))
        elif self._offset:
            yield from self._fetch(self._offset, None)
        else:
            yield from chain((head,), blocks)

    def _from_offset(self, plain: Iterator[bytes]) -> Iterator[bytes]:
        self._is_packed = True
        before = self._offset
        for block in plain:
            if before < len(block):
                yield block[before:]
            before = max(0, before - len(block))
