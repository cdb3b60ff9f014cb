"""Measure how many decisions a second the scheduler makes, alone and on one thread.

A decision is one `pick`, with its hold, and one `settle`. The `offer` that keeps the
line full is timed apart from it. Nothing else is there: no ledger, no broker.

The workload: eight slots, always in use; four tiers; every tenant has two jobs waiting
in each of two classes, whenever one is looked for. Of eight tenants one has a cap of
one slot, and one a rate of half its part. Actual costs are between a fiftieth of the
estimate and twice the estimate.

    python -m benchmarks.scheduler_core [--rounds 300] [--decisions 500] [--json FILE]

Exits with 1 if a floor below is missed. Numbers depend on the machine; the time of one
step of a bare heap of as many floats, measured in between, says what it is worth.
"""

import argparse
import json
import sys
import tracemalloc
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter_ns
from typing import Final

from fairshare.scheduler import Dispatch, FairScheduler, Priority, Rate

#: The least decisions a second, by the number of tenants.
FLOORS: Final = {10: 150_000, 100_000: 50_000}
#: The most that a decision among the most tenants may cost beside one among the fewest.
CEILING: Final = 8.0

SIZES: Final = (10, 1_000, 100_000)
SLOTS: Final = 8
TIERS: Final = {"basic": 1000, "standard": 2000, "gold": 4000, "bulk": 500}
WEIGHTS: Final = (1000, 2000, 1500, 4000, 1237)
CLASSES: Final = (Priority.HIGH, Priority.NORMAL)
ESTIMATE_US: Final = 50_000
STEP_US: Final = 1_000  # of simulated time, from one decision to the next


@dataclass(slots=True)
class Measured:
    """What was measured among so many tenants: nanoseconds each, a round an entry."""

    tenants: int
    bytes_per_tenant: int
    decisions_ns: list[float] = field(default_factory=list)
    offers_ns: list[float] = field(default_factory=list)
    heap_ns: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Return the fastest round of each, and the middle one of the decisions."""
        decision_ns = min(self.decisions_ns)
        return {
            "tenants": self.tenants,
            "decisions_per_s": round(1e9 / decision_ns),
            "median_decisions_per_s": round(1e9 / median(self.decisions_ns)),
            "with_offers_per_s": round(1e9 / (decision_ns + min(self.offers_ns))),
            "decision_ns": round(decision_ns),
            "offer_ns": round(min(self.offers_ns)),
            "heap_ns": round(min(self.heap_ns)),
            "bytes_per_tenant": self.bytes_per_tenant,
        }


class Pool:
    """A scheduler that always has work of every tenant, and all of its slots in use."""

    def __init__(self, tenants: int) -> None:
        random = Random(tenants)
        self.costs_us = [random.randint(1_000, 2 * ESTIMATE_US) for _ in range(4096)]
        self.serial = self.now_us = 0
        tracemalloc.start()
        self.scheduler: FairScheduler[int] = FairScheduler()
        self._set_tenants(tenants)
        for _ in range(2):
            for number in range(len(CLASSES) * tenants):
                self._offer(f"t{number % tenants}", number // tenants)
        self.bytes_per_tenant = tracemalloc.get_traced_memory()[0] // tenants
        tracemalloc.stop()
        self.running: deque[Dispatch[int]] = deque()
        for _ in range(SLOTS):
            self.now_us += STEP_US
            dispatch = self.scheduler.pick(_estimate, now_us=self.now_us)
            self.running.append(self._picked(dispatch))
        self.heap = [random.random() for _ in range(tenants)]
        heapify(self.heap)

    def _set_tenants(self, tenants: int) -> None:
        for tier, weight in TIERS.items():
            self.scheduler.set_tier(tier, weight=weight)
        rate = Rate(1_000_000_000 // STEP_US // tenants // 2, burst=2)
        for number in range(tenants):
            self.scheduler.set_tenant(
                f"t{number}",
                weight=WEIGHTS[number % len(WEIGHTS)],
                tier=list(TIERS)[number % len(TIERS)],
                cap=1 if number % 8 == 1 else None,
                rate=rate if number % 8 == 3 else None,
            )

    def _offer(self, tenant: str, which: int) -> None:
        """Offer a new job; its number tells the class, as there is nothing else to."""
        self.serial += 1
        job = self.serial * len(CLASSES) + which
        self.scheduler.offer(tenant, job, order=self.serial, priority=CLASSES[which])

    def _picked(self, dispatch: Dispatch[int] | None) -> Dispatch[int]:
        """Return the dispatch, with a new job in the place of its own."""
        if dispatch is None:
            raise RuntimeError("no job is eligible, though most tenants have no limit")
        self._offer(dispatch.tenant, dispatch.job % len(CLASSES))
        return dispatch

    def decide(self, decisions: int) -> tuple[float, float]:
        """Return the nanoseconds of one decision and of one offer, on average."""
        deciding_ns = offering_ns = 0
        settle, pick = self.scheduler.settle, self.scheduler.pick
        for number in range(decisions):
            job = self.running.popleft().job
            cost_us = self.costs_us[number % len(self.costs_us)]
            self.now_us = now_us = self.now_us + STEP_US
            before_ns = perf_counter_ns()
            settle(job, cost_us)
            dispatch = pick(_estimate, now_us=now_us)
            between_ns = perf_counter_ns()
            self.running.append(self._picked(dispatch))
            offering_ns += perf_counter_ns() - between_ns
            deciding_ns += between_ns - before_ns
        return deciding_ns / decisions, offering_ns / decisions

    def step_heap(self, steps: int) -> float:
        """Return the nanoseconds of moving the first of as many floats back."""
        heap, costs_us = self.heap, self.costs_us
        before_ns = perf_counter_ns()
        for number in range(steps):
            heapreplace(heap, heap[0] + costs_us[number % len(costs_us)])
        return (perf_counter_ns() - before_ns) / steps


def _estimate(_tenant: str, _job: int) -> int:
    return ESTIMATE_US


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300, help="the fastest counts")
    parser.add_argument("--decisions", type=int, default=500, help="in each round")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args(arguments)
    found = [m.summary() for m in measure(options.rounds, options.decisions)]
    missed = list(misses(found))
    print("\n".join(lines(found)))
    print("\n".join(missed) or "- every floor is kept")
    if options.json is not None:
        document = {"sizes": found, "missed": missed, "python": sys.version}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if missed else 0


def measure(rounds: int, decisions: int) -> list[Measured]:
    """Measure all sizes, the smallest first, as nobody has several in one process."""
    return [_measure(tenants, rounds, decisions) for tenants in SIZES]


def _measure(tenants: int, rounds: int, decisions: int) -> Measured:
    pool = Pool(tenants)
    measured = Measured(tenants, pool.bytes_per_tenant)
    for _ in range(rounds):
        decision_ns, offer_ns = pool.decide(decisions)
        measured.decisions_ns.append(decision_ns)
        measured.offers_ns.append(offer_ns)
        measured.heap_ns.append(pool.step_heap(decisions))
    return measured


def lines(found: Sequence[dict[str, float]]) -> Iterator[str]:
    """Lay the numbers out in Markdown."""
    yield (
        "| tenants | decisions/s | median round | with offers/s | us a decision "
        "| heap step us | ratio | bytes a tenant |"
    )
    yield "|" + "---:|" * 8
    for row in found:
        cells = [
            *(f"{row[name]:,.0f}" for name in ("tenants", "decisions_per_s")),
            *(
                f"{row[f'{name}_per_s']:,.0f}"
                for name in ("median_decisions", "with_offers")
            ),
            *(f"{row[name] / 1000:.2f}" for name in ("decision_ns", "heap_ns")),
            f"{row['decision_ns'] / row['heap_ns']:.0f}",
            f"{row['bytes_per_tenant']:,.0f}",
        ]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield (
        f"- a decision among {SIZES[-1]:,} tenants costs {cost_ratio(found):.2f} times "
        f"one among {SIZES[0]}; at most {CEILING:g}"
    )


def cost_ratio(found: Sequence[dict[str, float]]) -> float:
    """Return what a decision costs among the most tenants beside the fewest."""
    return found[-1]["decision_ns"] / found[0]["decision_ns"]


def misses(found: Sequence[dict[str, float]]) -> Iterator[str]:
    """Say which floor is missed."""
    for row in found:
        floor = FLOORS.get(int(row["tenants"]), 0)
        if row["decisions_per_s"] < floor:
            tenants = f"{row['tenants']:,} tenants"
            yield f"- MISSED: fewer than {floor:,} decisions/s at {tenants}"
    if cost_ratio(found) > CEILING:
        yield f"- MISSED: the cost grows more than {CEILING:g} times"


if __name__ == "__main__":
    sys.exit(main())
