"""What a loop does every so often, one thing at a time.

A loop that has to answer quickly does at most one of them in a turn, so that no turn
takes longer than the longest of them.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf


@dataclass(slots=True)
class Chore:
    """Something to do every `seconds`; it is told how long ago it was done last."""

    seconds: float
    do: Callable[[float], None]
    done_at: float = -inf

    @property
    def due_at(self) -> float:
        """Return when it is due, on the clock that never goes back."""
        return self.done_at + self.seconds


class Chores:
    """Chores in no order: the one that has been due for longest goes first."""

    def __init__(self, chores: Iterable[Chore]) -> None:
        self._chores = list(chores)

    @property
    def are_due(self) -> bool:
        """Return whether there is something to do."""
        return self._next().due_at <= time.monotonic()

    def do_one(self) -> None:
        """Do what has been due for longest, if anything is due."""
        chore, now = self._next(), time.monotonic()
        if chore.due_at <= now:
            elapsed, chore.done_at = now - chore.done_at, now
            chore.do(elapsed)

    def hasten(self) -> None:
        """Make everything due at once."""
        for chore in self._chores:
            chore.done_at = -inf

    def _next(self) -> Chore:
        return min(self._chores, key=lambda chore: chore.due_at)
