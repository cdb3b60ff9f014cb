"""Tells rows from what stands around and between them.

A record with a date in its place is a row, also behind the trailer. One without date
and amount continues the row above. A line that begins like the trailer, or has one of
the labels, states something. What is none of these is a row that will be refused; only
behind the trailer it may be anything.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from ingestion.sources.base import Reason, Reject
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.headers import Layout, key_of
from ingestion.sources.dialect.notes import Notes, is_separator
from ingestion.sources.dialect.rows import RowReader
from ingestion.sources.lines import Outcome

_DIGITS: Final = frozenset("0123456789")


class Kind(Enum):
    """What a record of a file is."""

    ROW = auto()
    MORE = auto()
    NOTE = auto()
    NOTHING = auto()
    REFUSED = auto()


class Sorted(NamedTuple):
    """A record, what it is, and its cells: one for each column if it is whole."""

    line: int
    kind: Kind
    cells: list[str]
    refusal: Reject | None = None
    #: Whether lines within it look like rows of their own.
    holds_rows: bool = False


class Sorter:
    """Sorts the records of one file; `in_trailer` once the rows are over."""

    def __init__(
        self, dialect: Dialect, layout: Layout, rows: RowReader, notes: Notes
    ) -> None:
        self.in_trailer = False
        self._layout = layout
        self._rows = rows
        self._notes = notes
        self._continued = dialect.continued
        self._keys = [key_of(name.partition("#")[0]) for name in layout.names]
        self._date = layout.at["date"]
        self._narration = layout.place("narration")
        self._balance = layout.place("balance")

    def sort(self, line: int, outcome: Outcome, ragged: list[str]) -> Sorted:
        """Return what a record is; `ragged` are its cells if their number is wrong."""
        if isinstance(outcome, list):
            return Sorted(line, self._whole(outcome), outcome)
        if outcome.reason is Reason.WRONG_FIELD_COUNT:
            return self._ragged(line, outcome, ragged)
        # Behind the trailer a stray quote is no harm unless a row may be in it.
        is_row = outcome.value.lstrip('"')[:1] in _DIGITS
        kind = Kind.NOTHING if self.in_trailer and not is_row else Kind.REFUSED
        return Sorted(line, kind, [], outcome)

    def states(self, cells: Sequence[str]) -> bool:
        """Return whether a record states something instead of being a row."""
        return self._notes.states(cells) or self._notes.begins_trailer(cells)

    def _whole(self, cells: list[str]) -> Kind:
        date = cells[self._date].strip()
        if date[:1] in _DIGITS and not self.in_trailer and not self._notes.waits:
            return Kind.ROW
        if is_separator(cells) or list(map(key_of, cells)) == self._keys:
            return Kind.NOTHING
        texts = [*map(str.strip, cells), ""]
        has_amount = not self._rows.sides.is_blank(texts)
        if has_amount and self._rows.dates.fits(date):
            return Kind.ROW
        if self._continues(texts, has_amount=has_amount):
            return Kind.MORE
        if self._notes.waits or self.states(cells):
            return Kind.NOTE
        if self.in_trailer and not (date and has_amount):
            return Kind.NOTHING
        return Kind.ROW

    def _continues(self, texts: Sequence[str], *, has_amount: bool) -> bool:
        """Return whether the record may go on with the row above."""
        if not self._continued or self.in_trailer or has_amount:
            return False
        if texts[self._date] or texts[self._balance] or not texts[self._narration]:
            return False
        is_alone = sum(map(bool, texts)) == 1
        return not (
            self._notes.begins_trailer(texts) if is_alone else self.states(texts)
        )

    def _ragged(self, line: int, refusal: Reject, cells: list[str]) -> Sorted:
        """Return what a record with the wrong number of cells is."""
        width = len(self._layout.names)
        if not any(map(str.strip, cells[width:])) and len(cells) > width:
            return Sorted(line, self._whole(cells[:width]), cells[:width])
        padded = [*cells, *[""] * (width - len(cells))]
        texts = [*map(str.strip, padded), ""]
        if is_separator(cells):
            kind = Kind.NOTHING
        elif self._rows.dates.fits(texts[self._date]):
            kind = Kind.REFUSED
        elif self._notes.waits or self.states(cells):
            kind = Kind.NOTE
        elif self.in_trailer:
            kind = Kind.NOTHING
        elif len(cells) < width and self._continues(
            texts, has_amount=not self._rows.sides.is_blank(texts)
        ):
            return Sorted(line, Kind.MORE, padded)
        else:
            kind = Kind.REFUSED
        return Sorted(line, kind, cells, refusal)
