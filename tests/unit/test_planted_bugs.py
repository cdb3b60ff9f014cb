"""Bugs planted in the scheduler, each of which a law must notice.

A bug is a replacement in the source of one module; the others are compiled beside it
under names of their own, so that the real ones stay as they are.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from fairshare import scheduler
from tests.unit.scheduler_laws import LAWS, MS, Case, Make

#: What the scheduler is made of, in the order in which it is imported.
MODULES = (
    "ranking",
    "gates",
    "snapshot",
    "branch",
    "tree",
    "terms",
    "consistency",
    "contest",
    "openings",
    "replay",
    "scheduler",
)
FAIRSHARE = Path(scheduler.__file__).parent
COPY = "planted_fairshare"


class Change(NamedTuple):
    """A replacement in one module."""

    module: str
    right: str
    wrong: str


class Bug(NamedTuple):
    """What is replaced, and the laws that have to notice."""

    changes: tuple[Change, ...]
    laws: tuple[str, ...]


GATED = (
    "paused_time_earns_nothing",
    "capped_time_earns_nothing",
    "limited_time_earns_nothing",
)
LIFT = "if not child.is_held and child.virtual_time < self.clock:"
LIFTED = "max(child.virtual_time, self.present())"
PRESENT = "return min(self.clock, first.virtual_time)"
AHEAD = "min(self._delta_us, max(FLOOR_US, elapsed_us))"
SETTLED = """        del self._flights[job]
        self._touched.add(flight.tenant.name)
"""
PICKED = "        self._touched.add(name)\n"
UNRANK = """            if entry:
                self.remove(child)
            return
"""
ENQUEUE = """        if queue.add(waiting):
            place(queue.node)
"""
KEY = "(is_behind, child.virtual_time, child.tie, child)"
DRAWN = "(False, time, random(), node)"
START = "        flight.charge(cost, 1, tenant is None)\n"

BUGS = {
    "who becomes eligible is not lifted": Bug(
        (Change("branch", LIFT, "if False:"),),
        ("idle_time_earns_nothing", "a_newcomer_has_no_credit", *GATED),
    ),
    "idle time is banked": Bug(
        (Change("branch", LIFT, LIFT[:-1] + " and not child.virtual_time:"),),
        ("idle_time_earns_nothing",),
    ),
    "a newcomer starts from nothing": Bug(
        (Change("branch", LIFT, LIFT[:-1] + " and child.virtual_time:"),),
        ("a_newcomer_has_no_credit", "a_stalled_tenant_holds_nobody_back"),
    ),
    "the clock stands still": Bug(
        (Change("tree", "branch.clock = branch.floor = time\n", "pass\n"),),
        ("idle_time_earns_nothing", "a_newcomer_has_no_credit", *GATED),
    ),
    "a drain wipes out debt": Bug(
        (
            Change("branch", LIFT, "if not child.is_held:"),
            Change("branch", LIFTED, "self.present()"),
        ),
        ("debt_survives_a_drain",),
    ),
    "the hold is never settled": Bug(
        (
            Change(
                "scheduler",
                "flight.charge(actual_us, -1, False)",
                "flight.charge(flight.charged_us, -1, False)",
            ),
        ),
        (
            "shares_follow_weights",
            "charges_are_the_costs",
            "estimates_change_no_share",
        ),
    ),
    "jobs are charged when they come": Bug(
        (
            Change(
                "scheduler",
                ENQUEUE,
                """        for node, ticks in queue.find_path():
            node.virtual_time += 10_000 * ticks
            node.parent.place(node)
"""
                + ENQUEUE,
            ),
            Change("scheduler", START, "        flight.charged_us = cost\n" + START),
        ),
        ("a_long_line_costs_nothing", "a_weight_binds_on_what_waits"),
    ),
    "gated time is banked": Bug(
        (
            Change(
                "branch",
                UNRANK,
                UNRANK.replace(
                    "            return\n",
                    "            if child.head is not None:\n"
                    "                child.is_held = True\n"
                    "            return\n",
                ),
            ),
        ),
        GATED,
    ),
    "classes are charged, but not their tenant": Bug(
        (Change("tree", "(tenant.node, ticks),\n", "(tenant.node, 0),\n"),),
        ("splitting_earns_nothing", "shares_follow_weights"),
    ),
    "weights do not count": Bug(
        (
            Change(
                "branch",
                "return TICKS_PER_US * WEIGHT_ONE // weight",
                "return TICKS_PER_US",
            ),
        ),
        ("shares_follow_weights", "a_weight_binds_on_what_waits"),
    ),
    "caps hold one too many": Bug(
        (
            Change(
                "tree",
                "limit = NO_LIMIT if self.cap is None else self.cap\n",
                "limit = NO_LIMIT if self.cap is None else self.cap + 1\n",
            ),
        ),
        ("a_cap_is_exact",),
    ),
    "the first name always goes first": Bug(
        (
            Change("tree", "(False, time, node.tie, node)", "(False, 0, 0, node)"),
            Change("branch", KEY, "(is_behind, 0, 0, child)"),
        ),
        ("nobody_starves",),
    ),
    "refunded holds are a newcomer's debt": Bug(
        (Change("branch", PRESENT, "return self.clock"),),
        ("a_newcomer_owes_no_refunded_hold",),
    ),
    "a newcomer goes where the last one in debt stands": Bug(
        (Change("branch", PRESENT, "return first.virtual_time"),),
        ("a_newcomer_shares_nobodys_debt",),
    ),
    "a late job is charged a whole step ahead": Bug(
        (Change("scheduler", AHEAD, "self._delta_us"),),
        ("a_running_job_is_charged_ahead",),
    ),
    "a long job is charged twice what it ran": Bug(
        (Change("scheduler", AHEAD, "max(FLOOR_US, elapsed_us)"),),
        ("a_running_job_is_charged_ahead",),
    ),
    "a running job is not charged ahead": Bug(
        (Change("scheduler", AHEAD, "0"),),
        ("a_running_job_is_charged_ahead",),
    ),
    "what is settled is not written": Bug(
        (
            Change("scheduler", SETTLED, SETTLED.splitlines(keepends=True)[0]),
            Change("scheduler", PICKED, ""),
        ),
        ("what_is_written_adds_up",),
    ),
    "a new leader lifts all that waited": Bug(
        (Change("replay", "= virtual_time, is_ready", "= virtual_time, False"),),
        ("a_successor_goes_on",),
    ),
    "a new leader makes newcomers pay": Bug(
        (Change("replay", "presents.get(tenant.tier.name, clock)", "clock"),),
        ("a_newcomer_owes_none_to_a_successor",),
    ),
    "a new leader forgets who is ahead": Bug(
        (Change("replay", "branch.clock + ahead", "branch.clock"),),
        ("a_successor_goes_on",),
    ),
    "ties are drawn by lot": Bug(
        (
            Change("tree", "(False, time, node.tie, node)", DRAWN),
            Change("tree", "class Tier:", "from random import random\n\nclass Tier:"),
        ),
        ("decisions_repeat",),
    ),
}

#: Different weights and costs, so that counting attempts is not mistaken for fairness.
CASE = Case(weight_a=1000, weight_b=2000, cost_a=30 * MS, cost_b=5 * MS, hold=10 * MS)
EVEN = Case()


@contextmanager
def planted(bug: Bug | None) -> Iterator[Make]:
    """Compile the scheduler with the bug; yield its class."""
    names = [COPY, *(f"{COPY}.{name}" for name in MODULES)]
    sys.modules[COPY] = ModuleType(COPY)
    try:
        for name in MODULES:
            file = FAIRSHARE / f"{name}.py"
            source = file.read_text(encoding="utf-8")
            for change in bug.changes if bug else ():
                if change.module == name:
                    assert source.count(change.right) == 1, "the bug lost its place"
                    source = source.replace(change.right, change.wrong)
            source = source.replace("from fairshare", f"from {COPY}")
            module = sys.modules[f"{COPY}.{name}"] = ModuleType(f"{COPY}.{name}")
            setattr(sys.modules[COPY], name, module)
            exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102
        yield sys.modules[f"{COPY}.scheduler"].FairScheduler
    finally:
        for name in names:
            sys.modules.pop(name, None)


def broken_laws(make: Make) -> set[str]:
    broken = set()
    for name, law in LAWS.items():
        try:
            law(make, CASE)
            law(make, EVEN)
        except AssertionError:
            broken.add(name)
    return broken


def test_the_copy_itself_breaks_no_law() -> None:
    with planted(None) as make:
        assert broken_laws(make) == set()


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_breaks_the_laws_it_should(name: str) -> None:
    bug = BUGS[name]
    with planted(bug) as make:
        assert set(bug.laws) <= broken_laws(make)


def test_every_law_notices_a_bug() -> None:
    assert {law for bug in BUGS.values() for law in bug.laws} == set(LAWS)
