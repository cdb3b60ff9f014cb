"""The physical lines of a file in one of the encodings that its dialect allows.

The rule: a byte order mark decides, and so do the zeros between plain letters that
betray UTF-16 without a mark. Else the first line beyond ASCII decides for the whole
file: UTF-8 if it is that and UTF-8 is allowed, otherwise the single-byte encoding that
is; so a damaged line of a UTF-8 file is refused and not read as something else. Lines
are handed out as UTF-8, each with the number of bytes that it has in the file, so that
offsets are those of the file.
"""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from ingestion.sources import sniff
from ingestion.sources.base import FileFault, SourceError
from ingestion.sources.lines import MAX_RECORD_BYTES, Lines, chunks, physical_lines

ENCODINGS: Final = ("utf-8", "cp1252", "iso-8859-1", "utf-16")
_SINGLE: Final = frozenset({"cp1252", "iso-8859-1"})
#: Stands before the other encoding of a file that was only ASCII so far.
_EITHER: Final = "utf-8+"


def opened(
    blocks: Iterable[bytes], allowed: Sequence[str]
) -> tuple[int, str, Iterator[bytes]]:
    """Return `(mark, codec, blocks)`: the size of the mark, and what follows it.

    Raises SourceError for a file that is empty, compressed, binary, a web page, or in
    an encoding that is not allowed.
    """
    head, remaining = sniff.head_of(blocks)
    wide = sniff.utf16_of(head)
    if wide and "utf-16" in allowed:
        codec, mark = wide
    else:
        sniff.check_head(head[: sniff.HEAD_BYTES])
        mark = len(sniff.UTF8_BOM) if head.startswith(sniff.UTF8_BOM) else 0
        codec = _narrow(allowed, has_mark=bool(mark))
    sniff.refuse_markup(head)
    return mark, codec, chain((head[mark:],), remaining)


def _narrow(allowed: Sequence[str], *, has_mark: bool) -> str:
    """Return the codec of a file that is not UTF-16."""
    single = next((name for name in allowed if name in _SINGLE), "")
    if "utf-8" in allowed:
        return f"{_EITHER}{single}" if single and not has_mark else "utf-8"
    if has_mark or not single:
        found = "UTF-8" if has_mark else "not UTF-16"
        raise SourceError(
            FileFault.UNSUPPORTED_ENCODING,
            f"The file is {found}; this source takes {', '.join(allowed)}. Save it "
            "anew, or add the encoding to the dialect.",
        )
    return single


class TextLines:
    """The physical lines of a file, as UTF-8 with their sizes in the file.

    `codec` goes from `utf-8+...` to the one that it turns out to be: keep it, and give
    it back with the blocks from a later place.
    """

    def __init__(self, blocks: Iterable[bytes], codec: str) -> None:
        self.codec = codec
        self._blocks = blocks

    def __iter__(self) -> Lines:
        """Yield the lines that are left."""
        if self.codec.startswith("utf-16"):
            return _wide_lines(self._blocks, self.codec)
        return self._narrow_lines(physical_lines(self._blocks))

    def _narrow_lines(self, lines: Lines) -> Lines:
        while self.codec.startswith(_EITHER):
            line = next(lines, None)
            if line is None:
                return
            if not line[0].isascii():
                self._decide(*line)
                lines = chain((line,), lines)
                break
            yield line
        if self.codec == "utf-8":
            yield from lines
        else:
            yield from _single_lines(lines, self.codec)

    def _decide(self, raw: bytes, size: int) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(raw, final=len(raw) == size)
        except UnicodeDecodeError:
            self.codec = self.codec.removeprefix(_EITHER)
        else:
            self.codec = "utf-8"


def as_in_file(raw: bytes, codec: str) -> bytes | None:
    """Return lines of `TextLines` as the file would have them; None where it cannot."""
    if codec.startswith("utf-8"):
        return raw
    try:
        text = raw.decode("utf-8", "surrogateescape")
        return text.encode(codec, "surrogateescape")
    except UnicodeError:
        return None


def _single_lines(lines: Lines, codec: str) -> Lines:
    for raw, size in lines:
        if raw.isascii():
            yield raw, size
        else:
            # Bytes that the encoding does not have stay as they are, which is no
            # UTF-8, so that their row is refused.
            text = raw.decode(codec, "surrogateescape")
            yield text.encode("utf-8", "surrogateescape"), size


def _wide_lines(blocks: Iterable[bytes], codec: str) -> Lines:
    decoder = codecs.getincrementaldecoder(codec)("surrogatepass")
    kept, size = "", 0
    for chunk in chunks(blocks):
        *whole, rest = decoder.decode(chunk).split("\n")
        for part in whole:
            line = kept + part[: MAX_RECORD_BYTES - len(kept)] + "\n"
            yield _utf8(line), size + _size_of(part + "\n", codec)
            kept, size = "", 0
        kept += rest[: MAX_RECORD_BYTES - len(kept)]
        size += _size_of(rest, codec)
    if halved := len(decoder.getstate()[0]):
        # The file ends within a character: no UTF-8 either, so the row is refused.
        kept += "\udcff"
        size += halved
    if size:
        yield _utf8(kept), size


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _size_of(text: str, codec: str) -> int:
    return len(text.encode(codec, "surrogatepass"))
