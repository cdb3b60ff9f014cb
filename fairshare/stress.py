"""Random workloads that try to break the bound.

Idea
    A seed gives a pool, tiers, tenants, costs over several orders of magnitude, ways
    to arrive, caps, changes on the way, and a way to estimate, some of them absurd.
    Whatever comes, no pair of siblings may lag by more than the bound, and no slot
    may be idle while a job could start.

Limits
    Not a proof: a search, and only as good as what it draws.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from fairshare.lag import PairLag, lags
from fairshare.policies import ESTIMATES, Estimates, FairShare
from fairshare.scheduler import Rate
from fairshare.simulation import (
    Change,
    Setup,
    Simulation,
    Standing,
    Stream,
    TenantConfig,
    TierConfig,
)
from fairshare.workloads import (
    SECOND_US,
    Costs,
    constant,
    endless,
    flood,
    heavy_tailed,
    on_off,
    poisson,
    uniform,
)

__all__ = ["StressResult", "random_setup", "run_duel", "run_stress"]

#: About how many attempts a run has.
_ATTEMPTS = 3000


@dataclass(frozen=True, slots=True)
class StressResult:
    """What one random workload did to our scheduler."""

    estimates: str
    setup: Setup
    #: Of every two siblings that were ever eligible together.
    lags: list[PairLag]
    idle_us: int
    starts: int

    @property
    def worst(self) -> PairLag | None:
        """Return the pair that came nearest to its bound."""
        return max(self.lags, key=lambda lag: lag.ratio, default=None)


def run_stress(random: Random) -> StressResult:
    """Draw a workload, run it under our scheduler, and measure every pair."""
    mode = random.choice(sorted(ESTIMATES))
    setup, longest_us = random_setup(random)
    estimates = Estimates(mode, longest_us=longest_us)
    policy = FairShare(estimates, delta_us=setup.delta_us)
    trace = Simulation(setup, policy).run()
    found = lags(trace, estimates.largest_us)
    return StressResult(mode, setup, found, trace.idle_us, trace.starts)


def run_duel(random: Random, *, slots: int, mode: str) -> PairLag:
    """Drive two tenants as near to the bound as we know how; return their lag.

    Costs are all but equal, so that the slots become free nearly at once; with
    estimates of zero, whoever is behind by a hair takes them all.
    """
    costs, delta_us = uniform(0.999, 1.001), SECOND_US // 50
    setup = Setup(
        slots=slots,
        until_us=200 * SECOND_US,
        delta_us=delta_us,
        tenants=[TenantConfig(tenant=name) for name in "ab"],
        loads=[Standing(name, endless(random, costs)) for name in "ab"],
    )
    estimates = Estimates(mode, longest_us=SECOND_US)
    trace = Simulation(setup, FairShare(estimates, delta_us=delta_us)).run()
    (lag,) = lags(trace, estimates.largest_us)
    return lag


def random_setup(random: Random) -> tuple[Setup, int]:
    """Draw a setup; return it with the most that a job of it may cost."""
    slots = random.choice([1, 2, 3, 4, 8, 8, 16])
    tiers = _tiers(random)
    tenants = _tenants(random, tiers)
    costs = {config.tenant: _costs(random) for config in tenants}
    means = [mean for _, mean, _ in costs.values()]
    # Attempts a second, were everybody served alike all the time.
    pace = sum(slots / len(means) / mean for mean in means)
    seconds = max(_ATTEMPTS / pace, 100 * max(means) / slots)
    loads = []
    for config in tenants:
        drawn, mean, _ = costs[config.tenant]
        # On average, so many times what it would need to keep all slots busy.
        pressure = random.uniform(0.2, 3) * slots / mean / len(tenants)
        loads.append(_load(random, config.tenant, drawn, pressure, seconds))
    setup = Setup(
        slots=slots,
        until_us=round(seconds * SECOND_US),
        tiers=tiers,
        tenants=tenants,
        loads=loads,
        changes=list(_changes(random, tenants, seconds)),
        lookahead=random.choice([0, 0, 0, 1, slots]),
        quantum_us=random.choice([None, None, round(max(means) / 2 * SECOND_US)]),
        delta_us=round(random.choice([1, 0.25, max(means) / 50]) * SECOND_US),
    )
    return setup, max(round(longest * SECOND_US) for _, _, longest in costs.values())


def _tiers(random: Random) -> list[TierConfig]:
    return [
        TierConfig(tier=f"tier{number}", weight=_weight(random))
        for number in range(random.choice([1, 1, 2, 3]))
    ]


def _tenants(random: Random, tiers: list[TierConfig]) -> list[TenantConfig]:
    return [
        TenantConfig(
            tenant=f"t{number}",
            weight=_weight(random),
            tier=random.choice(tiers).tier,
            cap=random.choice([None, None, None, 1, 2, 5]),
            elastic_cap=random.choice([None, None, None, None, 1, 3]),
            rate=None if random.random() < 0.9 else Rate(random.randint(100, 5000), 3),
        )
        for number in range(random.choice([2, 2, 3, 5, 8]))
    ]


def _weight(random: Random) -> int:
    """A weight from 1/4 to 16, in thousandths, mostly a round one."""
    if random.random() < 0.7:
        return random.choice([1000, 1000, 2000, 4000, 8000])
    return round(250 * math.pow(64, random.random()))


def _costs(random: Random) -> tuple[Costs, float, float]:
    """Costs, about their mean, and the most they can be, in seconds."""
    mean = 0.01 * math.pow(1000, random.random())
    kind = random.randrange(3)
    if kind == 0:
        return constant(mean), mean, mean
    if kind == 1:
        return uniform(mean * 0.1, mean * 1.9), mean, mean * 1.9
    return heavy_tailed(mean * 0.6, mean * 20), mean, mean * 20


def _load(
    random: Random, tenant: str, costs: Costs, rate: float, seconds: float
) -> Standing | Stream:
    kind = random.choice([0, 0, 1, 1, 2, 3])
    if kind == 0:
        since_us = round(random.choice([0, 0, seconds / 4]) * SECOND_US)
        return Standing(tenant, endless(random, costs), since_us=since_us)
    if kind == 1:
        jobs = min(_ATTEMPTS, max(1, round(rate * seconds * random.random())))
        at = random.choice([0, 0, seconds / 3])
        return Stream(tenant, flood(random, costs, jobs=jobs, at=at))
    rate = min(rate, _ATTEMPTS / seconds)
    if kind == 2:
        return Stream(tenant, poisson(random, costs, rate=rate, start=0, end=seconds))
    on, off = seconds / 40, seconds / 20
    bursts = on_off(random, costs, rate=rate * 3, on=on, off=off, end=seconds)
    return Stream(tenant, bursts)


def _changes(
    random: Random, tenants: list[TenantConfig], seconds: float
) -> Iterator[Change]:
    """A few changes of weights and caps, and a pause with its end."""
    for config in tenants:
        if random.random() < 0.3:
            at_us = round(random.uniform(0.1, 0.9) * seconds * SECOND_US)
            yield Change(at_us, replace(config, weight=_weight(random)))
        elif random.random() < 0.2:
            at_us = round(random.uniform(0.1, 0.5) * seconds * SECOND_US)
            yield Change(at_us, replace(config, paused=True))
            yield Change(at_us + round(seconds * SECOND_US / 4), config)
