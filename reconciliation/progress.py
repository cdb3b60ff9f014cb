"""How far a reconciliation is: what its checkpoints keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Self

from jobs.handlers import Checkpoint, JSONDict
from reconciliation.scope import KEYLESS, Range


class Phase(StrEnum):
    """What a run is doing."""

    COUNTING = "counting"  # what files brought of each day
    LATE = "late"  # new files have rows of before the period
    OPENING = "opening"  # range by range, and what has no reference
    MATCHING = "matching"  # rule by rule: those that are not of the primary key
    TELLING = "telling"  # range by range again
    KEEPING = "keeping"  # matches and what files say of themselves
    TIDYING = "tidying"  # what the run before has left
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one job is with its run."""

    run_id: int
    phase: Phase = Phase.COUNTING
    #: Of the range, or the rule, that is next in this phase; the file counted last.
    place: int = 0
    ranges: tuple[Range, ...] = ()
    #: What has been counted so far, by name.
    counts: Mapping[str, int] = field(default_factory=dict)
    #: Money, as text.
    plain_amount: str = "0"

    @property
    def pieces(self) -> tuple[Range, ...]:
        """Return the ranges, and behind them what has no reference.

        What is beside ranges in order comes last of all: by then it may be known that
        nothing is there.
        """
        return (*(self.ordered or self.ranges), KEYLESS, *self.beside)

    @property
    def ordered(self) -> tuple[Range, ...]:
        """Return the ranges whose rows lie in order."""
        return tuple(keys for keys in self.ranges if keys.is_in_order)

    @property
    def beside(self) -> tuple[Range, ...]:
        """Return what is beside the ranges in order."""
        if not self.ordered:
            return ()
        return tuple(keys for keys in self.ranges if not keys.is_in_order)

    def at(self, phase: Phase, place: int = 0) -> Self:
        """Return the beginning of a phase."""
        return replace(self, phase=phase, place=place)

    def plus(self, **more: int) -> Self:
        """Return it with more counted."""
        counts = dict(self.counts)
        for name, number in more.items():
            counts[name] = counts.get(name, 0) + number
        return replace(self, counts=counts)

    def paid(self, amount: Decimal) -> Self:
        """Return it with more money that plainly matches."""
        whole = Decimal(self.plain_amount) + amount
        return replace(self, plain_amount=str(whole))

    @classmethod
    def from_json(cls, state: JSONDict) -> Self:
        """Return what `to_json` wrote."""
        return cls(
            run_id=state["run_id"],
            phase=Phase(state["phase"]),
            place=state["place"],
            ranges=tuple(
                Range(after, upto, is_in_order=any(order))
                for after, upto, *order in state["ranges"]
            ),
            counts=state["counts"],
            plain_amount=state["plain_amount"],
        )

    def to_json(self) -> JSONDict:
        """Return the state to keep in the checkpoint."""
        return {
            "run_id": self.run_id,
            "phase": self.phase.value,
            "place": self.place,
            "ranges": [
                [keys.after, keys.upto, keys.is_in_order] for keys in self.ranges
            ],
            "counts": dict(self.counts),
            "plain_amount": self.plain_amount,
        }

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint of the step that led here; it counts ranges twice."""
        pieces = len(self.pieces)
        done = {
            Phase.OPENING: self.place,
            Phase.MATCHING: pieces,
            Phase.TELLING: pieces + self.place,
        }
        is_behind = self.phase in (Phase.KEEPING, Phase.TIDYING, Phase.CLOSED)
        return Checkpoint(
            state=self.to_json(),
            done=2 * pieces if is_behind else done.get(self.phase, 0),
            total=2 * pieces if self.ranges else None,
            unit="ranges",
            is_last=self.phase is Phase.CLOSED,
        )
