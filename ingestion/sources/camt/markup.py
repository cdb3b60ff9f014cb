"""Safe XML of any size: bytes in, items out, each with the byte that it starts at.

Idea: an item is a child of a statement, or of a message: an account, a balance, an
entry. What is around the items, an envelope for instance, is only remembered as the
open path: to resume at an item is to open the same elements once more, and to go on
with its bytes.

Safety: a document type is refused, so there are no entities but the five of XML, and
nothing outside of the file is ever asked for. What one item, one token and the sum of
all names may take is bounded.

Cost: linear. Memory: one piece of input, one item, and the names.
"""

from typing import Final, NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from ingestion.sources.base import FileFault, SourceError
from ingestion.sources.camt.messages import Message, message_of
from ingestion.sources.camt.names import SEPARATOR, DamageError, Names, split
from ingestion.sources.camt.pieces import PIECE_BYTES
from ingestion.sources.camt.walk import MAX_ATTRIBUTES, MAX_DEPTH, Content, Walk

#: From one tag to the next outside of items; also the longest token.
MAX_GAP_BYTES: Final = 1 << 21
MAX_URI_CHARS: Final = 1000

#: Items that are no elements: what begins, and what ends.
MESSAGE, OPEN, END = "message", "statement", "/statement"

#: The open elements: each with its name and prefix, and the namespaces it declares.
Path = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


class Item(NamedTuple):
    """One element of a statement, and where it starts; see `Content`."""

    name: str
    offset: int
    line: int
    #: The elements around it, and which message they are.
    path: Path
    message: Message
    content: Content


_NOTHING: Final = Content({}, [], 0, False)


class _RootEndError(Exception):
    """The root element has ended."""


class Markup:
    """One document. `feed` fills `items`; `damage` is what ended it, if anything."""

    def __init__(self, kind: str, encoding: str, offset: int, line: int) -> None:
        self.items: list[Item] = []
        self.damage: DamageError | SourceError | None = None
        #: Whether its root element has ended.
        self.is_over = False
        self.encoding = encoding
        self.message: Message | None = None
        #: Whether it has any element.
        self.has_root = False
        #: The line in which the root element has ended.
        self.last_line = line
        self._kind = kind
        self._offset, self._line = offset, line
        self._begin = self._fed = self._last_tag = offset
        self._open: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        self._declared: list[tuple[str, str]] = []
        self._message_depth = self._statement_depth = 0
        self._path: Path = ()
        self._parser = parser = expat.ParserCreate(encoding, SEPARATOR)
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # It would hold tags back, and tokens are bounded anyway.
            parser.SetReparseDeferralEnabled(False)
        parser.buffer_text = True
        parser.buffer_size = PIECE_BYTES
        parser.namespace_prefixes = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartNamespaceDeclHandler = self._declare
        self._names = Names(self._here_line)
        self._walk = Walk(
            parser, self._names, self._here, self._here_line, self._end_item
        )
        self._in_item = False
        self._watch_around()

    def reopen(self, path: Path, message: Message) -> None:
        """Be where the bytes go on inside of these elements."""
        self._names.begin(message.namespace)
        self.message, self.has_root = message, True
        self._open, self._path = list(path), path
        self._statement_depth, self._message_depth = len(path), len(path) - 1
        prolog = _prolog(path).encode(self.encoding, "xmlcharrefreplace")
        self._parser.StartElementHandler = None
        self._parser.EndElementHandler = None
        self._parser.Parse(prolog, False)
        self._offset -= len(prolog)
        self._watch_around()
        self._declared.clear()

    # --- bytes --------------------------------------------------------------------

    def feed(self, piece: bytes) -> bytes:
        """Read on; returns what lies behind the root element."""
        start, self._fed = self._fed, self._fed + len(piece)
        try:
            self._parser.Parse(piece, False)
            self._check_sizes()
        except _RootEndError:
            self.is_over = True
            rest = self._behind(piece, self._last_tag - start)
            self._fed -= len(rest)
            return rest
        except expat.ExpatError:
            self.damage = self._malformed()
        except (DamageError, SourceError) as damage:
            self.damage = damage
        return b""

    def finish(self) -> None:
        """Take note that no bytes follow, which is damage inside of the root."""
        try:
            self._parser.Parse(b"", True)
        except expat.ExpatError:
            self.damage = self._malformed()

    @property
    def line(self) -> int:
        """Return the line that is being read."""
        return self._here_line()

    @property
    def fed(self) -> int:
        """Return up to which offset it was fed."""
        return self._fed

    @property
    def length(self) -> int:
        """Return how many bytes it was fed."""
        return self._fed - self._begin

    def _here(self) -> int:
        return self._offset + self._parser.CurrentByteIndex

    def _here_line(self) -> int:
        return self._line + self._parser.CurrentLineNumber - 1

    def _malformed(self) -> DamageError:
        parser = self._parser
        line = self._line + parser.ErrorLineNumber - 1
        return DamageError(line, expat.ErrorString(parser.ErrorCode))

    def _behind(self, piece: bytes, begin: int) -> bytes:
        """Return what follows the end tag that begins there, or before the piece."""
        width = 2 if self.encoding.startswith("UTF-16") else 1
        close = ">".encode(self.encoding if width == 2 else "ascii")
        begin = max(begin, begin % width)
        end = piece.find(close, begin)
        while (end - begin) % width:
            end = piece.find(close, end + 1)
        return piece[end + width :]

    def _check_sizes(self) -> None:
        token = self._here() if self._in_item else self._last_tag
        if self._fed - token > MAX_GAP_BYTES:
            raise DamageError(self.line, f"{MAX_GAP_BYTES >> 20} MiB without a tag")
        if self._in_item:
            self._walk.check(self._fed)

    # --- around the items ---------------------------------------------------------

    def _watch_around(self) -> None:
        parser = self._parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = None

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        if prefix:
            self._names.local(f"{prefix}:")
        if len(uri or "") > MAX_URI_CHARS:
            raise DamageError(self.line, "a namespace with a very long name")
        self._declared.append((prefix or "", uri or ""))

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._last_tag, self.has_root = self._here(), True
        if len(self._open) >= MAX_DEPTH or len(attributes) > MAX_ATTRIBUTES:
            raise DamageError(self.line, "elements too deep, or too many attributes")
        local = self._names.local(tag)
        if self._is_item(local):
            self._in_item = True
            self._item_name = local
            self._item_offset, self._item_line = self._last_tag, self.line
            self._walk.begin(local, attributes, self._last_tag)
            return
        for name in attributes:
            self._names.local(name)
        self._open.append((_qualified(tag), tuple(self._declared)))
        self._declared.clear()
        if self._message_depth:
            self._open_statement()
        else:
            self._open_message(tag)

    def _is_item(self, local: str) -> bool:
        if self._statement_depth:
            return len(self._open) == self._statement_depth
        return (
            self.message is not None
            and len(self._open) == self._message_depth
            and local != self.message.statement
        )

    def _end(self, _: str) -> None:
        self._last_tag = self._here()
        depth = len(self._open)
        if depth == self._statement_depth:
            self._statement_depth = 0
            self._emit(END, self._last_tag, self.line)
        elif depth == self._message_depth:
            self._message_depth = 0
        self._open.pop()
        if not self._open:
            self.last_line = self.line
            raise _RootEndError

    def _open_message(self, tag: str) -> None:
        space, local, _ = split(tag)
        message = message_of(space, local, self._kind)
        if message:
            self.message, self._message_depth = message, len(self._open)
            self._names.begin(space)
            said = {"version": f"{message.version or ''}"}
            content = _NOTHING._replace(values=said)
            self._emit(MESSAGE, self._last_tag, self.line, content)

    def _open_statement(self) -> None:
        self._statement_depth, self._path = len(self._open), tuple(self._open)
        self._emit(OPEN, self._last_tag, self.line)

    def _end_item(self, content: Content) -> None:
        self._emit(self._item_name, self._item_offset, self._item_line, content)
        self._in_item = False
        self._last_tag = self._here()
        self._declared.clear()
        self._watch_around()

    def _emit(
        self, name: str, offset: int, line: int, content: Content = _NOTHING
    ) -> None:
        if self.message is not None:
            item = Item(name, offset, line, self._path, self.message, content)
            self.items.append(item)


def _refuse_doctype(*_: object) -> None:
    raise SourceError(
        FileFault.UNSAFE_XML,
        "The file has a document type (<!DOCTYPE), which no camt message has; export "
        "it again without one.",
    )


def _qualified(tag: str) -> str:
    """Return the tag as the file writes it."""
    _, local, prefix = split(tag)
    return f"{prefix}:{local}" if prefix else local


def _prolog(path: Path) -> str:
    return "".join(
        f"<{name}{''.join(_declaration(*each) for each in declared)}>"
        for name, declared in path
    )


def _declaration(prefix: str, uri: str) -> str:
    return f" xmlns{':' if prefix else ''}{prefix}={quoteattr(uri)}"
