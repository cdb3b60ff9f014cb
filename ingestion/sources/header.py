"""The header of a delimited file: read it, name its columns, refuse a wrong one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ingestion.sources.base import FileFault, Reason, Reject, SourceError, visible
from ingestion.sources.lines import RecordReader
from ingestion.sources.sniff import text_blocks

#: Every column of every row is kept in `raw_row`, so their number is memory.
MAX_COLUMNS = 500

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "pipes", "~": "tildes"}


def open_file(blocks: Iterable[bytes], known: Sequence[str]) -> RecordReader:
    """Return a reader past the header of a whole file.

    `known` are the lower-case column names of the layout. Raises SourceError.
    """
    mark, text = text_blocks(blocks)
    reader = RecordReader(text, offset=len(mark))
    _, first = next(iter(reader), (0, None))
    if first is None:
        raise SourceError(
            FileFault.EMPTY_FILE, "The file has only blank lines; export it again."
        )
    if isinstance(first, Reject):
        raise _unreadable(first)
    reader.header = column_names(first, known)
    return reader


def head_of(blocks: Iterable[bytes], known: Sequence[str]) -> bytes:
    """Return the bytes of a whole file up to its first row, with their line end.

    Raises SourceError.
    """
    seen = bytearray()
    reader = open_file(noted(blocks, seen), known)
    head = bytes(seen[: reader.offset])
    return head if head.endswith(b"\n") else head + b"\n"


def noted(blocks: Iterable[bytes], seen: bytearray) -> Iterator[bytes]:
    """Yield the blocks, and add each to what was seen."""
    for block in blocks:
        seen.extend(block)
        yield block


def column_names(cells: list[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the trimmed names of the columns; a blank one is called by its place.

    Raises SourceError if no name is known, one occurs twice, whatever its case, or
    there are too many.
    """
    names = tuple(c.strip() or f"column_{i}" for i, c in enumerate(cells, 1))
    counts = Counter(map(column_key, names))
    if counts.keys().isdisjoint(known):
        raise _wrong_header(",".join(cells), known)
    if len(names) > MAX_COLUMNS:
        raise SourceError(
            FileFault.TOO_MANY_COLUMNS,
            f"The header has {len(names)} columns; keep {MAX_COLUMNS} at most.",
        )
    key, count = counts.most_common(1)[0]
    if count > 1:
        raise SourceError(
            FileFault.DUPLICATE_COLUMN,
            f"The header has the column {visible(key)} twice; rename or drop one.",
            visible(key),
        )
    return names


def column_key(name: str) -> str:
    """Return the form in which column names are compared."""
    return name.strip().lower()


def require_columns(header: Sequence[str], required: Sequence[str]) -> None:
    """Refuse a header that lacks any of `required`; raises SourceError."""
    present = {column_key(name) for name in header}
    missing = [name for name in required if name not in present]
    if missing:
        raise SourceError(
            FileFault.MISSING_COLUMN,
            f"The header lacks {', '.join(missing)}; add it and upload the file again.",
            missing[0],
        )


def _wrong_header(line: str, known: Sequence[str]) -> SourceError:
    for delimiter, plural in _OTHER_DELIMITERS.items():
        if {column_key(cell) for cell in line.split(delimiter)} & set(known):
            advice = f"The columns are separated by {plural}; use commas."
            return SourceError(FileFault.WRONG_HEADER, advice)
    return SourceError(
        FileFault.WRONG_HEADER,
        f"The first row must name the columns {', '.join(known)}; "
        f"it is: {visible(line)}",
    )


def _unreadable(first: Reject) -> SourceError:
    """Return the error for a header that is no CSV record."""
    if first.reason is Reason.NUL_BYTE:
        return SourceError(
            FileFault.NOT_TEXT, "The header has NUL bytes; export the file as CSV."
        )
    if first.reason is Reason.INVALID_UTF8:
        return SourceError(
            FileFault.UNSUPPORTED_ENCODING,
            "The header is not UTF-8; save the file as UTF-8 CSV and upload it again.",
        )
    return SourceError(
        FileFault.WRONG_HEADER,
        f"The header is unreadable: {first.reason.sentence} It is: {first.value}",
    )
