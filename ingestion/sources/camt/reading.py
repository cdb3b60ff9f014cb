"""The records of a file of statements, and the places where reading can go on."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from ingestion.sources.base import (
    Control,
    Fault,
    FileFault,
    Position,
    Record,
    SourceError,
    visible,
)
from ingestion.sources.camt.markup import Item, Markup
from ingestion.sources.camt.messages import Message, no_message
from ingestion.sources.camt.names import DamageError
from ingestion.sources.camt.opening import Opening, first_opening, next_opening
from ingestion.sources.camt.pieces import Pieces
from ingestion.sources.camt.statements import NOTHING, Known, Statements

#: Within so many bytes a message must have begun.
MAX_AROUND_BYTES: Final = 1 << 20


class Spot(NamedTuple):
    """Behind the n-th record of an item: to go on is to read the item once more."""

    item: Item
    records: int
    #: What was known before it.
    known: Known
    encoding: str


class CamtReading:
    """The records of a camt file.

    A file may hold several documents, one behind the other.
    """

    def __init__(
        self, kind: str, blocks: Iterable[bytes], resume: Position | None
    ) -> None:
        self._kind = kind
        self._pieces = Pieces(blocks)
        self._resume = resume if resume and resume.state else None
        self._markup: Markup | None = None
        self._encoding = ""
        self._spot: Spot | None = None
        self._end: Position | None = None
        self._is_behind_another = False

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in file order.

        Raises SourceError, before the first one, if the whole file is unusable.
        """
        state = self._resume.state if self._resume else {}
        if state.get("is_over"):
            return
        known = Known.from_json(state["known"]) if state else NOTHING
        statements = Statements(self._kind, known)
        try:
            yield from self._records(statements, state.get("records", 0))
            self._stop(statements)
        except (DamageError, SourceError) as damage:
            if self._spot is None and self._resume is None:
                raise _refusal(damage) from damage
            yield self._unfinished(statements, damage)

    @property
    def offset(self) -> int:
        """Return how many bytes of the file were read up to there."""
        if self._end is not None:
            return self._end.offset
        if self._spot is not None:
            return self._spot.item.offset
        return self._resume.offset if self._resume else 0

    @property
    def position(self) -> Position:
        """Return where a later reading goes on after the record yielded last."""
        if self._end is not None:
            return self._end
        if self._spot is not None:
            return _position(self._spot)
        return self._resume or Position(0, 1, {})

    # --- records ------------------------------------------------------------------

    def _records(self, statements: Statements, skip: int) -> Iterator[Record]:
        """Yield the records but for the first ones of the first item."""
        for item in self._items():
            known, encoding = statements.known, self._encoding
            for number, record in enumerate(statements.take(item), 1):
                if number > skip:
                    self._spot = Spot(item, number, known, encoding)
                    yield record
            skip = 0

    def _stop(self, statements: Statements) -> int:
        """Be over, and return the line."""
        markup = self._markup
        offset, line = (markup.fed, markup.last_line) if markup else (0, 1)
        line = max(line, statements.line)
        self._end = Position(offset, line, {"is_over": True})
        return line

    def _unfinished(
        self, statements: Statements, damage: DamageError | SourceError
    ) -> Fault:
        line = self._stop(statements)
        if isinstance(damage, DamageError):
            line = max(line, damage.line)
        return Fault(
            line, Control.UNFINISHED, "the end of the document", visible(str(damage))
        )

    # --- items --------------------------------------------------------------------

    def _items(self) -> Iterator[Item]:
        resume = self._resume
        markup: Markup | None
        if resume is None:
            markup = self._opened(first_opening(self._pieces), 0, 1)
        else:
            markup = _reopened(self._kind, resume)
        while markup is not None:
            self._markup, self._encoding = markup, markup.encoding
            yield from self._items_of(markup)
            markup = self._next(markup)

    def _items_of(self, markup: Markup) -> Iterator[Item]:
        """Yield the items of one document; raises what ends it before its end."""
        for piece in self._pieces:
            rest = markup.feed(piece)
            items, markup.items = markup.items, []
            yield from items
            if markup.damage:
                raise markup.damage
            if markup.is_over:
                self._pieces.give_back(rest)
                break
            if markup.message is None and markup.length > MAX_AROUND_BYTES:
                raise no_message(self._kind)
        else:
            markup.finish()
            # Behind a document there may be comments and nothing else.
            if markup.damage and (markup.has_root or not self._is_behind_another):
                raise markup.damage
        if markup.message is None and markup.has_root:
            raise no_message(self._kind)

    def _next(self, markup: Markup) -> Markup | None:
        """Return the document behind one, if the file has another."""
        self._is_behind_another = True
        opening = next_opening(self._pieces)
        if opening is None:
            return None
        return self._opened(opening, markup.fed, markup.last_line)

    def _opened(self, opening: Opening, offset: int, line: int) -> Markup:
        encoding, skipped, lines = opening
        return Markup(self._kind, encoding, offset + skipped, line + lines)


def _refusal(damage: DamageError | SourceError) -> SourceError:
    if isinstance(damage, SourceError):
        return damage
    return SourceError(
        FileFault.NOT_XML,
        f"The XML cannot be read: {damage}; export the file again.",
    )


def _position(spot: Spot) -> Position:
    state: dict[str, Any] = {
        "encoding": spot.encoding,
        "path": spot.item.path,
        "message": spot.item.message,
        "known": spot.known.to_json(),
        "records": spot.records,
    }
    return Position(spot.item.offset, spot.item.line, state)


def _reopened(kind: str, resume: Position) -> Markup:
    state = resume.state
    markup = Markup(kind, state["encoding"], resume.offset, resume.line)
    path = tuple((name, tuple(map(tuple, each))) for name, each in state["path"])
    markup.reopen(path, Message(*state["message"]))
    return markup
