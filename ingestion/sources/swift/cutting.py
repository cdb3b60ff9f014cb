"""A stream of SWIFT messages, cut into fields with their lines and offsets.

A field begins with its tag at the start of a line and goes on in the lines below. An
entry (61) and the fields that tell more about it (86, NS) are one unit. Around messages
stand block headers, or the routing lines of a bank; a line that is none of these is a
unit of its own, so that nothing disappears.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from ingestion.sources.base import FileFault, Position, SourceError, visible
from ingestion.sources.lines import MAX_FIELD_CHARS, MAX_RECORD_BYTES, MAX_RECORD_LINES
from ingestion.sources.sniff import (
    HEAD_BYTES,
    UTF8_BOM,
    refuse_markup,
    refuse_other_formats,
)
from ingestion.sources.textlines import MAX_LINE_BYTES, decoded, text_lines
from ingestion.sources.units import END, Unit

#: A line outside of all fields, and what stands around messages.
STRAY = "stray"
ENVELOPE = "envelope"
ENTRY = "61"
_LINE_END = "line_end"
_MORE_ABOUT_AN_ENTRY = frozenset({"86", "NS"})
_FREE_TEXT = frozenset({"61", "86", "NS"})

FIELDS = frozenset(
    {
        *("13", "13D", "20", "21", "25", "25P", "28", "28C", "34F"),
        *("60", "60F", "60M", "61", "86", "NS", "62", "62F", "62M"),
        *("64", "65", "90", "90C", "90D"),
    }
)
#: Fields that come before all entries: among details such a line is a time of day.
_HEADING = frozenset({"13", "20", "21", "25", "28", "34"})

_TAG = re.compile(rb":(NS|[0-9]{2}[A-Z]?):")
_TIME_OF_DAY = re.compile(rb":[0-9]{2}:[0-9]{2}(?![0-9])")
_BLOCKS = re.compile(rb"(?:\{[1-35S]:(?:[^{}]|\{[^{}]*\})*\})*\{4:[ \t]*")
_TYPE = re.compile(rb"\{2:[IO]([0-9]{3})")
_HEADER = re.compile(rb"\{[1-5S]:|:9[0-9]{2}:[ \t]*\Z|0000 01[A-Z0-9]{8}")
_ROUTING = re.compile(
    rb"(?:(?:MT)?9[0-9]{2}(?: [0-9]{2})?"
    rb"|[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3}){0,2})[ \t]*\Z"
)
_DASH = re.compile(rb"-(?:[A-Z]{3})?[ \t]*\Z")
_CONTROLS = bytes(range(9)) + bytes(range(11, 32))
#: A file without any field in its first megabyte is something else.
_MOST_BEFORE_A_FIELD = 1 << 20


def units(
    source: str, about: dict[str, str], blocks: Iterable[bytes], start: Position
) -> Iterator[Unit]:
    """Yield the units from a position on; note in `about` how the file's lines end.

    Raises SourceError if the file has no field, or begins with another type of message
    than the name of the source says.
    """
    head, rest = _headed(blocks)
    mark = b""
    is_whole = not (start.offset or start.state)
    if is_whole:
        refuse_other_formats(head[:HEAD_BYTES])
        refuse_markup(head, source)
        mark = UTF8_BOM if head.startswith(UTF8_BOM) else b""
    also_end = _also_end(head) if is_whole else start.state.get(_LINE_END, "")
    about[_LINE_END] = also_end
    lines = text_lines(chain((head[len(mark) :],), rest), also_end=also_end.encode())
    if is_whole:
        lines = _with_a_field(source, lines)
    yield from Cutter(start.offset + len(mark), start.line).units(lines)


def _headed(blocks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    remaining = iter(blocks)
    head = b""
    while len(head) < HEAD_BYTES and (block := next(remaining, None)) is not None:
        head += block
    return head, remaining


def _also_end(head: bytes) -> str:
    """Return what ends the lines of a file from home banking, which has no others."""
    head = head[:HEAD_BYTES]
    is_one_line = b"\n" not in head and b"\r" not in head
    return "@@" if is_one_line and b"@@:" in head else ""


def _with_a_field(
    source: str, lines: Iterator[tuple[bytes, int]]
) -> Iterator[tuple[bytes, int]]:
    first: list[tuple[bytes, int]] = []
    size = 0
    for line in lines:
        first.append(line)
        size += line[1]
        _check_type(source, line[0])
        if _has_field(line[0]):
            return chain(first, lines)
        if size > _MOST_BEFORE_A_FIELD:
            break
    shown = next((line for line, _ in first if line.strip()), b"")
    if not shown:
        raise SourceError(
            FileFault.EMPTY_FILE, "The file has only blank lines; export it again."
        )
    raise SourceError(
        FileFault.WRONG_FORMAT,
        "The file has no line that begins with a field of a statement, such as :20:. "
        f"Its first line is: {visible(decoded(shown))}",
    )


def _check_type(source: str, line: bytes) -> None:
    match = _TYPE.search(line)
    name = f"MT{match[1].decode()}" if match else source
    if name in {"MT940", "MT942"} and name != source:
        raise SourceError(
            FileFault.WRONG_FORMAT,
            f"The file holds {name} messages; enqueue it with the source {name}.",
        )
    # Others of the ninth category have the fields of statements too.
    if not name.startswith("MT9"):
        raise SourceError(
            FileFault.WRONG_FORMAT,
            f"The file holds {name} messages, not statements; upload one of {source}.",
        )


def _has_field(line: bytes) -> bool:
    match = _TAG.match(_bare(line))
    return match is not None and match[1].decode() in FIELDS


def _bare(line: bytes) -> bytes:
    """Return a line without the control characters and the block headers before it."""
    line = line.lstrip(_CONTROLS)
    match = _BLOCKS.match(line)
    return line[match.end() :] if match else line


class Cutter:
    """Cuts lines into units; the open one is what the lines so far have begun."""

    def __init__(self, offset: int, line: int) -> None:
        self._offset, self._line = offset, line
        self._kind = ""
        self._parts: list[tuple[str, bytes]] = []
        #: The lines of the open field: the last of the parts.
        self._tag = ""
        self._text: list[bytes] = []
        self._field_size = self._size = 0
        self._is_cut = False
        self._start = (line, offset)
        #: A line with a dash, which ends a message; more on it may be text.
        self._dash = b""

    def units(self, lines: Iterable[tuple[bytes, int]]) -> Iterator[Unit]:
        """Yield the units of the lines, and one for the end."""
        for raw, size in lines:
            if raw[:1] == b":" and (match := _TAG.match(raw)) and self._begins(match):
                tag, rest = match[1].decode(), raw[match.end() :]
                if tag != "20" and self._dash != b"-":
                    self._undo_dash()
                if self._goes_on(tag):
                    self._end_field()
                    self._dash = b""
                    self._begin_field(tag, rest)
                else:
                    yield from self._close()
                    self._begin(tag, rest)
            elif self._is_plain(raw):
                self._add(raw)
            else:
                yield from self._odd(raw)
            self._offset += size
            self._line += 1
        yield from self._close()
        yield Unit(END, [], self._line, self._offset, self._line, self._offset)

    def _goes_on(self, tag: str) -> bool:
        return self._kind == ENTRY and tag in _MORE_ABOUT_AN_ENTRY

    def _is_plain(self, raw: bytes) -> bool:
        """Return whether a line goes on with free text, which most lines do."""
        return (
            self._tag in _FREE_TEXT
            and not self._dash
            and raw[:1] > b"-"
            and raw[:1] != b"{"
            and raw[-2:] != b"-}"
            and _HEADER.match(raw) is None
        )

    def _begins(self, match: re.Match[bytes]) -> bool:
        """Return whether a tag begins a field, or is a time of day in the details."""
        tag = match[1].decode()
        if self._tag not in _MORE_ABOUT_AN_ENTRY or len(tag) > 2 or tag == "NS":
            return True
        if tag not in FIELDS:
            return False
        is_within = self._kind == ENTRY and tag in _HEADING
        return not (is_within and _TIME_OF_DAY.match(match.string, match.start()))

    def _begin(self, tag: str, rest: bytes) -> None:
        self._kind, self._start = tag, (self._line, self._offset)
        self._begin_field(tag, rest)

    def _begin_field(self, tag: str, rest: bytes) -> None:
        self._tag, self._field_size = tag, 0
        if rest[-2:] != b"-}":
            self._add(rest)
        else:
            self._add(rest[:-2])
            self._end_field()
            self._tag = ""

    def _odd(self, raw: bytes) -> Iterator[Unit]:
        """Take a line that begins no field at once and is not plain text."""
        bare = _bare(raw)
        if bare is not raw and (match := _TAG.match(bare)):
            yield from self._close()
            if header := raw[: len(raw) - len(bare)].lstrip(_CONTROLS):
                self._parts.append((ENVELOPE, header))
            self._begin(match[1].decode(), bare[match.end() :])
        elif not bare.strip():
            if _BLOCKS.match(raw.lstrip(_CONTROLS)):
                yield from self._alone(ENVELOPE, raw)
        elif bare[:2] == b"-}" or _HEADER.match(bare):
            yield from self._alone(ENVELOPE, bare)
        elif bare[-2:] == b"-}" and self._tag in _FREE_TEXT:
            self._add(bare[:-2])
            self._end_field()
            self._tag = ""
        elif _DASH.match(bare):
            self._undo_dash()
            self._dash = bare.rstrip()
        else:
            yield from self._text_line(raw, bare)

    def _text_line(self, raw: bytes, bare: bytes) -> Iterator[Unit]:
        is_text = self._tag in _FREE_TEXT and self._dash != b"-"
        if (self._dash or not is_text) and _ROUTING.match(bare):
            yield from self._alone(ENVELOPE, bare)
        elif is_text:
            self._undo_dash()
            self._add(raw)
        else:
            yield from self._alone(STRAY, raw)

    def _undo_dash(self) -> None:
        """Take a line with a dash for text after all."""
        if self._dash and self._tag in _FREE_TEXT:
            self._add(self._dash)
        self._dash = b""

    def _add(self, raw: bytes) -> None:
        """Go on with the open field, as long as there is room for it."""
        self._field_size += len(raw) + 1
        self._size += len(raw) + 1
        if self._field_size > MAX_FIELD_CHARS or self._size > MAX_RECORD_BYTES:
            self._is_cut = True
        else:
            self._text.append(raw)

    def _end_field(self) -> None:
        if self._tag and len(self._parts) < MAX_RECORD_LINES:
            self._parts.append((self._tag, b"\n".join(self._text)))
        elif self._tag:
            self._is_cut = True
        self._text = []

    def _close(self) -> tuple[Unit, ...]:
        """Return the open unit, if there is one: it ends where the next line begins."""
        if not self._kind:
            return ()
        self._end_field()
        closed = Unit(
            self._kind,
            self._parts,
            *self._start,
            self._line,
            self._offset,
            self._is_cut,
        )
        self._kind = self._tag = ""
        self._parts, self._size, self._is_cut = [], 0, False
        self._dash = b""
        return (closed,)

    def _alone(self, kind: str, raw: bytes) -> Iterator[Unit]:
        """Yield the open unit, and begin another that no line goes on with."""
        yield from self._close()
        self._kind, self._start = kind, (self._line, self._offset)
        self._parts = [(kind, raw[:MAX_LINE_BYTES])]
