"""Compare policies on the named scenarios, and try to break the bound by random ones.

Everything is simulated and seeded: the same numbers on any machine.

    python -m benchmarks.simulated [--seeds 400] [--scenario NAME] [--json FILE]

Exits with 1 if a random workload comes too near to the bound or leaves a slot idle.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import count
from math import isfinite
from pathlib import Path
from random import Random
from typing import Final

from fairshare.branch import WEIGHT_ONE
from fairshare.lag import lags
from fairshare.measures import percentile, shares
from fairshare.scenarios import POLICIES, SCENARIOS, run_scenario
from fairshare.simulation import Simulation
from fairshare.stress import run_duel, run_stress

#: Observed lag as a part of the bound from which a run is taken for a regression.
ALARM: Final = 0.8
_DUEL_SEEDS: Final = 10
_SECOND_US: Final = 1_000_000

Table = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class StressSummary:
    """What many random workloads did, `worst` being lag divided by bound.

    Those with one slot are apart, since the bound is tight there.
    """

    workloads: int
    worst_max: float
    worst_p99: float
    worst_p50: float
    worst_seed: int
    one_slot_workloads: int
    one_slot_max: float
    idle_s: float
    attempts: int

    @property
    def passed(self) -> bool:
        """Return whether every run kept well within the bound, with no slot idle."""
        return self.worst_max < ALARM and self.one_slot_max < 1 and not self.idle_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=400, help="with several slots")
    parser.add_argument("--seed", type=int, default=1, help="of the scenarios")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    parser.add_argument(
        "--scenario", choices=SCENARIOS, action="append", help="only this one"
    )
    options = parser.parse_args(arguments)
    table = compare(options.seed, options.scenario or list(SCENARIOS))
    print("\n".join(scenario_lines(table)))
    print("\n".join(bound_lines(options.seed)), flush=True)
    summary = stress(options.seeds)
    print("\n".join(stress_lines(summary)))
    tightest = duels(_DUEL_SEEDS)
    print("\n".join(duel_lines(tightest)))
    if options.json is not None:
        document = {"scenarios": table, "stress": asdict(summary), "duels": tightest}
        options.json.write_text(json.dumps(_finite(document), indent=1) + "\n")
    return 0 if summary.passed else 1


def _finite(value: object) -> object:
    """Return the value with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


# The scenarios


def compare(seed: int, names: Sequence[str]) -> Table:
    """Run the scenarios under every policy; return what was measured in each."""
    table: Table = {}
    for name in names:
        columns = table[name] = {}
        for policy in POLICIES:
            random = Random(seed)
            _, columns[policy] = run_scenario(name, policy, random)
    return table


def scenario_lines(table: Table) -> Iterator[str]:
    """Lay the table out in Markdown, a line for each measure."""
    header = ["scenario", "measure", "ideal", *POLICIES]
    yield "Scenarios, 8 slots, one seed"
    yield ""
    yield _row(header)
    yield "|---|---|---|" + "---:|" * len(POLICIES)
    for name, columns in table.items():
        ideal = SCENARIOS[name](Random(0)).ideal
        for measure in _measures(columns):
            cells = [_cell(columns[policy].get(measure)) for policy in POLICIES]
            yield _row([name, measure, ideal.get(measure, ""), *cells])


def _measures(columns: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the measures in the order in which they appear, each once."""
    return list(dict.fromkeys(name for column in columns.values() for name in column))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: float | None) -> str:
    """Lay a number out with three digits that matter.

    >>> _cell(0.49812), _cell(97.8), _cell(1840.5), _cell(float("inf")), _cell(None)
    ('0.498', '97.8', '1840', 'never', '')
    """
    if value is None:
        return ""
    if value == float("inf"):
        return "never"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 3}f}"


# The bound


def bound_lines(seed: int) -> Iterator[str]:
    """Work the bound out for one scenario, term by term."""
    scenario = SCENARIOS["cost-skew-100x"](Random(seed))
    policy = scenario.fair_share()
    trace = Simulation(scenario.setup, policy).run()
    holds_us = policy.estimates.largest_us
    (lag,) = lags(trace, holds_us)
    bound, window_us = lag.bound, trace.until_us
    yield ""
    yield "The bound, worked out for cost-skew-100x under fair share"
    yield ""
    yield f"- N + D = {trace.slots} slots + {trace.lookahead} published ahead"
    yield f"- delta = {_seconds(trace.delta_us)} s between refreshes"
    for name, node in trace.tenants.items():
        reach_us = max(node.longest_us, holds_us[name]) + trace.delta_us
        yield (
            f"- {name}: weight {node.weight / WEIGHT_ONE:g}, longest attempt "
            f"C = {_seconds(node.longest_us)} s, "
            f"largest hold {_seconds(holds_us[name])} s: "
            f"(max(C, hold) + delta) / w = {_seconds(reach_us)} s"
        )
    yield f"- K = {_seconds(bound.critical_us)} s, the larger of them"
    yield (
        f"- lag at most 2 * (N + D) * K = {_seconds(bound.us)} s; "
        f"seen {_seconds(lag.us)} s"
    )
    error = bound.us / trace.slots / window_us
    got = " and ".join(f"{share:.4f}" for share in shares(trace).values())
    yield (
        f"- each one's share of {_seconds(window_us)} s: 1/2 within "
        f"{float(error):.4f}; seen {got}"
    )


def _seconds(time_us: Fraction | int) -> str:
    return f"{float(time_us) / _SECOND_US:.4g}"


# Random workloads


def stress(seeds: int) -> StressSummary:
    """Run random workloads, from seed 0 until so many of several slots had a lag.

    A workload in which no two siblings are ever eligible together has none.
    """
    found: list[tuple[float, int]] = []
    one_slot: list[float] = []
    idle_us = attempts = 0
    for seed in count():
        result = run_stress(Random(seed))
        idle_us += result.idle_us
        attempts += result.starts
        if result.worst is None:
            continue
        if result.setup.slots == 1:
            one_slot.append(result.worst.ratio)
        else:
            found.append((result.worst.ratio, seed))
        if len(found) == seeds:
            break
    ratios = [ratio for ratio, _ in found]
    return StressSummary(
        workloads=len(found),
        worst_max=max(ratios),
        worst_p99=percentile(ratios, 99),
        worst_p50=percentile(ratios, 50),
        worst_seed=max(found)[1],
        one_slot_workloads=len(one_slot),
        one_slot_max=max(one_slot, default=0),
        idle_s=idle_us / _SECOND_US,
        attempts=attempts,
    )


def stress_lines(summary: StressSummary) -> Iterator[str]:
    """Say what the random workloads did to the bound."""
    yield ""
    yield (
        f"Random workloads, {summary.workloads} with several slots and "
        f"{summary.one_slot_workloads} with one, {summary.attempts} attempts"
    )
    yield ""
    yield (
        f"- several slots, largest lag / bound: max {summary.worst_max:.3f} "
        f"(seed {summary.worst_seed}), p99 {summary.worst_p99:.3f}, "
        f"median {summary.worst_p50:.3f}; must stay below {ALARM}"
    )
    yield (
        f"- one slot, where the bound is tight: max {summary.one_slot_max:.3f}; "
        "must stay below 1"
    )
    yield f"- idle while a job could start: {summary.idle_s:g} worker-s; must be 0"
    yield f"- {'passed' if summary.passed else 'FAILED'}"


# How tight the bound is


def duels(seeds: int) -> dict[str, dict[int, float]]:
    """Return the largest lag / bound of many duels, by estimates and slots."""
    return {
        mode: {
            slots: max(
                run_duel(Random(seed), slots=slots, mode=mode).ratio
                for seed in range(seeds)
            )
            for slots in (1, 2, 4, 8)
        }
        for mode in ("zero", "ewma", "oracle")
    }


def duel_lines(found: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    """Say how near to the bound a duel can come."""
    slots = list(found["zero"])
    yield ""
    yield "Largest lag / bound of two tenants whose attempts end nearly together"
    yield ""
    yield _row(["estimates", *(f"{number} slots" for number in slots)])
    yield "|---|" + "---:|" * len(slots)
    for mode, ratios in found.items():
        yield _row([mode, *(_cell(ratios[number]) for number in slots)])


if __name__ == "__main__":
    sys.exit(main())
