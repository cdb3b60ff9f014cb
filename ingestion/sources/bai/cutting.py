"""A stream of BAI2 text, cut into records with the records (88) that go on with them.

Each record stands on a line of its own, and begins with its code. Where several share a
line, divided by the slash that ends a record and blanks, each counts as a line.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from ingestion.sources.base import FileFault, Position, SourceError, visible
from ingestion.sources.lines import MAX_RECORD_BYTES
from ingestion.sources.sniff import (
    HEAD_BYTES,
    UTF8_BOM,
    refuse_markup,
    refuse_other_formats,
)
from ingestion.sources.textlines import MAX_LINE_BYTES, decoded, text_lines
from ingestion.sources.units import END, Unit

CONTINUATION = "88"
DETAIL = "16"
#: A line that is no record, and one that goes on with the text of a detail instead.
STRAY = "stray"
WRAPPED = "wrapped"

_RECORD = re.compile(rb"(01|02|03|16|49|88|98|99)(?:,|/[ \t]*\Z|\Z)")
_AMOUNT = rb"[+-]?[0-9]*"
_SHARED = re.compile(
    rb"/[ \t]+(?=16,[0-9]{3},%(a)s,|49,%(a)s,[0-9]|9[89],%(a)s,[0-9]*,[0-9]"
    rb"|03,[^,/]*,(?:[A-Z]{3})?,|0[12],[^,/]*,[^,/]*,|88,)" % {b"a": _AMOUNT}
)
_CONTROLS = bytes(range(9)) + bytes(range(11, 33))
_FILE_HEADER = re.compile(rb"01,(?:[^,]*,){3}")
_MOST_BEFORE_A_HEADER = 1 << 16
#: A record and those that go on with it.
MAX_LINES = 10_000


def units(blocks: Iterable[bytes], start: Position) -> Iterator[Unit]:
    """Yield the records from a position on.

    Raises SourceError if the file has no file header (01) near its beginning.
    """
    if start.offset or start.state:
        yield from _Cutter(start.offset, start.line).units(text_lines(blocks))
    else:
        mark, blocks = _checked(blocks)
        yield from _Cutter(len(mark), 1).units(_lines_with_a_header(blocks))


def _checked(blocks: Iterable[bytes]) -> tuple[bytes, Iterable[bytes]]:
    remaining = iter(blocks)
    head = b""
    while len(head) < HEAD_BYTES and (block := next(remaining, None)) is not None:
        head += block
    refuse_other_formats(head[:HEAD_BYTES])
    refuse_markup(head, "BAI2")
    mark = UTF8_BOM if head.startswith(UTF8_BOM) else b""
    return mark, chain((head[len(mark) :],), remaining)


def _lines_with_a_header(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    lines = text_lines(blocks)
    first: list[tuple[bytes, int]] = []
    size = 0
    for line in lines:
        first.append(line)
        size += line[1]
        if _FILE_HEADER.match(line[0].lstrip(_CONTROLS)):
            return chain(first, lines)
        if size > _MOST_BEFORE_A_HEADER:
            break
    shown = next((line for line, _ in first if line.strip()), b"")
    if not shown:
        raise SourceError(
            FileFault.EMPTY_FILE, "The file has only blank lines; export it again."
        )
    raise SourceError(
        FileFault.WRONG_FORMAT,
        "The file does not begin with a BAI2 file header, a line such as "
        f"01,SENDER,RECEIVER,260105,0900,1,,,2/. It is: {visible(decoded(shown))}",
    )


class _Cutter:
    """Joins lines to units; the open one may go on in the next line."""

    def __init__(self, offset: int, line: int) -> None:
        self._offset, self._line = offset, line
        self._kind = ""
        self._parts: list[tuple[str, bytes]] = []
        self._start = (line, offset)
        self._size = 0
        self._is_cut = False

    def units(self, lines: Iterable[tuple[bytes, int]]) -> Iterator[Unit]:
        """Yield the units of the lines, and one for the end."""
        for raw, size in lines:
            if b"/ " in raw or b"/\t" in raw:
                for piece, length in _pieces(raw, size):
                    yield from self._take(piece, length)
            else:
                yield from self._take(raw, size)
        yield from self._close()
        yield Unit(END, [], self._line, self._offset, self._line, self._offset)

    def _take(self, raw: bytes, size: int) -> Iterator[Unit]:
        match = _RECORD.match(raw) or _RECORD.match(raw := raw.lstrip(_CONTROLS))
        if match is None:
            if raw.strip():
                yield from self._odd(raw)
        elif match[1] == b"88" and self._kind not in ("", STRAY):
            self._add(CONTINUATION, raw[3:])
        else:
            yield from self._close()
            self._begin(match[1].decode(), raw[3:])
        self._offset += size
        self._line += 1

    def _odd(self, raw: bytes) -> Iterator[Unit]:
        if self._kind == DETAIL:
            self._add(WRAPPED, raw)
        else:
            yield from self._close()
            self._begin(STRAY, raw)

    def _begin(self, kind: str, raw: bytes) -> None:
        self._kind, self._start = kind, (self._line, self._offset)
        self._add(kind, raw)

    def _add(self, kind: str, raw: bytes) -> None:
        self._size += len(raw) + 3
        if (
            len(raw) > MAX_LINE_BYTES - 3
            or self._size > MAX_RECORD_BYTES
            or len(self._parts) == MAX_LINES
        ):
            self._is_cut = True
        if not self._is_cut or not self._parts:
            self._parts.append((kind, raw))

    def _close(self) -> tuple[Unit, ...]:
        """Return the open unit, if there is one: it ends where the next line begins."""
        if not self._kind:
            return ()
        closed = Unit(
            self._kind,
            self._parts,
            *self._start,
            self._line,
            self._offset,
            self._is_cut,
        )
        self._kind, self._parts, self._size, self._is_cut = "", [], 0, False
        return (closed,)


def _pieces(raw: bytes, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield the records that share a line, with the bytes that each takes of it."""
    start = 0
    for match in _SHARED.finditer(raw):
        yield raw[start : match.start() + 1], match.end() - start
        start = match.end()
    yield raw[start:], size - start
