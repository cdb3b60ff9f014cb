"""Physical lines of a byte stream, whichever way they end.

A line ends with CR LF, LF or CR alone, as files of banks do, sometimes by turns. Cost:
linear. Memory: one chunk of input and one line.
"""

from collections.abc import Iterable, Iterator

from ingestion.sources.lines import MAX_FIELD_CHARS, chunks

#: A field with its tag. A longer line is cut to one byte more, so that one can tell.
MAX_LINE_BYTES = MAX_FIELD_CHARS + 64


def text_lines(
    blocks: Iterable[bytes], *, also_end: bytes = b""
) -> Iterator[tuple[bytes, int]]:
    """Yield `(line, size)`: the line without its end, and its true size with it.

    `also_end` are two bytes that end lines too.
    """
    kept, dropped = b"", 0
    for chunk in chunks(blocks):
        data = kept + chunk
        if also_end:
            data = data.replace(also_end, b"\r\n")
        parts = data.splitlines(keepends=True)
        # The last one may go on, or its CR be the first half of a line end.
        kept = parts.pop()
        for part in parts:
            yield _cut(part), len(part) + dropped
            dropped = 0
        if len(kept) > MAX_LINE_BYTES + 1 and not kept.endswith(
            (b"\r", b"\n", also_end[:1] or b"\n")
        ):
            dropped += len(kept) - MAX_LINE_BYTES - 1
            kept = kept[: MAX_LINE_BYTES + 1]
    if kept:
        yield _cut(kept), len(kept) + dropped


def _cut(part: bytes) -> bytes:
    line = part.rstrip(b"\r\n")
    return line if len(line) <= MAX_LINE_BYTES else line[: MAX_LINE_BYTES + 1]


def decoded(data: bytes) -> str:
    """Return text that is UTF-8, or ISO 8859-1 where that cannot be."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")
