"""Arrivals and costs for simulated pools, drawn from a seeded random.Random.

Times and costs are whole microseconds; every function that draws takes the generator,
so that a seed gives one workload.
"""

from collections.abc import Callable, Iterator
from itertools import repeat
from random import Random

from fairshare.simulation import Arrival

__all__ = [
    "SECOND_US",
    "Costs",
    "constant",
    "endless",
    "flood",
    "fork",
    "heavy_tailed",
    "on_off",
    "poisson",
    "uniform",
]

SECOND_US = 1_000_000

#: Draws one cost, at least a microsecond.
Costs = Callable[[Random], int]


def constant(seconds: float) -> Costs:
    """Return a cost that is always the same."""
    cost_us = _us(seconds)
    return lambda _: cost_us


def uniform(low: float, high: float) -> Costs:
    """Return costs spread evenly between two numbers of seconds."""
    low_us, high_us = _us(low), _us(high)
    return lambda random: random.randint(low_us, high_us)


def heavy_tailed(median: float, longest: float, *, sigma: float = 1.0) -> Costs:
    """Return log-normal costs with this median, cut off at the longest, in seconds."""
    median_us, longest_us = _us(median), _us(longest)
    return lambda random: max(
        1, min(longest_us, round(median_us * random.lognormvariate(0, sigma)))
    )


def endless(random: Random, costs: Costs) -> Iterator[int]:
    """Return costs for a backlog that never ends.

    They come from a generator of their own: how fast a policy uses them up changes
    nothing that is drawn elsewhere.
    """
    own = fork(random)
    return (costs(own) for _ in repeat(None))


def fork(random: Random) -> Random:
    """Return a generator of its own, seeded by the given one."""
    return Random(random.getrandbits(64))  # noqa: S311 - no secrets here


def flood(
    random: Random, costs: Costs, *, jobs: int, at: float = 0, kind: str = "job"
) -> list[Arrival]:
    """Return so many jobs that come all at once."""
    at_us = _us(at)
    return [Arrival(at_us, costs(random), kind) for _ in repeat(None, jobs)]


def poisson(
    random: Random, costs: Costs, *, rate: float, start: float, end: float
) -> list[Arrival]:
    """Return jobs that come independently, `rate` of them a second on average."""
    arrivals = []
    at = start + random.expovariate(rate)
    while at < end:
        arrivals.append(Arrival(_us(at), costs(random)))
        at += random.expovariate(rate)
    return arrivals


def on_off(
    random: Random,
    costs: Costs,
    *,
    rate: float,
    on: float,
    off: float,
    end: float,
) -> list[Arrival]:
    """Return jobs that come in bursts.

    `on` is the length of a burst in seconds, `rate` its arrivals a second; the pauses
    between bursts last `off` on average and are exponential.
    """
    arrivals: list[Arrival] = []
    at = random.expovariate(1 / off)
    while at < end:
        stop = min(end, at + on)
        arrivals += poisson(random, costs, rate=rate, start=at, end=stop)
        at += on + random.expovariate(1 / off)
    return arrivals


def _us(seconds: float) -> int:
    return round(seconds * SECOND_US)
