"""What share of a pool's worker time each tenant was entitled to, looking back.

Idea
    Time is cut into short stretches. In each, the worker time that the pool gave is
    divided anew by weight, among those who asked for it and up to what they asked for:
    what a tenant does not want goes to the others. A tenant that had jobs waiting
    throughout a stretch would have taken any amount; one that had not asked for what it
    got. So a tenant is entitled to its part only over the time in which it had work,
    and one that waits for nothing falls short of nothing.

Source
    Max-min fairness by weight (Bertsekas, Gallager, "Data Networks", 6.5.2), level by
    level: tiers first, then the tenants in each.

Invariants
    1. The entitlements of a stretch sum up to what was received in it.
    2. Nobody is entitled to more than it asked for.
    3. Of two tenants of a tier that got less than they asked for, each is entitled to
       the same for its weight, and no other tenant of the tier to more for its own.

Cost
    O(n log n) for each stretch, n being the tenants that had work in it.

Limits
    A tenant that had jobs waiting for a part of a stretch only counts as content with
    what it got, so stretches must be short. Weights are those of one moment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

__all__ = ["ANY_AMOUNT", "Asker", "Share", "divide", "shares"]

ANY_AMOUNT = inf
"""What a tenant asks for that has jobs waiting all the time."""


class Asker(NamedTuple):
    """A tenant in one stretch; `got` and `asked` are worker time in any one unit."""

    tenant: str
    tier: str
    weight: int
    tier_weight: int
    got: float
    asked: float


@dataclass(slots=True)
class Share:
    """Parts of the worker time that a pool gave, from 0 to 1."""

    entitled: float = 0.0
    received: float = 0.0

    @property
    def shortfall(self) -> float:
        """Return how much less it received; below 0 if it received more."""
        return self.entitled - self.received


def shares(stretches: Iterable[Sequence[Asker]]) -> dict[str, Share]:
    """Return the shares over all stretches of a pool, of every tenant in them.

    >>> def seen(a_asked, b_got):
    ...     return [Asker("a", "t", 1, 1, 4.0 - b_got, a_asked),
    ...             Asker("b", "t", 3, 1, b_got, ANY_AMOUNT)]
    >>> shares([seen(ANY_AMOUNT, 3.0), seen(1.0, 3.0), seen(ANY_AMOUNT, 1.0)])["b"]
    Share(entitled=0.75, received=0.5833333333333334)
    """
    found: dict[str, Share] = {}
    total = 0.0
    for askers in stretches:
        total += sum(asker.got for asker in askers)
        for asker, entitled in zip(askers, _entitled(askers), strict=True):
            share = found.setdefault(asker.tenant, Share())
            share.entitled += entitled
            share.received += asker.got
    for share in found.values():
        share.entitled = share.entitled / total if total else 0.0
        share.received = share.received / total if total else 0.0
    return found


def _entitled(askers: Sequence[Asker]) -> list[float]:
    """Divide what the askers got together among them, in their order."""
    tiers: dict[str, list[int]] = {}
    for number, asker in enumerate(askers):
        tiers.setdefault(asker.tier, []).append(number)
    amounts = divide(
        sum(asker.got for asker in askers),
        [
            (askers[own[0]].tier_weight, sum(_asked(askers[n]) for n in own))
            for own in tiers.values()
        ],
    )
    entitled = [0.0] * len(askers)
    for own, amount in zip(tiers.values(), amounts, strict=True):
        wishes = [(askers[n].weight, _asked(askers[n])) for n in own]
        for number, part in zip(own, divide(amount, wishes), strict=True):
            entitled[number] = part
    return entitled


def _asked(asker: Asker) -> float:
    # What it got, it had asked for.
    return asker.asked if asker.asked > asker.got else asker.got


def divide(amount: float, wishes: Sequence[tuple[int, float]]) -> list[float]:
    """Divide an amount by weight, giving nobody more than it wishes.

    >>> divide(12, [(1, 1), (1, ANY_AMOUNT), (2, ANY_AMOUNT), (8, 2)])
    [1.0, 3.0, 6.0, 2.0]
    """
    parts = [0.0] * len(wishes)
    left = float(amount)
    weight_left = sum(weight for weight, _ in wishes)
    content = [number for number, (_, wish) in enumerate(wishes) if wish < ANY_AMOUNT]
    # Who is content with the least for its weight leaves the rest to the others.
    content.sort(key=lambda number: wishes[number][1] / wishes[number][0])
    for number in content:
        weight, wish = wishes[number]
        parts[number] = min(float(wish), left * weight / weight_left)
        left -= parts[number]
        weight_left -= weight
    for number, (weight, wish) in enumerate(wishes):
        if wish == ANY_AMOUNT:
            parts[number] = left * weight / weight_left
    return parts
