"""What the first bytes of a file say about it, before any row is read."""

from collections.abc import Iterable, Iterator
from itertools import chain

from ingestion.sources.base import FileFault, SourceError

HEAD_BYTES = 4096
UTF8_BOM = b"\xef\xbb\xbf"

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
}
_BINARY = {
    b"%PDF-": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"PAR1": "a Parquet file",
    b"SQLite format 3\x00": "an SQLite database",
}
# UTF-32 comes first: its little-endian mark starts with that of UTF-16.
_WIDE_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_WORKBOOK_PARTS = (b"[Content_Types].xml", b"xl/", b"_rels/.rels")


def text_blocks(blocks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return `(mark, blocks)`: the UTF-8 byte order mark, if any, and what follows it.

    Raises SourceError if the file is empty, compressed, binary, a web page, XML or not
    UTF-8.
    """
    head, remaining = head_of(blocks)
    check_head(head[:HEAD_BYTES])
    refuse_markup(head)
    mark = UTF8_BOM if head.startswith(UTF8_BOM) else b""
    return mark, chain((head[len(mark) :],), remaining)


def head_of(blocks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, `HEAD_BYTES` or more if there are, and what follows."""
    remaining = iter(blocks)
    head = b""
    while len(head) < HEAD_BYTES and (block := next(remaining, None)) is not None:
        head += block
    return head, remaining


def utf16_of(head: bytes) -> tuple[str, int] | None:
    """Return codec and size of the mark if the bytes are UTF-16, with one or without.

    Without, only if the places of the zeros between plain letters betray it.
    """
    if any(head.startswith(mark) for mark in _UTF16) and not any(
        head.startswith(mark) for mark, name in _WIDE_MARKS.items() if name == "UTF-32"
    ):
        return _UTF16[head[:2]], 2
    if _wide_by_nulls(head[:64]) != "UTF-16":
        return None
    return ("utf-16-be" if not head[0] else "utf-16-le"), 0


def refuse_web_page(head: bytes, form: str) -> None:
    """Refuse a web page that should have been of that form; raises SourceError."""
    start = head.removeprefix(UTF8_BOM).lstrip()[:HEAD_BYTES].lower()
    is_page = start.startswith((b"<!doctype html", b"<html", b"<head", b"<table"))
    if is_page or (start.startswith(b"<?xml") and b"<html" in start):
        raise _not_text("a web page (HTML)", form)


def refuse_markup(head: bytes, form: str = "CSV") -> None:
    """Refuse a web page or XML that should have been of that form.

    Raises SourceError, returns nothing.
    """
    refuse_web_page(head, form)
    if head.removeprefix(UTF8_BOM).lstrip()[:5].lower() == b"<?xml":
        raise SourceError(
            FileFault.WRONG_FORMAT,
            "The file is XML; name the source that reads it, such as CAMT053, or "
            f"export it as {form}.",
        )


def refuse_other_formats(head: bytes) -> None:
    """Refuse what is no text of bytes at all; raises SourceError, returns nothing."""
    if not head:
        raise SourceError(
            FileFault.EMPTY_FILE, "The file has no bytes; export it again."
        )
    _refuse_wide_text(head)
    check_packed(head, "text")


def check_head(head: bytes) -> None:
    """Refuse a file by its first bytes; raises SourceError, returns nothing."""
    refuse_other_formats(head)
    if b"\0" in head.split(b"\n", 1)[0]:
        raise _not_text("binary", "CSV")
    if b"\r" in head.strip() and b"\n" not in head:
        raise SourceError(
            FileFault.WRONG_HEADER,
            "The lines end in carriage returns alone; save the file with line feeds.",
        )


def check_packed(head: bytes, form: str) -> None:
    """Refuse a compressed or binary file, which should have been of that form.

    Raises SourceError, returns nothing.
    """
    _refuse_compressed(head, form)
    for magic, name in _BINARY.items():
        if head.startswith(magic):
            raise _not_text(name, form)


def _refuse_wide_text(head: bytes) -> None:
    for mark, name in _WIDE_MARKS.items():
        if head.startswith(mark):
            raise _wrong_encoding(name)
    if betrayed := _wide_by_nulls(head[:64]):
        raise _wrong_encoding(betrayed)


def _wide_by_nulls(head: bytes) -> str | None:
    """Return the encoding that the places of the NUL bytes in plain text betray."""
    if len(head) < 4:
        return None
    places = tuple(not any(head[i::4]) for i in range(4))
    if sum(places) == 3 and (places[0] != places[3]):
        return "UTF-32"
    if places in ((False, True, False, True), (True, False, True, False)):
        return "UTF-16"
    return None


def _refuse_compressed(head: bytes, form: str) -> None:
    name = next((n for magic, n in _COMPRESSED.items() if head.startswith(magic)), None)
    if name == "zip" and any(part in head for part in _WORKBOOK_PARTS):
        raise _not_text("an Excel workbook (.xlsx)", form)
    if name:
        raise SourceError(
            FileFault.COMPRESSED_FILE,
            f"The file is compressed with {name}; unpack it and upload the {form} "
            "inside.",
        )


def _wrong_encoding(name: str) -> SourceError:
    return SourceError(
        FileFault.UNSUPPORTED_ENCODING,
        f"The file is {name}; save it as UTF-8 text and upload it again.",
    )


def _not_text(name: str, form: str) -> SourceError:
    return SourceError(
        FileFault.NOT_TEXT, f"The file is {name}; export it as {form} and upload that."
    )
