"""What can be asked for on the command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.live import catalogue
from benchmarks.live.scenarios import Sizes, scenarios
from benchmarks.live.throughput_run import Counts

THROUGHPUT: Final = "throughput"
#: What `--quick` runs; the other scenarios can be asked for by name.
QUICK: Final = (
    "cost-skew-100x",
    "weights-x-cost",
    "victim-2",
    THROUGHPUT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run of the benchmark."""

    sizes: Sizes
    counts: Counts
    #: Jobs of a trickle that runs alone.
    solo_jobs: int
    #: Rounds of the throughput comparison.
    rounds: int
    slots: int
    #: Names of queues; empty means all.
    only: Sequence[str]
    #: Names of scenarios, in the order of the table.
    chosen: Sequence[str]
    private: bool
    publish: bool
    quick: bool


def parse(words: Sequence[str] | None = None) -> Options:
    """Return the options; exits with a message for bad ones."""
    given = _parser().parse_args(words)
    sizes = _sizes(given.window, quick=given.quick)
    known = [one.name for one in scenarios(sizes, slots=given.slots)] + [THROUGHPUT]
    wanted = _names(given.scenario) or (QUICK if given.quick else known)
    _refuse_unknown("scenario", wanted, known)
    only = _names(given.only)
    _refuse_unknown("queue", only, catalogue.NAMES)
    return Options(
        sizes=sizes,
        counts=_counts(quick=given.quick),
        solo_jobs=20 if given.quick else 100,
        rounds=given.rounds or (1 if given.quick else 3),
        slots=given.slots,
        only=only,
        chosen=[name for name in known if name in wanted],
        private=given.private,
        publish=given.publish,
        quick=given.quick,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.live",
        description="Run this product and its peers side by side on this machine.",
    )
    parser.add_argument(
        "--window", type=float, metavar="S", help="seconds of a scenario (120)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes in all, to try it"
    )
    parser.add_argument(
        "--only", default="", metavar="NAMES", help="queues, such as ours,celery"
    )
    parser.add_argument(
        "--scenario", default="", metavar="NAMES", help="scenarios, and throughput"
    )
    parser.add_argument("--slots", type=int, default=2, metavar="N", help="(2)")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of the throughput (3)"
    )
    parser.add_argument(
        "--private", action="store_true", help="start servers even if some are running"
    )
    parser.add_argument(
        "--publish", action="store_true", help="replace the published result and plot"
    )
    return parser


def _sizes(window: float | None, *, quick: bool) -> Sizes:
    if quick:
        return Sizes(
            window=window or 5.0, victim_jobs=30, victim_tenants=100, many_tenants=500
        )
    return Sizes(
        window=window or 120.0,
        victim_jobs=100,
        victim_tenants=1_000,
        many_tenants=10_000,
    )


def _counts(*, quick: bool) -> Counts:
    if quick:
        return Counts(one_by_one=200, backlog=1_000, drain_limit=15.0)
    return Counts(one_by_one=2_000, backlog=10_000, drain_limit=90.0)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _refuse_unknown(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        listed = ", ".join(known)
        raise SystemExit(f"unknown {what} {', '.join(unknown)}; there are: {listed}")
