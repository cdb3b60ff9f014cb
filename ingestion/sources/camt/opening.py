"""The first bytes of a document: what they are, and in which encoding."""

import codecs
import re
from typing import Final, NamedTuple

from ingestion.sources.base import FileFault, SourceError, visible
from ingestion.sources.camt.pieces import Pieces
from ingestion.sources.sniff import (
    HEAD_BYTES,
    UTF8_BOM,
    check_packed,
    refuse_web_page,
)

_DECLARED: Final = re.compile(
    r"<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]*)[\"']"
)
_BLANKS: Final = b" \t\r\n"
#: What old systems write behind the end of a file.
_PADDING: Final = _BLANKS + b"\0\x1a"
#: Encodings of one byte a character, which the parser learns from a table.
_TABLES: Final = re.compile(r"iso8859-[0-9]+|cp125[0-9]|koi8-[ru]")
_UTF32_MARKS: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_BUILT_IN: Final = {"utf-8": "UTF-8", "ascii": "US-ASCII", "iso8859-1": "ISO-8859-1"}


class Opening(NamedTuple):
    """How a document is encoded, and what was passed over in front of it."""

    encoding: str
    skipped: int
    skipped_lines: int


def first_opening(pieces: Pieces) -> Opening:
    """Go past the byte order mark and the blanks in front of a file.

    Raises SourceError if it is no XML, or in an encoding that cannot be read.
    """
    head = _head(pieces)
    if not head.strip(_PADDING):
        raise SourceError(
            FileFault.EMPTY_FILE, "The file has no XML in it; export it again."
        )
    check_packed(head, "ISO 20022 XML")
    refuse_web_page(head, "ISO 20022 XML")
    return _opened(head, 0, 0, pieces)


def next_opening(pieces: Pieces) -> Opening | None:
    """Go to the beginning of one more document; None if only padding follows.

    Raises SourceError.
    """
    skipped = lines = 0
    for piece in pieces:
        rest = piece.lstrip(_PADDING)
        skipped += len(piece) - len(rest)
        lines += _line_ends(piece[: len(piece) - len(rest)])
        if rest:
            pieces.give_back(rest)
            return _opened(_head(pieces), skipped, lines, pieces)
    return None


def _head(pieces: Pieces) -> bytes:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD_BYTES:
            break
    return head


def _opened(head: bytes, skipped: int, lines: int, pieces: Pieces) -> Opening:
    mark, wide = _mark(head)
    if not wide:
        rest = head[mark:].lstrip(_BLANKS)
        lines += _line_ends(head[mark : len(head) - len(rest)])
        mark = len(head) - len(rest)
    head = head[mark:]
    if not head.startswith(b"\0<" if wide == "UTF-16BE" else b"<"):
        raise SourceError(
            FileFault.NOT_XML,
            f"The file begins with {visible(head[:20].decode('latin-1'))!r} and not "
            "with '<', so it is no XML; export it as ISO 20022 XML.",
        )
    pieces.give_back(head)
    encoding = wide or _declared_encoding(head)
    return Opening(encoding, skipped + mark, lines)


def _line_ends(blank: bytes) -> int:
    return blank.count(b"\n") + blank.count(b"\r") - blank.count(b"\r\n")


def _mark(head: bytes) -> tuple[int, str]:
    """Return the length of the byte order mark, and the encoding if it is UTF-16."""
    if head.startswith(_UTF32_MARKS):
        raise _unsupported("UTF-32")
    if head.startswith(UTF8_BOM):
        return len(UTF8_BOM), ""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return 2, "UTF-16LE" if head.startswith(codecs.BOM_UTF16_LE) else "UTF-16BE"
    if head[1:2] == b"\0" and head[:1] == b"<":
        return 0, "UTF-16LE"
    return 0, "UTF-16BE" if head[:2] == b"\0<" else ""


def _declared_encoding(head: bytes) -> str:
    """Return what the parser calls the encoding that the first line names.

    That line could be read byte by byte, so it is not UTF-16 whatever it says: some
    programs write that into text which they then save as UTF-8.
    """
    match = _DECLARED.match(head.decode("latin-1"))
    if not match:
        return "UTF-8"
    try:
        name = codecs.lookup(match[1]).name
    except LookupError:
        raise _unsupported(match[1]) from None
    if name.startswith("utf-16"):
        return "UTF-8"
    if name not in _BUILT_IN and not _TABLES.fullmatch(name):
        raise _unsupported(match[1])
    return _BUILT_IN.get(name, name)


def _unsupported(name: str) -> SourceError:
    return SourceError(
        FileFault.UNSUPPORTED_ENCODING,
        f"The file is in {visible(name)}; save it as UTF-8 and upload it again.",
    )
