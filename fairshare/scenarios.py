"""The named workloads on which policies are compared, and what to look at in each.

A scenario is a function of a seeded random.Random. What it returns holds the setup,
the measures, and what an ideal policy would reach. All run on eight slots.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from random import Random

from fairshare.lag import lags
from fairshare.measures import (
    attained_us,
    jain,
    percentile,
    responses,
    shares,
    waits,
)
from fairshare.policies import Capped, CountFair, FairShare, Fifo, RandomPick
from fairshare.simulation import (
    Arrival,
    Change,
    Policy,
    Setup,
    Simulation,
    Standing,
    Stream,
    TenantConfig,
)
from fairshare.trace import Trace
from fairshare.workloads import (
    SECOND_US,
    constant,
    endless,
    flood,
    fork,
    on_off,
    poisson,
    uniform,
)

__all__ = ["POLICIES", "SCENARIOS", "Scenario", "run_scenario"]

SLOTS = 8

Measure = Callable[[Trace, Policy], dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A workload, what to measure, and what an ideal policy would reach."""

    setup: Setup
    measure: Measure
    ideal: Mapping[str, str]
    #: Makes our policy, where it is not the usual one.
    fair_share: Callable[[], FairShare] = FairShare


#: Every policy by name; the generator is for those that draw.
POLICIES: Mapping[str, Callable[[Random, Scenario], Policy]] = {
    "fifo": lambda _, __: Fifo(),
    "count-fair": lambda _, __: CountFair(),
    "random": lambda random, _: RandomPick(fork(random)),
    "cap 2 of 8": lambda _, __: Capped(SLOTS // 4),
    "fair share": lambda _, scenario: scenario.fair_share(),
}


def run_scenario(
    name: str, policy_name: str, random: Random
) -> tuple[Scenario, dict[str, float]]:
    """Run a scenario under a policy; return it with what was measured.

    Raises KeyError for an unknown name of either.
    """
    scenario = SCENARIOS[name](random)
    policy = POLICIES[policy_name](random, scenario)
    trace = Simulation(scenario.setup, policy).run()
    measured = scenario.measure(trace, policy)
    return scenario, {**measured, "idle s": trace.idle_us / SECOND_US}


# What is measured


def _tenants(**weights: int) -> list[TenantConfig]:
    return [TenantConfig(tenant=name, weight=w) for name, w in weights.items()]


def _sharing(trace: Trace, policy: Policy) -> dict[str, float]:
    """Shares, how even they are by weight, and the largest lag with its bound."""
    measured = {f"share {name}": share for name, share in shares(trace).items()}
    measured["Jain"] = jain(
        attained_us(node, 0, trace.until_us) / node.weight
        for node in trace.tenants.values()
    )
    holds_us = policy.estimates.largest_us if isinstance(policy, FairShare) else {}
    found = lags(trace, holds_us)
    if found:
        worst = max(found, key=lambda lag: lag.us)
        measured["lag s"] = float(worst.us) / SECOND_US
        measured["bound s"] = float(worst.bound.us) / SECOND_US
    return measured


def _window_name(tenant: str, start: int, end: int) -> str:
    return f"share {tenant} {start}-{end} s"


def _windows(
    trace: Trace, _: Policy, *, tenant: str, windows: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """One tenant's share in each window, which is given in seconds."""
    return {
        _window_name(tenant, start, end): shares(
            trace, start * SECOND_US, end * SECOND_US
        )[tenant]
        for start, end in windows
    }


def _waiting(
    trace: Trace, _: Policy, *, tenants: str | Sequence[str]
) -> dict[str, float]:
    """The waits of some tenants' jobs."""
    seen = waits(trace.of(tenants))
    return {
        f"wait {name} s": percentile(seen, percent)
        for name, percent in (("p50", 50), ("p99", 99), ("max", 100))
    }


def _alone(setup: Setup, tenant: str) -> list[float]:
    """Return one tenant's responses when it has the pool for itself."""
    alone = replace(
        setup,
        tenants=[config for config in setup.tenants if config.tenant == tenant],
        loads=[load for load in setup.loads if load.tenant == tenant],
        changes=(),
        lookahead=0,
    )
    return responses(Simulation(alone, Fifo()).run().jobs)


def _slowdown(shared: Sequence[float], alone: Sequence[float], percent: float) -> float:
    """Return how many times longer responses are than alone, at a percentile."""
    return percentile(shared, percent) / percentile(alone, percent)


# Scenarios


def noisy_flood(random: Random, *, lookahead: int = 0) -> Scenario:
    """One tenant floods; another sends a short job now and then."""
    victim = poisson(random, constant(0.5), rate=0.5, start=10, end=300)
    setup = Setup(
        slots=SLOTS,
        until_us=320 * SECOND_US,
        tenants=_tenants(a=1000, b=1000),
        loads=[
            Stream("a", flood(random, uniform(0.5, 1.5), jobs=4000)),
            Stream("b", victim),
        ],
        lookahead=lookahead,
    )

    def measure(trace: Trace, policy: Policy) -> dict[str, float]:
        shared, alone = responses(trace.of("b")), _alone(setup, "b")
        return {
            "b slowdown p50": _slowdown(shared, alone, 50),
            "b slowdown p99": _slowdown(shared, alone, 99),
            **_waiting(trace, policy, tenants="b"),
        }

    ideal = {"b slowdown p50": "<= 1.25", "b slowdown p99": "<= 2.0", "idle s": "0"}
    return Scenario(setup=setup, measure=measure, ideal=ideal)


def cost_skew_100x(random: Random) -> Scenario:
    """Two endless backlogs whose jobs differ a hundredfold in cost."""
    setup = Setup(
        slots=SLOTS,
        until_us=400 * SECOND_US,
        tenants=_tenants(a=1000, b=1000),
        loads=[
            Standing("a", endless(random, constant(10))),
            Standing("b", endless(random, constant(0.1))),
        ],
    )
    ideal = {"share a": ".500", "share b": ".500", "Jain": "1", "lag s": "<= bound"}
    return Scenario(setup=setup, measure=_sharing, ideal={**ideal, "idle s": "0"})


def _weighted(random: Random, means: Mapping[str, float]) -> Scenario:
    tenants = {"a": 1000, "b": 2000, "c": 4000}
    setup = Setup(
        slots=SLOTS,
        until_us=400 * SECOND_US,
        tenants=_tenants(**tenants),
        loads=[
            Standing(name, endless(random, uniform(means[name] / 2, means[name] * 1.5)))
            for name in tenants
        ],
    )
    ideal = {"share a": ".143", "share b": ".286", "share c": ".571", "Jain": "1"}
    return Scenario(
        setup=setup,
        measure=_sharing,
        ideal={**ideal, "lag s": "<= bound", "idle s": "0"},
    )


def weights_1_2_4(random: Random) -> Scenario:
    """Three endless backlogs of equal costs at weights 1, 2 and 4."""
    return _weighted(random, {"a": 1, "b": 1, "c": 1})


def weights_x_cost(random: Random) -> Scenario:
    """Weights 1, 2 and 4 with mean costs of 4, 2 and half a second."""
    return _weighted(random, {"a": 4, "b": 2, "c": 0.5})


def ten_thousand_tenants(random: Random) -> Scenario:
    """One tenant floods; 9,999 others send one job each within ten minutes."""
    cost = constant(0.2)
    others = [f"t{number}" for number in range(1, 10_000)]
    setup = Setup(
        slots=SLOTS,
        until_us=900 * SECOND_US,
        tenants=[TenantConfig(tenant=name) for name in ["t0", *others]],
        loads=[
            Stream("t0", flood(random, cost, jobs=20_000)),
            *(
                Stream(name, flood(random, cost, jobs=1, at=random.uniform(0, 600)))
                for name in others
            ),
        ],
    )
    return Scenario(
        setup=setup,
        measure=partial(_waiting, tenants=others),
        ideal={"wait p50 s": "~ .1", "wait p99 s": "<= .2", "idle s": "0"},
    )


def bursty(random: Random) -> Scenario:
    """Twenty tenants with bursts of two seconds, two of them heavy, at load 0.93."""
    light = [f"light{number}" for number in range(18)]
    heavy = ["heavy0", "heavy1"]
    end = 600

    def bursts(cost: float) -> list[Stream]:
        names = light if cost < 0.5 else heavy
        costs = uniform(cost / 2, cost * 1.5)
        return [
            Stream(n, on_off(random, costs, rate=22.5, on=2, off=18, end=end))
            for n in names
        ]

    setup = Setup(
        slots=SLOTS,
        until_us=(end + 200) * SECOND_US,
        tenants=[TenantConfig(tenant=name) for name in light + heavy],
        loads=[*bursts(0.1), *bursts(0.75)],
    )

    def measure(trace: Trace, _: Policy) -> dict[str, float]:
        shared = {name: responses(trace.of(name)) for name in light}
        alone = {name: _alone(setup, name) for name in light}
        together = list(chain(*shared.values())), list(chain(*alone.values()))
        return {
            "light slowdown p50": _slowdown(*together, 50),
            "light slowdown p99": _slowdown(*together, 99),
            "worst light p99": max(
                _slowdown(shared[name], alone[name], 99) for name in light
            ),
        }

    ideal = {"light slowdown p50": "1", "light slowdown p99": "1", "idle s": "0"}
    return Scenario(setup=setup, measure=measure, ideal=ideal)


def churn(random: Random) -> Scenario:
    """A resident floods; every five seconds a newcomer brings thirty jobs of 1 s."""
    joiners = {f"j{number:02}": 5.0 * number for number in range(1, 41)}
    setup = Setup(
        slots=SLOTS,
        until_us=220 * SECOND_US,
        tenants=[TenantConfig(tenant=name) for name in ["resident", *joiners]],
        loads=[
            Standing("resident", endless(random, uniform(0.5, 1.5))),
            *(
                Stream(name, flood(random, constant(1), jobs=30, at=at))
                for name, at in joiners.items()
            ),
        ],
    )

    def measure(trace: Trace, _: Policy) -> dict[str, float]:
        first = [min(waits(trace.of(name))) for name in joiners]
        return {
            "first wait p50 s": percentile(first, 50),
            "first wait max s": max(first),
        }

    ideal = {"first wait max s": "<= 1.5", "idle s": "0"}
    return Scenario(setup=setup, measure=measure, ideal=ideal)


def idle_return(random: Random) -> Scenario:
    """A tenant that was idle for ten minutes comes back with a flood."""
    costs = uniform(0.5, 1.5)
    setup = Setup(
        slots=SLOTS,
        until_us=700 * SECOND_US,
        tenants=_tenants(a=1000, b=1000),
        loads=[
            Standing("a", endless(random, costs)),
            Standing("b", endless(random, costs), since_us=600 * SECOND_US),
        ],
    )
    measure = partial(_windows, tenant="b", windows=[(600, 700)])
    ideal = {"share b 600-700 s": ".500", "idle s": "0"}
    return Scenario(setup=setup, measure=measure, ideal=ideal)


def wind_up(random: Random) -> Scenario:
    """A tenant is held to one slot for five minutes, then released."""
    costs = uniform(0.5, 1.5)
    setup = Setup(
        slots=SLOTS,
        until_us=360 * SECOND_US,
        tenants=[TenantConfig(tenant="a", cap=1), TenantConfig(tenant="b")],
        loads=[
            Standing("a", endless(random, costs)),
            Standing("b", endless(random, costs)),
        ],
        changes=[Change(300 * SECOND_US, TenantConfig(tenant="a"))],
    )
    measure = partial(_windows, tenant="a", windows=[(300, 360)])
    ideal = {"share a 300-360 s": ".500", "idle s": "0"}
    return Scenario(setup=setup, measure=measure, ideal=ideal)


def live_reweight(random: Random) -> Scenario:
    """A weight goes from 1 to 4 while both backlogs are standing."""
    costs = uniform(1.5, 2.5)
    setup = Setup(
        slots=SLOTS,
        until_us=180 * SECOND_US,
        tenants=_tenants(a=1000, b=1000),
        loads=[Stream(name, flood(random, costs, jobs=700)) for name in "ab"],
        changes=[Change(100 * SECOND_US, TenantConfig(tenant="b", weight=4000))],
    )
    windows = [(50, 100), (100, 110), (110, 180)]
    ideal = {
        _window_name("b", *window): share
        for window, share in zip(windows, (".500", ".800", ".800"), strict=True)
    }
    return Scenario(
        setup=setup,
        measure=partial(_windows, tenant="b", windows=windows),
        ideal={**ideal, "idle s": "0"},
    )


def sybil_10(random: Random, *, believed: bool = False) -> Scenario:
    """A tenant sends its jobs under ten keys, another under one.

    If `believed`, each key is taken for a tenant, as where the key comes from the
    producer.
    """
    costs = uniform(0.5, 1.5)
    keys = [f"x{number}" for number in range(10)]
    names = keys if believed else ["x"]
    owner = {key: key if believed else "x" for key in keys}
    setup = Setup(
        slots=SLOTS,
        until_us=300 * SECOND_US,
        tenants=[TenantConfig(tenant=name) for name in [*names, "y"]],
        loads=[
            *(Standing(owner[k], endless(random, costs), key=k) for k in keys),
            Standing("y", endless(random, costs)),
        ],
    )
    measure = partial(_windows, tenant="y", windows=[(0, 300)])
    ideal = {"share y 0-300 s": ".500", "idle s": "0"}
    return Scenario(setup=setup, measure=measure, ideal=ideal)


def liar(random: Random, *, refreshes: bool = True) -> Scenario:
    """Jobs that always took 0.1 s suddenly take 10 s, under the same kind."""

    history = [SECOND_US // 10] * 1000
    setup = Setup(
        slots=SLOTS,
        until_us=400 * SECOND_US,
        tenants=_tenants(a=1000, b=1000),
        loads=[
            Standing("a", chain(history, endless(random, constant(10)))),
            Standing("b", endless(random, uniform(0.5, 1.5))),
        ],
    )
    ideal = {"share a": ".500", "share b": ".500", "lag s": "<= bound", "idle s": "0"}
    return Scenario(
        setup=setup,
        measure=_sharing,
        ideal=ideal,
        fair_share=partial(FairShare, refreshes=refreshes),
    )


def long_hog(random: Random, *, quantum: float | None = None) -> Scenario:
    """Jobs of a minute on every slot; another tenant sends half a second each 3 s."""
    setup = Setup(
        slots=SLOTS,
        until_us=660 * SECOND_US,
        tenants=_tenants(a=1000, b=1000),
        loads=[
            Standing("a", endless(random, constant(60))),
            Stream(
                "b", [Arrival(3 * n * SECOND_US, SECOND_US // 2) for n in range(4, 200)]
            ),
        ],
        quantum_us=None if quantum is None else round(quantum * SECOND_US),
    )
    ideal = {"wait p50 s": "<= C / 8", "idle s": "0"}
    return Scenario(setup=setup, measure=partial(_waiting, tenants="b"), ideal=ideal)


SCENARIOS: Mapping[str, Callable[[Random], Scenario]] = {
    "noisy-flood": noisy_flood,
    "cost-skew-100x": cost_skew_100x,
    "weights-1:2:4": weights_1_2_4,
    "weights-x-cost": weights_x_cost,
    "10k-tenants": ten_thousand_tenants,
    "bursty": bursty,
    "churn": churn,
    "idle-return": idle_return,
    "wind-up": wind_up,
    "live-reweight": live_reweight,
    "sybil-10": sybil_10,
    "sybil-10 believed": partial(sybil_10, believed=True),
    "liar": liar,
    "liar unrefreshed": partial(liar, refreshes=False),
    "long-hog": long_hog,
    "long-hog chunked": partial(long_hog, quantum=2),
    "look-ahead 8": partial(noisy_flood, lookahead=8),
    "look-ahead 32": partial(noisy_flood, lookahead=32),
    "look-ahead 128": partial(noisy_flood, lookahead=128),
}
