"""Physical lines and delimited records of a byte stream, with byte offsets.

Idea: a physical line ends at a line feed, nothing else. A line with an even number
of quotes is a record of its own. A line with an odd number opens a quoted field that
the next odd line closes, and the lines up to there are one record.

Damage stays local. Quoting that fails costs the first line only, and reading goes on
at the second, so a stray quote never swallows the rows behind it. The same holds
when the lines do combine, but to a wrong number of fields, and one of them is a row
by itself or may be the start of one. A well-formed record of the right width is never
taken apart: whoever writes a remark must not be able to plant rows in it. Where lines
within it look like rows all the same, `holds_rows` says so.

Cost: linear. The lines between two odd ones are even, thus looked at a few times.
Memory: one chunk of input and one record of at most `MAX_RECORD_BYTES`.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Self

from ingestion.sources.base import (
    MAX_RAW_BYTES,
    Position,
    Reason,
    Reject,
    visible,
)
from ingestion.sources.grammar import COMMA, PAIR, Grammar

CHUNK_BYTES = 1 << 18
MAX_FIELD_CHARS = 1 << 16
MAX_RECORD_BYTES = 1 << 21
MAX_RECORD_LINES = 1000

Outcome = list[str] | Reject
Lines = Iterator[tuple[bytes, int]]

# A NUL, or the surrogate that stands for a byte that is not UTF-8.
_UNUSABLE = re.compile("[\0\udc80-\udcff]")


def chunks(blocks: Iterable[bytes], size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the bytes of `blocks`, of any size, in pieces of about `size` bytes."""
    buffer = bytearray()
    for block in blocks:
        for start in range(0, len(block), size):
            buffer += block[start : start + size]
            if len(buffer) >= size:
                yield bytes(buffer)
                buffer.clear()
    if buffer:
        yield bytes(buffer)


def physical_lines(blocks: Iterable[bytes]) -> Lines:
    """Yield `(line, size)`: the line with its end, and its true size in bytes.

    A line over `MAX_RECORD_BYTES` is cut to that, so that `len(line) < size`.
    """
    kept, size = b"", 0
    for chunk in chunks(blocks):
        for part in BytesIO(chunk).readlines():
            if not size and part.endswith(b"\n"):
                yield part, len(part)
                continue
            kept += part[: MAX_RECORD_BYTES - len(kept)]
            size += len(part)
            if part.endswith(b"\n"):
                yield kept, size
                kept, size = b"", 0
    if size:
        yield kept, size


def _plain_fields(raw: bytes, delimiter: str) -> list[str] | None:
    """Return the fields of a line that needs no care; None for every other line."""
    if b'"' in raw or b"\0" in raw or len(raw) > MAX_FIELD_CHARS:
        return None
    body = raw.rstrip(b"\r\n")
    if b"\r" in body:
        return None
    try:
        return body.decode().split(delimiter)
    except UnicodeDecodeError:
        return None


def _text(raw: bytes) -> str:
    # Surrogates keep the bytes that are not UTF-8 apart until quoting is judged.
    return raw.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


class RecordReader:
    """Records of a delimited stream; `offset` and `line` say where the next one starts.

    Iterating yields `(line, fields)` or `(line, Reject)`. While `header` is empty a
    record may have any number of fields; set it once the first record is read. With
    `lines` the physical lines come from there instead of `blocks`.
    """

    def __init__(
        self,
        blocks: Iterable[bytes],
        *,
        offset: int = 0,
        line: int = 1,
        header: tuple[str, ...] = (),
        grammar: Grammar = COMMA,
        lines: Lines | None = None,
    ):
        self.offset = offset
        self.line = line
        self.header = header
        self.grammar = grammar
        #: The fields of the record that had the wrong number of them.
        self.ragged: list[str] = []
        #: Whether lines within the record look like rows of their own.
        self.holds_rows = False
        self._raw, self._size = b"", 0
        self._ahead: deque[tuple[bytes, int]] = deque()
        self._lines = physical_lines(blocks) if lines is None else lines

    @classmethod
    def resumed(cls, blocks: Iterable[bytes], position: Position) -> Self:
        """Return a reader that goes on at `position`, where `blocks` start."""
        header = tuple(position.state["header"])
        return cls(blocks, offset=position.offset, line=position.line, header=header)

    @property
    def raw(self) -> bytes | None:
        """Return the bytes of the record yielded last with the end of its line.

        None if they are too many.
        """
        if self._size > MAX_RAW_BYTES:
            return None
        return self._raw if self._raw.endswith(b"\n") else self._raw + b"\n"

    @property
    def position(self) -> Position:
        """Return where the next record starts."""
        return Position(self.offset, self.line, {"header": list(self.header)})

    def __iter__(self) -> Iterator[tuple[int, Outcome]]:
        """Yield the first line number and the outcome of each record."""
        delimiter = self.grammar.delimiter
        while following := self._next_line():
            raw, size = following
            line = self.line
            self.line += 1
            self.offset += size
            self._raw, self._size = raw, size
            self.holds_rows = False
            fields: Outcome | None = _plain_fields(raw, delimiter)
            if fields is None:
                fields = self._around_one_quoted(raw)
            if fields is None or len(fields) != len(self.header):
                fields = self._carefully(line, raw, size)
            if fields is not None:
                yield line, fields

    def _next_line(self) -> tuple[bytes, int] | None:
        """Return the next line, those put back first; None at the end."""
        return self._ahead.popleft() if self._ahead else next(self._lines, None)

    def _around_one_quoted(self, raw: bytes) -> list[str] | None:
        """Return the fields of a record that is a row and needs no care but one quote.

        It takes the next line where the quoted field ends there. None for any other
        record, with nothing taken.
        """
        quotes, following = raw.count(b'"'), None
        if quotes == 1 and (following := self._next_line()):
            raw += following[0]
            quotes = raw.count(b'"')
        fields = self._two_quotes(raw) if quotes == PAIR else None
        if fields is None or len(fields) != len(self.header):
            if following:
                self._ahead.appendleft(following)
            return None
        if following:
            self.line += 1
            self.offset += following[1]
            self._raw, self._size = raw, self._size + following[1]
        return fields

    def _two_quotes(self, raw: bytes) -> list[str] | None:
        if b"\0" in raw or len(raw) > MAX_FIELD_CHARS or not self.grammar.quoted:
            return None
        try:
            return self.grammar.around_one_quoted(raw.rstrip(b"\r\n").decode())
        except UnicodeDecodeError:
            return None

    def _carefully(self, line: int, raw: bytes, size: int) -> Outcome | None:
        """Return the outcome of a line that is not plain; None if it is blank."""
        if not raw.strip():
            return None
        if size > MAX_RECORD_BYTES:
            fields, end = self.grammar.scan(_text(raw))
            return self._too_long(line, [*fields, _text(raw)[end:]])
        if self.grammar.quoted and raw.count(b'"') % 2:
            return self._joined(line, raw)
        return self._parsed(line, raw)

    def _joined(self, line: int, raw: bytes) -> Outcome:
        """Return the outcome of the record whose first line has an odd quote."""
        text = _text(raw)
        if not self.grammar.opens_quote(text):
            return _reject(line, Reason.MALFORMED_CSV, text)
        taken, closed = self._take_to_closing_line(len(raw))
        if closed:
            outcome = self._parsed(line, raw + b"".join(part for part, _ in taken))
        if not closed or self._failed(outcome, taken):
            self._ahead.extendleft(reversed(taken))
            return _reject(line, Reason.UNCLOSED_QUOTE, text)
        self.line += len(taken)
        self.offset += sum(size for _, size in taken)
        self._raw += b"".join(part for part, _ in taken)
        self._size += sum(size for _, size in taken)
        self.holds_rows = any(self._starts_row(_text(part)) for part, _ in taken)
        return outcome

    def _take_to_closing_line(self, total: int) -> tuple[list[tuple[bytes, int]], bool]:
        """Return the lines up to the next odd one, and whether it came in bounds."""
        taken: list[tuple[bytes, int]] = []
        while len(taken) < MAX_RECORD_LINES - 1:
            following = self._next_line()
            if following is None:
                break
            taken.append(following)
            total += following[1]
            if total > MAX_RECORD_BYTES:
                break
            if following[0].count(b'"') % 2:
                return taken, True
        return taken, False

    def _failed(self, outcome: Outcome, taken: list[tuple[bytes, int]]) -> bool:
        """Return whether joining `taken` made no record, or one that ate rows."""
        if not isinstance(outcome, Reject):
            return False
        if outcome.reason is Reason.MALFORMED_CSV:
            return True
        return outcome.reason is Reason.WRONG_FIELD_COUNT and any(
            self._starts_row(_text(raw)) for raw, _ in taken
        )

    def _starts_row(self, text: str) -> bool:
        """Return whether a line is a row by itself, or the first line of one."""
        fields = self.grammar.split(text) or ()
        return len(fields) == len(self.header) or self.grammar.opens_quote(text)

    def _parsed(self, line: int, raw: bytes) -> Outcome:
        """Return the fields of one complete record, or what is wrong with it.

        Width is judged before the text, for `_failed` must see a wrong width.
        """
        text = _text(raw)
        fields = self.grammar.split(text)
        if fields is None:
            return _reject(line, Reason.MALFORMED_CSV, text)
        if self.header and len(fields) != len(self.header):
            self.ragged = fields
            return _reject(line, Reason.WRONG_FIELD_COUNT, text)
        if len(raw) > MAX_FIELD_CHARS and len(max(fields, key=len)) > MAX_FIELD_CHARS:
            return self._too_long(line, fields)
        if text.isascii() and "\0" not in text:
            return fields
        return self._clean(line, fields)

    def _clean(self, line: int, fields: list[str]) -> Outcome:
        """Return `fields`, or a reject that names the first with unusable bytes."""
        if not _UNUSABLE.search("".join(fields)):
            return fields
        for index, value in enumerate(fields):
            if match := _UNUSABLE.search(value):
                nul = match[0] == "\0"
                reason = Reason.NUL_BYTE if nul else Reason.INVALID_UTF8
                return _reject(line, reason, value, self._column(index))
        return fields

    def _too_long(self, line: int, fields: list[str]) -> Reject:
        """Return the reject that names the first field over the limit, if one is."""
        for index, value in enumerate(fields):
            if len(value) > MAX_FIELD_CHARS:
                column = self._column(index)
                return _reject(line, Reason.FIELD_TOO_LONG, value, column)
        return _reject(line, Reason.FIELD_TOO_LONG, self.grammar.delimiter.join(fields))

    def _column(self, index: int) -> str | None:
        return self.header[index] if index < len(self.header) else None


def _reject(line: int, reason: Reason, value: str, column: str | None = None) -> Reject:
    return Reject(line, column, reason, visible(value))
