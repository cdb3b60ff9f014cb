"""Finds where the rows of a file begin: its encoding, its delimiter and its header."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple

from ingestion.sources.base import (
    FieldError,
    FileFault,
    Position,
    SourceError,
    visible,
)
from ingestion.sources.dialect import encodings
from ingestion.sources.dialect.dates import Dates
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.headers import Layout, lacking, laid_out, placed
from ingestion.sources.dialect.notes import Notes, Told
from ingestion.sources.dialect.sides import Sides
from ingestion.sources.grammar import Grammar
from ingestion.sources.header import MAX_COLUMNS
from ingestion.sources.lines import Lines, Outcome, RecordReader

#: The header is looked for in so many bytes at most.
MAX_HEAD_BYTES: Final = 4 * 1024 * 1024


class Opened(NamedTuple):
    """A file at its first row, and what stood before it."""

    reader: RecordReader
    text: encodings.TextLines
    layout: Layout
    notes: Notes
    #: The first row itself, where there was no header to know it by.
    first: tuple[int, Outcome] | None
    #: Offset and line where the rows begin.
    mark: tuple[int, int]


class _Begin(NamedTuple):
    """The line that rows begin at, or the header, and the columns that it shows."""

    delimiter: str
    line: int
    layout: Layout


def open_file(dialect: Dialect, blocks: Iterable[bytes]) -> Opened:
    """Return the file at its first row; raises SourceError if it has none."""
    mark, codec, unread = encodings.opened(blocks, dialect.encodings)
    text = encodings.TextLines(unread, codec)
    lines = iter(text)
    head = _head(lines, dialect.search_lines)
    begin = _begin(dialect, head)
    grammar = Grammar(begin.delimiter, quoted=dialect.quoted)
    reader = RecordReader((), offset=mark, grammar=grammar, lines=chain(head, lines))
    notes = Notes(dialect)
    mark_at = (reader.offset, reader.line)
    for line, outcome in reader:
        if line == begin.line:
            reader.header = begin.layout.names
            notes.forget()
            if not dialect.has_header:
                first = (line, outcome)
                return Opened(reader, text, begin.layout, notes, first, mark_at)
            mark_at = (reader.offset, reader.line)
            return Opened(reader, text, begin.layout, notes, None, mark_at)
        if isinstance(outcome, list):
            notes.take(line, outcome)
        mark_at = (reader.offset, reader.line)
    # A quote that opens in the head and closes behind it took the header along.
    raise _no_header(dialect, head)


def reopened(dialect: Dialect, blocks: Iterable[bytes], resume: Position) -> Opened:
    """Return the file where an earlier reading left off, with what it knew by then."""
    state = resume.state
    layout = Layout(tuple(state["names"]), state["at"])
    text = encodings.TextLines(blocks, state["codec"])
    reader = RecordReader(
        (),
        offset=resume.offset,
        line=resume.line,
        header=layout.names,
        grammar=Grammar(state["delimiter"], quoted=dialect.quoted),
        lines=iter(text),
    )
    notes = Notes(dialect, [Told(*told) for told in state["told"]])
    mark = (resume.offset, resume.line)
    return Opened(reader, text, layout, notes, None, mark)


def _head(lines: Lines, most: int) -> list[tuple[bytes, int]]:
    head: list[tuple[bytes, int]] = []
    size = 0
    while len(head) < most and size < MAX_HEAD_BYTES:
        line = next(lines, None)
        if line is None:
            break
        head.append(line)
        size += line[1]
    return head


def _begin(dialect: Dialect, head: Sequence[tuple[bytes, int]]) -> _Begin:
    """Return where the rows begin, by the first delimiter that shows it."""
    nearest: Layout | None = None
    for delimiter in dialect.delimiters:
        reader = RecordReader(
            (), grammar=Grammar(delimiter, quoted=dialect.quoted), lines=iter(head)
        )
        for line, outcome in reader:
            if not isinstance(outcome, list):
                continue
            layout = _layout(dialect, outcome)
            if layout is None:
                continue
            if not dialect.has_header or not lacking(dialect, layout):
                return _Begin(delimiter, line, _bounded(layout))
            if nearest is None or len(layout.at) > len(nearest.at):
                nearest = layout
    if nearest is None or len(nearest.at) < 2:
        raise _no_header(dialect, head)
    missing = lacking(dialect, nearest)
    raise SourceError(
        FileFault.MISSING_COLUMN,
        f"The header lacks {', '.join(missing)}; it has {_shown(nearest.names)}. Name "
        "the column in the dialect, or add it to the file.",
        missing[0],
    )


def _layout(dialect: Dialect, cells: Sequence[str]) -> Layout | None:
    """Return the columns as the record shows them: a header, or the first row."""
    if dialect.has_header:
        return laid_out(dialect, cells)
    layout = placed(dialect, len(cells))
    if max(layout.at.values()) >= len(cells):
        return None
    texts = [*map(str.strip, cells), ""]
    if not Dates(dialect.dates, dialect.zone).fits(texts[layout.at["date"]]):
        return None
    try:
        Sides(dialect, layout).read(texts, dialect.currency)
    except FieldError:
        return None
    return layout


def _bounded(layout: Layout) -> Layout:
    if len(layout.names) > MAX_COLUMNS:
        raise SourceError(
            FileFault.TOO_MANY_COLUMNS,
            f"The file has {len(layout.names)} columns; keep {MAX_COLUMNS} at most.",
        )
    return layout


def _no_header(dialect: Dialect, head: Sequence[tuple[bytes, int]]) -> SourceError:
    first = next((raw for raw, _ in head if raw.strip()), b"")
    is_whole = len(head) < dialect.search_lines
    if not first and is_whole:
        return SourceError(
            FileFault.EMPTY_FILE, "The file has only blank lines; export it again."
        )
    shown = visible(first.decode("utf-8", "surrogateescape").strip())
    wanted = (
        f"names the columns {', '.join(lacking(dialect, Layout((), {})))}"
        if dialect.has_header
        else "has a date and an amount in their places"
    )
    return SourceError(
        FileFault.WRONG_HEADER,
        f"None of the first {dialect.search_lines} lines {wanted}; "
        + (f"the first is: {shown}" if shown else "they are blank."),
    )


def _shown(names: Sequence[str]) -> str:
    return visible(", ".join(names))
