"""The directory at the end of a zip: what its entries are, and where (APPNOTE 6.3)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ingestion.sources.inflate import Fetch, damaged, unusable

#: Folders and what a Mac adds are entries too.
MAX_ENTRIES: Final = 1000
_MAX_DIRECTORY_BYTES: Final = 1024 * 1024

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_ENTRY: Final = struct.Struct("<4s2B5H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_FIELD: Final = struct.Struct("<2H")
_WIDE: Final = struct.Struct("<Q")
_TAIL_BYTES: Final = _LOCATOR.size + _END.size + 0xFFFF
_HUGE: Final = 0xFFFFFFFF
_ZIP64: Final = 1
_UTF8_FLAG: Final = 0x800
_UNIX: Final = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as the directory of a zip names it."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    #: The kind of file in the terms of Unix; 0 if nobody says.
    kind: int

    @property
    def name(self) -> str:
        """Return the name as text."""
        encoding = "utf-8" if self.flags & _UTF8_FLAG else "cp437"
        return self.raw_name.decode(encoding, "replace")


def entries(fetch: Fetch, size: int) -> tuple[list[Entry], int]:
    """Return the entries of a zip of so many bytes, and where its directory starts.

    Raises SourceError.
    """
    place, count, length, start = _end(fetch, size)
    if count > MAX_ENTRIES or length > _MAX_DIRECTORY_BYTES:
        raise unusable(f"has more than {MAX_ENTRIES:,} entries")
    if start + length != place:
        raise damaged("its directory is not where it should be")
    try:
        return list(_parsed(_read(fetch, start, place), count)), start
    except struct.error:
        raise damaged("its directory is cut") from None


def contents_start(fetch: Fetch, entry: Entry, directory: int) -> int:
    """Return where the contents of an entry start; its own header is before them.

    Raises SourceError: the header is another's, or the contents reach too far.
    """
    names = entry.offset + _LOCAL.size
    start = names + len(entry.raw_name)
    header = _read(fetch, entry.offset, start) if start <= directory else b""
    if not header.startswith(b"PK\x03\x04") or len(header) < start - entry.offset:
        raise damaged("the file in it is not where its directory says")
    _, _, _, method, *_, name_size, extra_size = _LOCAL.unpack_from(header)
    if (method, header[_LOCAL.size :], name_size) != (
        entry.method,
        entry.raw_name,
        len(entry.raw_name),
    ):
        raise damaged("the file in it is not the one that its directory names")
    if start + extra_size + entry.packed > directory:
        raise damaged("the file in it reaches into the directory")
    return int(start + extra_size)


def _read(fetch: Fetch, start: int, end: int) -> bytes:
    return b"".join(fetch(start, end)) if start < end else b""


# --- The end --------------------------------------------------------------------------


def _end(fetch: Fetch, size: int) -> tuple[int, int, int, int]:
    """Return where the directory ends, its entries, its length and its start."""
    tail = _read(fetch, max(0, size - _TAIL_BYTES), size)
    end = tail.rfind(b"PK\x05\x06")
    while end >= 0 and not _is_last(tail, end):
        end = tail.rfind(b"PK\x05\x06", 0, end)
    if end < 0:
        raise damaged("it ends without its directory")
    _, disk, first_disk, here, count, length, start, _ = _END.unpack_from(tail, end)
    if 0xFFFF in (disk, here, count) or _HUGE in (length, start):
        return _end64(fetch, size, tail, end)
    if disk or first_disk or here != count:
        raise unusable("is one of several parts")
    return size - len(tail) + end, count, length, start


def _is_last(tail: bytes, end: int) -> bool:
    """Return whether a record at `end` reaches with its comment to the file's end."""
    if end + _END.size > len(tail):
        return False
    comment = _END.unpack_from(tail, end)[-1]
    return bool(end + _END.size + comment == len(tail))


def _end64(fetch: Fetch, size: int, tail: bytes, end: int) -> tuple[int, int, int, int]:
    place = end - _LOCATOR.size
    if place >= 0 and tail.startswith(b"PK\x06\x07", place):
        where = _LOCATOR.unpack_from(tail, place)[2]
        until = where + _END64.size
        record = _read(fetch, where, until) if until <= size else b""
        if record.startswith(b"PK\x06\x06") and len(record) == _END64.size:
            *_, count, length, start = _END64.unpack(record)
            return where, count, length, start
    raise damaged("its directory is cut")


# --- The entries ----------------------------------------------------------------------


def _parsed(directory: bytes, count: int) -> Iterator[Entry]:
    at = 0
    for _ in range(count):
        fields = _ENTRY.unpack_from(directory, at)
        mark, _, system, _, flags, method, _, _, crc, packed, size = fields[:11]
        name_size, extra_size, comment_size, _, _, attributes, offset = fields[11:]
        if mark != b"PK\x01\x02":
            raise damaged("its directory is cut")
        at += _ENTRY.size
        name = directory[at : at + name_size]
        extra = directory[at + name_size : at + name_size + extra_size]
        size, packed, offset = _widened(extra, (size, packed, offset))
        kind = attributes >> 16 & 0o170000 if system == _UNIX else 0
        yield Entry(name, flags, method, crc, packed, size, offset, kind)
        at += name_size + extra_size + comment_size


def _widened(extra: bytes, values: tuple[int, int, int]) -> Iterator[int]:
    """Yield the numbers, those that do not fit into four bytes from the extra field."""
    wide = _extra_field(extra, _ZIP64)
    at = 0
    for value in values:
        if value != _HUGE:
            yield value
            continue
        yield _WIDE.unpack_from(wide, at)[0]
        at += _WIDE.size


def _extra_field(extra: bytes, wanted: int) -> bytes:
    at = 0
    while at + _FIELD.size <= len(extra):
        number, size = _FIELD.unpack_from(extra, at)
        at += _FIELD.size
        if number == wanted:
            return extra[at : at + size]
        at += size
    return b""
