"""Reading in units: what a format says in one go, and how a reading resumes.

A unit is a stretch of the file that is judged as a whole: a field, an entry with its
details, a trailer, and last the end of the file. A judge takes one after the other,
keeps what must be known of those before, and answers with records. Most units give one
record; those that end a statement may give several, and a reading that stops between
them begins again with the unit, and passes over what was yielded of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ingestion.sources.base import Position, Record

#: The kind of the unit that stands for the end of the file.
END = "end"
_SKIP = "skip"


class Unit(NamedTuple):
    """One stretch of a file; `parts` are its pieces, as the format names them."""

    kind: str
    parts: Sequence[tuple[str, bytes]]
    line: int
    offset: int
    end_line: int
    end_offset: int
    #: It was longer than a unit may be, and the rest of it was passed over.
    is_cut: bool = False


class Judge(Protocol):
    """What turns units into records, one after the other."""

    @property
    def single(self) -> frozenset[str]:
        """Return the kinds of units that never give more than one record."""

    @property
    def state(self) -> dict[str, Any]:
        """Return what it knows, as JSON values."""

    def take(self, unit: Unit) -> Sequence[Record]:
        """Return the records of a unit."""


Cut = Callable[[Iterable[bytes], Position], Iterator[Unit]]
Open = Callable[[Mapping[str, Any]], Judge]


class UnitReading:
    """The records of a file that is cut into units.

    `cut` yields the units from a position on, and `begin` makes the judge that knows
    the state of a position. What `cut` finds out of the whole file goes into `about`,
    and with it into every position.
    """

    def __init__(
        self,
        blocks: Iterable[bytes],
        resume: Position | None,
        *,
        cut: Cut,
        begin: Open,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        start = resume or Position(0, 1, {})
        self._offset, self._line = start.offset, start.line
        self._skip = int(start.state.get(_SKIP, 0))
        #: Where reading goes on if it stops before a unit, or between its records.
        self._within: Position | None = start
        self._about = {} if about is None else about
        self._judge = begin(start.state)
        self._units = cut(blocks, start)

    def __iter__(self) -> Iterator[Record]:
        """Yield the records; raises SourceError if the file is of no use."""
        judge, skip = self._judge, self._skip
        for unit in self._units:
            if not skip and unit.kind in judge.single:
                # Nearly all units: they take the short way.
                records = judge.take(unit)
                self._pass(unit)
                yield from records
                continue
            before = self._state
            records = judge.take(unit)
            for number, record in enumerate(records[skip:], skip + 1):
                if number < len(records):
                    state = {**before, _SKIP: number}
                    self._within = Position(unit.offset, unit.line, state)
                else:
                    self._pass(unit)
                yield record
            self._pass(unit)
            skip = 0

    def _pass(self, unit: Unit) -> None:
        self._within = None
        self._offset, self._line = unit.end_offset, unit.end_line

    @property
    def _state(self) -> dict[str, Any]:
        return {**self._judge.state, **self._about}

    @property
    def offset(self) -> int:
        """Return how many bytes of the file were read up to there."""
        return self._within.offset if self._within else self._offset

    @property
    def position(self) -> Position:
        """Return where a later reading goes on after the record yielded last."""
        return self._within or Position(self._offset, self._line, self._state)
