"""How far a run came from sharing exactly by weight, and the bound on that.

Idea
    `A_k(t)` is the worker time that node k has attained by t, running attempts
    included. Perfect sharing keeps `A_i / w_i - A_j / w_j` constant while both i and
    j are eligible all the time. The observed lag is the most by which that difference
    moves within such a time: its largest value minus its smallest, which is the
    largest `| dA_i / w_i - dA_j / w_j |` over all intervals inside.

Source
    The fairness measure of Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM
    1996, taken to several slots.

Differences
    Only siblings are compared: tenants of one tier, and tiers. A node that stops
    being eligible for no time at all starts anew, because it may have been lifted.

Invariants
    1. The lag is exact: attained time is linear between starts and ends of attempts,
       so the difference is largest and smallest at one of them, or at an edge.

Bound
    `lag_bound` is the one of `fairshare.scheduler`, from what the run has shown.

Cost
    O(m log m) for each pair of siblings, m being their attempts.

Limits
    A tenant held by a rate is left out: only the policy knows when its rate opens.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import lcm

from fairshare.branch import WEIGHT_ONE
from fairshare.trace import NodeTrace, Stay, Trace

__all__ = ["LagBound", "PairLag", "lag_bound", "lags"]


class _Progress:
    """Attained time as a function of time: straight lines between `times`."""

    def __init__(self, stretches: Sequence[tuple[int, int]]) -> None:
        steps: dict[int, int] = {}
        for start, end in stretches:
            steps[start] = steps.get(start, 0) + 1
            steps[end] = steps.get(end, 0) - 1
        self.times = sorted(steps)
        self.attained: list[int] = []
        self.running: list[int] = []
        attained = running = before = 0
        for time in self.times:
            attained += running * (time - before)
            running += steps[time]
            before = time
            self.attained.append(attained)
            self.running.append(running)

    def at(self, time: int) -> int:
        """Return the time attained by then."""
        place = bisect_right(self.times, time) - 1
        if place < 0:
            return 0
        return self.attained[place] + self.running[place] * (time - self.times[place])

    def over(self, times: Sequence[int]) -> list[int]:
        """Return the time attained by each of these moments, which ascend."""
        return [self.at(time) for time in times]


@dataclass(frozen=True, slots=True)
class LagBound:
    """The bound on the lag of two nodes, and its terms.

    `slots` is N, look-ahead included. `critical_us` is K: the larger of
    (longest attempt or hold + delta) / weight, in microseconds at weight 1.
    """

    slots: int
    critical_us: Fraction

    @property
    def us(self) -> Fraction:
        """Return 2 * N * K."""
        return 2 * self.slots * self.critical_us


@dataclass(frozen=True, slots=True)
class PairLag:
    """The largest lag of two siblings, in microseconds at weight 1, and its bound."""

    first: str
    second: str
    us: Fraction
    bound: LagBound

    @property
    def ratio(self) -> float:
        """Return the lag as a part of the bound."""
        return float(self.us / self.bound.us)


def lag_bound(
    trace: Trace,
    nodes: Iterable[tuple[NodeTrace, int]],
    holds_us: Mapping[str, int],
) -> LagBound:
    """Return the bound for nodes, each with the least weight it was charged at.

    `holds_us` gives their largest holds in microseconds.
    """
    critical_us = max(
        Fraction(
            (max(node.longest_us, holds_us.get(node.name, 0)) + trace.delta_us)
            * WEIGHT_ONE,
            weight,
        )
        for node, weight in nodes
    )
    return LagBound(trace.slots + trace.lookahead, critical_us)


def lags(trace: Trace, holds_us: Mapping[str, int]) -> list[PairLag]:
    """Return the largest lag of every two siblings that were eligible together.

    `holds_us` gives each tenant's largest hold in microseconds; estimates above the
    longest attempt widen the bound. The largest lag of a pair is the one that comes
    nearest to its bound, which depends on the weights of the time.
    """
    by_tier: dict[str, list[NodeTrace]] = {name: [] for name in trace.tiers}
    for tenant in trace.tenants.values():
        assert tenant.parent is not None  # noqa: S101 - every tenant has a tier
        by_tier[tenant.parent.name].append(tenant)
    tier_holds = {
        name: max((holds_us.get(tenant.name, 0) for tenant in tenants), default=0)
        for name, tenants in by_tier.items()
    }
    for name, tenants in by_tier.items():
        tier = trace.tiers[name]
        tier.stretches = [stretch for node in tenants for stretch in node.stretches]
        tier.longest_us = max((node.longest_us for node in tenants), default=0)
    found = list(_sibling_lags(trace, list(trace.tiers.values()), tier_holds))
    for tenants in by_tier.values():
        found.extend(_sibling_lags(trace, tenants, holds_us))
    return found


def _sibling_lags(
    trace: Trace, nodes: Sequence[NodeTrace], holds_us: Mapping[str, int]
) -> Iterator[PairLag]:
    progress = {node.name: _Progress(node.stretches) for node in nodes}
    for first, second in combinations(nodes, 2):
        worst: PairLag | None = None
        pair = _Pair(progress[first.name], progress[second.name])
        for a, b in _together(first.stays, second.stays):
            start, end = max(a.start_us, b.start_us), min(a.end_us, b.end_us)
            gap_us = pair.lag(start, end, (a.weight, b.weight))
            charged = [(first, a.least_weight), (second, b.least_weight)]
            bound = lag_bound(trace, charged, holds_us)
            lag = PairLag(first.name, second.name, gap_us, bound)
            if worst is None or lag.ratio > worst.ratio:
                worst = lag
        if worst is not None:
            yield worst


def _together(
    first: Sequence[Stay], second: Sequence[Stay]
) -> Iterator[tuple[Stay, Stay]]:
    """Return every two stays that overlap."""
    i = j = 0
    while i < len(first) and j < len(second):
        a, b = first[i], second[j]
        if max(a.start_us, b.start_us) < min(a.end_us, b.end_us):
            yield a, b
        if a.end_us <= b.end_us:
            i += 1
        else:
            j += 1


class _Pair:
    """Two nodes' progress at every moment at which one of them changes its pace."""

    def __init__(self, first: _Progress, second: _Progress) -> None:
        self.first, self.second = first, second
        self.times = sorted({*first.times, *second.times})
        self.first_at = first.over(self.times)
        self.second_at = second.over(self.times)

    def lag(self, start: int, end: int, weights: tuple[int, int]) -> Fraction:
        """Return by how much the difference of their progress moves in this time."""
        common = lcm(*weights)
        a, b = common // weights[0], common // weights[1]
        low, high = bisect_right(self.times, start), bisect_right(self.times, end)
        inside = zip(self.first_at[low:high], self.second_at[low:high], strict=True)
        gaps = [x * a - y * b for x, y in inside]
        for time in (start, end):
            gaps.append(self.first.at(time) * a - self.second.at(time) * b)
        return Fraction((max(gaps) - min(gaps)) * WEIGHT_ONE, common)
