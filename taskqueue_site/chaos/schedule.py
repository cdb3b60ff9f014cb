"""When which fault comes: a plan drawn from a seed, the same every time.

Faults come one after another: what is seen can then be laid to one of them. Each comes
once, in an order of the seed's choice, before any comes again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

WARM_UP_S: Final = 4.0
_GAP_S: Final = (1.0, 8.0)
#: After the last fault the load goes on for so long.
_TAIL_S: Final = 3.0


class TooShortError(ValueError):
    """The faults do not fit into the time."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come; `seed` draws its target and what else it leaves open."""

    at: float
    name: str
    seconds: float
    seed: int


def plan(
    holds: Mapping[str, tuple[float, float]], *, seconds: float, seed: int
) -> list[Planned]:
    """Return the faults of a run of so many seconds.

    `holds` says of each fault how long it holds, at least and at most. Raises
    TooShortError if not even one of each fits.
    """
    rng = Random(seed)  # noqa: S311 - a plan, no secret
    end = seconds - _TAIL_S
    found: list[Planned] = []
    at = WARM_UP_S
    gap = _gap(list(holds.values()), end - WARM_UP_S)
    for name in _rounds(sorted(holds), rng):
        least, most = holds[name]
        held = round(rng.uniform(least, most), 1)
        target = rng.randrange(2**31)
        if at + held > end:
            break
        found.append(Planned(round(at, 1), name, held, target))
        at += held + rng.uniform(0.5 * gap, 1.5 * gap)
    missing = holds.keys() - {planned.name for planned in found}
    if missing:
        raise TooShortError(
            f"{seconds / 60:g} minutes are too short for these faults: "
            f"{', '.join(sorted(missing))} would not come"
        )
    return found


def _rounds(names: Sequence[str], rng: Random) -> Iterator[str]:
    while True:
        yield from rng.sample(names, len(names))


def _gap(holds: Sequence[tuple[float, float]], seconds: float) -> float:
    """Return the mean pause that lets each fault come once, if any does."""
    held = sum(most for _, most in holds)
    least, most = _GAP_S
    # A gap may be half as long again as the mean.
    return min(most, max(least, (seconds - held) / len(holds) / 1.5))
