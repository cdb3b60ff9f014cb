"""The scenarios as data: who sends what, what changes, and what would be ideal.

Moments are parts of the window, 0 to 1; the window begins when the first floods have
been sent. A flood holds `depth` times the work that the tenant's ideal share could do
in the window, so a fair queue never runs out of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

#: Every queue here can do it.
FAIR: Final = frozenset[str]()
#: Light tenants among very many.
VICTIMS: Final = 20
#: What a scenario may need of a queue beyond taking and running jobs.
WEIGHTS, REWEIGHTING, CAPS = "weights", "live weights", "caps per tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant, as it stands when the scenario begins."""

    name: str
    weight: float = 1.0
    #: Most jobs at work at once.
    cap: int | None = None
    #: Names under which it sends, to get more than its share.
    aliases: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """Jobs sent as fast as the queue takes them."""

    tenants: tuple[str, ...]
    seconds: float
    #: The part of the worker time that these tenants should get together.
    ideal: float
    steps: int = 1
    at: float = 0.0
    depth: float = 1.3
    #: Fixed number of jobs for each tenant, instead of one found from the window.
    count: int | None = None

    def jobs_each(self, *, window: float, slots: int) -> int:
        """Return how many jobs each of the tenants sends."""
        if self.count is not None:
            return self.count
        work = self.depth * self.ideal * slots * window
        return max(1, ceil(work / self.seconds / len(self.tenants)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickle:
    """Jobs sent one by one at an even pace; their waits are measured."""

    tenants: tuple[str, ...]
    seconds: float
    every: float
    #: Number of jobs; None means as many as fit into the window.
    count: int | None = None

    def jobs(self, *, window: float) -> int:
        """Return how many jobs are sent, in turn for the tenants."""
        return self.count or max(1, int(window / self.every))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one tenant while its backlog stands."""

    tenant: str
    at: float
    weight: float | None = None
    #: Most jobs at work at once; 0 lifts the cap.
    cap: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the window in which shares are measured, with the ideal ones."""

    name: str
    lo: float
    hi: float
    weights: Mapping[str, float]

    @property
    def ideal(self) -> dict[str, float]:
        """Return the share that each tenant should have."""
        whole = sum(self.weights.values())
        return {name: weight / whole for name, weight in self.weights.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario, ready to be run on any queue."""

    name: str
    #: One line for the reader of the table.
    what: str
    tenants: tuple[Tenant, ...]
    floods: tuple[Flood, ...]
    trickle: Trickle | None = None
    #: Send the trickle alone first, to have waits to compare with.
    solo: bool = False
    changes: tuple[Change, ...] = ()
    parts: tuple[Part, ...] = ()
    needs: frozenset[str] = FAIR
    #: Length of the window in seconds, where the scenario fixes it.
    window: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What `--quick` makes smaller."""

    #: Seconds.
    window: float
    victim_jobs: int
    victim_tenants: int
    many_tenants: int


def scenarios(sizes: Sizes, *, slots: int) -> list[Scenario]:
    """Return every scenario of fairness, in the order of the table."""
    return [
        _noisy_flood(),
        _cost_skew(),
        _weights(),
        _live_reweight(),
        _sybil(),
        _long_hog(),
        _idle_return(),
        _wind_up(),
        _with_jobs(_victim(), sizes.victim_jobs),
        _with_jobs(_victims(sizes, slots=slots), sizes.victim_jobs),
        _many_tenants(sizes),
    ]


def _noisy_flood() -> Scenario:
    return Scenario(
        name="noisy-flood",
        what="a floods with 100 ms jobs; b sends one of 50 ms twice a second",
        tenants=(Tenant(name="a"), Tenant(name="b")),
        floods=(Flood(tenants=("a",), seconds=0.1, ideal=1.0),),
        trickle=Trickle(tenants=("b",), seconds=0.05, every=0.5),
        solo=True,
    )


def _cost_skew() -> Scenario:
    return Scenario(
        name="cost-skew-100x",
        what="a floods with jobs of 1 s, b with jobs of 10 ms",
        tenants=(Tenant(name="a"), Tenant(name="b")),
        floods=(
            # Enough for a queue that gives it nearly everything.
            Flood(tenants=("a",), seconds=1.0, ideal=0.5, depth=2.2),
            Flood(tenants=("b",), seconds=0.01, ideal=0.5),
        ),
        parts=(Part(name="share", lo=0, hi=1, weights={"a": 1, "b": 1}),),
    )


def _weights() -> Scenario:
    weights = {"a": 1.0, "b": 2.0, "c": 4.0}
    return Scenario(
        name="weights-x-cost",
        what="weights 1:2:4 with jobs of 400, 200 and 50 ms",
        tenants=tuple(Tenant(name=name, weight=w) for name, w in weights.items()),
        floods=(
            # Enough for a queue that starts as many jobs of each.
            Flood(tenants=("a",), seconds=0.4, ideal=1 / 7, depth=5),
            Flood(tenants=("b",), seconds=0.2, ideal=2 / 7, depth=1.6),
            Flood(tenants=("c",), seconds=0.05, ideal=4 / 7),
        ),
        parts=(Part(name="share", lo=0, hi=1, weights=weights),),
    )


def _live_reweight() -> Scenario:
    return Scenario(
        name="live-reweight",
        what="b's weight goes from 1 to 4 half-way, on the backlog that stands",
        tenants=(Tenant(name="a"), Tenant(name="b")),
        floods=(
            Flood(tenants=("a",), seconds=0.1, ideal=0.5),
            Flood(tenants=("b",), seconds=0.1, ideal=0.65),
        ),
        changes=(Change(tenant="b", at=0.5, weight=4.0),),
        parts=(
            Part(name="before", lo=0, hi=0.5, weights={"a": 1, "b": 1}),
            Part(name="after", lo=0.5, hi=1, weights={"a": 1, "b": 4}),
        ),
        needs=frozenset({REWEIGHTING}),
    )


def _sybil() -> Scenario:
    return Scenario(
        name="sybil-10",
        what="x sends under ten names, y under one; both flood with 50 ms jobs",
        tenants=(Tenant(name="x", aliases=10), Tenant(name="y")),
        floods=(
            Flood(tenants=("x",), seconds=0.05, ideal=0.9),
            Flood(tenants=("y",), seconds=0.05, ideal=0.5),
        ),
        parts=(Part(name="share", lo=0, hi=1, weights={"x": 1, "y": 1}),),
    )


def _long_hog() -> Scenario:
    return Scenario(
        name="long-hog",
        what="a floods with jobs of 10 s in steps of 50 ms; b sends 50 ms each second",
        tenants=(Tenant(name="a"), Tenant(name="b")),
        floods=(Flood(tenants=("a",), seconds=10.0, steps=200, ideal=1.0, depth=3),),
        trickle=Trickle(tenants=("b",), seconds=0.05, every=1.0),
        solo=True,
    )


def _idle_return() -> Scenario:
    return Scenario(
        name="idle-return",
        what="b sends a little, idles for half of the window, then floods",
        tenants=(Tenant(name="a"), Tenant(name="b")),
        floods=(
            Flood(tenants=("a",), seconds=0.1, ideal=0.8),
            Flood(tenants=("b",), seconds=0.1, ideal=0, count=10),
            Flood(tenants=("b",), seconds=0.1, ideal=0.25, depth=1.6, at=0.5),
        ),
        parts=(Part(name="after", lo=0.5, hi=1, weights={"a": 1, "b": 1}),),
    )


def _wind_up() -> Scenario:
    weights = {"a": 4.0, "b": 1.0}
    return Scenario(
        name="wind-up",
        what="a (weight 4) may use one slot of two; half-way the cap is lifted",
        tenants=(Tenant(name="a", weight=4.0, cap=1), Tenant(name="b")),
        floods=(
            Flood(tenants=("a",), seconds=0.1, ideal=0.75),
            Flood(tenants=("b",), seconds=0.1, ideal=0.5),
        ),
        changes=(Change(tenant="a", at=0.5, cap=0),),
        parts=(
            Part(name="capped", lo=0, hi=0.5, weights={"a": 1, "b": 1}),
            Part(name="after", lo=0.5, hi=1, weights=weights),
        ),
        needs=frozenset({WEIGHTS, CAPS}),
    )


def _victim() -> Scenario:
    """Return the test of one victim, which asks for little of its half."""
    every = 0.1
    return Scenario(
        name="victim-2",
        what="the victim sends 5 ms every 0.1 s, one other floods with 5 ms jobs",
        tenants=(Tenant(name="victim"), Tenant(name="a")),
        floods=(Flood(tenants=("a",), seconds=0.005, ideal=1.0, depth=1.0),),
        trickle=Trickle(tenants=("victim",), seconds=0.005, every=every),
        solo=True,
    )


def _victims(sizes: Sizes, *, slots: int) -> Scenario:
    """Return the test of some victims among very many tenants.

    Each asks for an eighth of its fair share of all the slots' time, so that a queue
    which uses a quarter of that time still owes each twice of what it asks for. There
    are several of them because one would send too seldom to have a percentile.
    """
    count, seconds = sizes.victim_tenants, 0.005
    victims = tuple(f"v{index:02}" for index in range(VICTIMS))
    others = tuple(f"n{index:04}" for index in range(count - VICTIMS))
    period = 8 * count * seconds / slots
    return Scenario(
        name="victim-many",
        what=f"{VICTIMS} of {count:,} tenants send 5 ms every {period:g} s each, "
        "the others flood with 5 ms jobs",
        tenants=tuple(Tenant(name=name) for name in (*victims, *others)),
        floods=(Flood(tenants=others, seconds=seconds, ideal=1.0, depth=1.0),),
        trickle=Trickle(tenants=victims, seconds=seconds, every=period / VICTIMS),
        solo=True,
    )


def _many_tenants(sizes: Sizes) -> Scenario:
    count = sizes.many_tenants
    singles = tuple(f"s{index:05}" for index in range(count - 1))
    return Scenario(
        name="many-tenants",
        what=f"one floods with 100 ms jobs; {count - 1:,} send a single 5 ms job each",
        tenants=(Tenant(name="flood"), *(Tenant(name=name) for name in singles)),
        floods=(Flood(tenants=("flood",), seconds=0.1, ideal=1.0),),
        trickle=Trickle(
            tenants=singles,
            seconds=0.005,
            every=sizes.window / len(singles),
            count=len(singles),
        ),
    )


def aliases(tenant: Tenant) -> list[str]:
    """Return the names under which a tenant sends."""
    if tenant.aliases == 1:
        return [tenant.name]
    return [f"{tenant.name}{index}" for index in range(tenant.aliases)]


def _with_jobs(scenario: Scenario, jobs: int) -> Scenario:
    """Return the scenario with a window that is as long as its trickle of `jobs`."""
    assert scenario.trickle is not None  # noqa: S101 # ours, a few lines above
    return replace(scenario, window=jobs * scenario.trickle.every)


def with_window(scenario: Scenario, seconds: float) -> Scenario:
    """Return the scenario with its window fixed, unless it has its own."""
    return scenario if scenario.window else replace(scenario, window=seconds)
