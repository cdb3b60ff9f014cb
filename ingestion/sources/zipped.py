"""zip with one file in it: found by the directory at the end, then read as it lies.

This takes ranged reads. A local header that says something else than the directory is
refused: a zip must not mean two things to two readers.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Final

from ingestion.sources.base import FileFault, SourceError, visible
from ingestion.sources.inflate import Fetch, Meter, damaged, inflated, pieces, unusable
from ingestion.sources.zip_directory import Entry, contents_start, entries

#: A file's header; the end of a zip without files; what a zip in parts starts with.
MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_STORED, _DEFLATED = 0, 8
#: Encrypted, strongly encrypted, with a hidden directory.
_SECRET_FLAGS: Final = 0x1 | 0x40 | 0x2000
_PLAIN_KINDS: Final = (0, 0o100000)
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_OFFICE: Final = {
    "[Content_Types].xml": "an Excel workbook (.xlsx) or its like",
    "META-INF/manifest.xml": "an OpenDocument file (.ods) or its like",
}


def unzip(fetch: Fetch, size: int, meter: Meter) -> Iterator[bytes]:
    """Yield the one file in a zip of so many bytes; raises SourceError."""
    found, directory = entries(fetch, size)
    entry = _only_file(found)
    start = contents_start(fetch, entry, directory)
    meter.count(start, 0)
    meter.check(entry.packed, entry.size)
    crc = 0
    for out in _contents(entry, fetch(start, start + entry.packed), meter):
        crc = zlib.crc32(out, crc)
        yield out
    if (meter.given, crc) != (entry.size, entry.crc):
        raise damaged("the file in it has another size or checksum than stated")


def _contents(entry: Entry, blocks: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    if entry.method == _STORED:
        for block in blocks:
            meter.count(len(block), len(block))
            yield block
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for piece in pieces(blocks):
        if inflater.eof:
            raise damaged("something follows the end of the file in it")
        yield from inflated(inflater, piece, meter)
    if not inflater.eof or inflater.unused_data:
        raise damaged("the file in it does not end where it should")


def _only_file(found: list[Entry]) -> Entry:
    """Return the one entry that is a file, and one that can be read."""
    _check_names(sorted({entry.name for entry in found}))
    files = [entry for entry in found if not _is_beside(entry.name)]
    if len(files) != 1:
        raise unusable(f"has {len(files) or 'no'} files in it")
    (entry,) = files
    if entry.kind not in _PLAIN_KINDS:
        raise unusable("has a link or a device in it, not a file")
    if entry.flags & _SECRET_FLAGS:
        raise unusable("is encrypted")
    if entry.method not in (_STORED, _DEFLATED):
        raise unusable(f"is compressed by method {entry.method}, not by deflate")
    return entry


def _check_names(names: list[str]) -> None:
    for name in names:
        if name in _OFFICE:
            text = f"The file is {_OFFICE[name]}; export it as CSV and upload that."
            raise SourceError(FileFault.NOT_TEXT, text)
        if _is_unsafe(name):
            raise unusable(f"has an entry of the unsafe name {visible(name)!r}")


def _is_beside(name: str) -> bool:
    """Return whether an entry is a folder, or what a Mac puts beside each file."""
    return name.endswith("/") or name.startswith("__MACOSX/")


def _is_unsafe(name: str) -> bool:
    """Return whether a name could lead out of a folder.

    Nothing is unpacked by its name; but who made such a zip had other things in mind
    than transactions.
    """
    parts = re.split(r"[/\\]", name)
    has_control = any(ord(char) < 32 or ord(char) == 127 for char in name)
    return not parts[0] or ".." in parts or bool(_DRIVE.match(name)) or has_control
