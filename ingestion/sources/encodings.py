"""Text in another encoding as UTF-8, whose offsets still lead back into the file.

The rule, in this order:

1. A byte order mark says UTF-8 or UTF-16.
2. Else the first line with a byte beyond ASCII decides for the whole file: if it is
   UTF-8, all is UTF-8; else all is in the fallback, if the source names one.

So nothing is decided row by row: a damaged row of a UTF-8 file is refused and not read
as something else. What cannot be decoded comes out as bytes that are not UTF-8, and
whoever reads the row refuses it.
"""

import codecs
import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from ingestion.sources.base import FileFault, SourceError

#: UTF-32 comes first: its little-endian mark starts with that of UTF-16.
_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_MOST_MARK_BYTES: Final = 4
#: Of a longer line the beginning decides.
_DECIDING_BYTES: Final = 64 * 1024
_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]")
#: Half a character at the end of a file; this byte occurs in no UTF-8.
_HALF: Final = b"\xff"


class Utf8Blocks:
    """The blocks of a text as UTF-8.

    `encoding` says what the text turned out to be: None before its first byte, "" as
    long as it is ASCII. Keep it in a position beside `stored(offset)`, and give it back
    with the blocks from there.
    """

    def __init__(
        self,
        blocks: Iterable[bytes],
        *,
        fallback: str | None = None,
        encoding: str | None = None,
    ) -> None:
        """Take the blocks of a file; the fallback is an encoding of single bytes."""
        self.encoding = encoding
        self._fallback = fallback
        self._blocks = iter(blocks)
        #: Blocks that were given out, with their encoding; `stored` takes them away.
        self._given: deque[tuple[bytes, str]] = deque()
        #: How far `stored` is: in what was given out, in its first block, in the file.
        self._at = self._place = self._stored = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks; raises SourceError for UTF-32."""
        if self.encoding is None:
            self._skip_mark()
        if not self.encoding:
            yield from self._while_ascii()
        encoding = self.encoding
        if encoding:
            blocks = self._blocks if encoding == "utf-8" else self._decoded(encoding)
            for block in blocks:
                yield self._noted(block, encoding)

    def stored(self, offset: int) -> int:
        """Return how many bytes of the file the first `offset` bytes were made of.

        It lies between two characters, and not before the one asked for last.
        """
        while self._given and self._at < offset:
            block, encoding = self._given[0]
            end = min(len(block), self._place + offset - self._at)
            self._stored += _stored_size(block[self._place : end], encoding)
            self._at += end - self._place
            self._place = end
            if end == len(block):
                self._given.popleft()
                self._place = 0
        return self._stored

    def _noted(self, block: bytes, encoding: str) -> bytes:
        if block:
            self._given.append((block, encoding))
        return block

    def _skip_mark(self) -> None:
        head = self._ahead(_MOST_MARK_BYTES, until=None)
        mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
        self.encoding = _MARKS.get(mark, "")
        if self.encoding == "utf-32":
            text = "The file is UTF-32; save it as UTF-8 and upload it again."
            raise SourceError(FileFault.UNSUPPORTED_ENCODING, text)
        self._stored = len(mark)
        self._blocks = chain((head[len(mark) :],), self._blocks)

    def _while_ascii(self) -> Iterator[bytes]:
        """Yield what is ASCII; what is not, decides."""
        for block in self._blocks:
            beyond = _BEYOND_ASCII.search(block)
            if beyond is None:
                yield self._noted(block, "utf-8")
                continue
            yield self._noted(block[: beyond.start()], "utf-8")
            self._blocks = chain((block[beyond.start() :],), self._blocks)
            self.encoding = self._decided()
            return

    def _decided(self) -> str:
        head = self._ahead(_DECIDING_BYTES, until=b"\n")
        self._blocks = chain((head,), self._blocks)
        line, end, _ = head[:_DECIDING_BYTES].partition(b"\n")
        is_whole = bool(end) or len(head) < _DECIDING_BYTES
        try:
            codecs.getincrementaldecoder("utf-8")().decode(line, final=is_whole)
        except UnicodeDecodeError:
            return self._fallback or "utf-8"
        return "utf-8"

    def _ahead(self, size: int, *, until: bytes | None) -> bytes:
        """Take blocks until they are large enough or have the mark; all, if neither."""
        head = b""
        while len(head) < size and (until is None or until not in head):
            block = next(self._blocks, None)
            if block is None:
                break
            head += block
        return head

    def _decoded(self, encoding: str) -> Iterator[bytes]:
        if not encoding.startswith("utf-16"):
            for block in self._blocks:
                text = block.decode(encoding, "surrogateescape")
                yield text.encode("utf-8", "surrogateescape")
            return
        decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        for block in self._blocks:
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
        if decoder.getstate()[0]:
            yield _HALF


def _stored_size(given: bytes, encoding: str) -> int:
    """Return of how many bytes of the file some characters were made."""
    if encoding == "utf-8":
        return len(given)
    if not encoding.startswith("utf-16"):
        return len(given.decode("utf-8", "surrogateescape"))
    whole = given.removesuffix(_HALF)
    text = whole.decode("utf-8", "surrogatepass")
    return len(text.encode(encoding, "surrogatepass")) + len(given) - len(whole)
