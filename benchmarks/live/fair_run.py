"""Runs one scenario of fairness on one queue."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from benchmarks.live.evaluation import Moments, evaluate
from benchmarks.live.meters import Meter, load_report
from benchmarks.live.scenarios import Flood, Scenario, Tenant, Trickle, aliases
from benchmarks.live.stats import Window, finished_in
from benchmarks.peers.plan import JobSpec, Plan, interleaved
from benchmarks.peers.system import Producing, System

#: A flood that is not sent by then goes on without the rest.
FLOOD_LIMIT_SECONDS: Final = 60.0
#: The trickle's longest pace in its run alone, where nobody has to be spared.
SOLO_EVERY_SECONDS: Final = 0.2


@dataclass(slots=True)
class FairRun:
    """One scenario on one prepared queue."""

    system: System
    scenario: Scenario
    meter: Meter
    solo_jobs: int
    #: Seconds to wait after the window for the trickle's last jobs.
    grace: float
    _tenants: dict[str, Tenant] = field(init=False)
    _changed_at: list[float] = field(default_factory=list)
    _solo: Window | None = None

    def __post_init__(self) -> None:
        self._tenants = {tenant.name: tenant for tenant in self.scenario.tenants}

    def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the measures, and the load while they were taken."""
        self.system.prepare(self.scenario.tenants)
        self.system.release()
        if self.scenario.solo:
            self._solo = self._alone()
        self._flood_at(0.0, is_first=True)
        before, window_begins = self.meter.read(), time.time()
        self._through_the_window(window_begins)
        window = Window(window_begins, time.time())
        used = self.meter.read().since(before)
        self._wait_for_the_trickle()
        ended_at = time.time()
        self.system.stop()
        history = self.system.history()
        moments = Moments(
            window=window,
            solo=self._solo,
            changed_at=self._changed_at,
            ended_at=ended_at,
        )
        slots = self.system.space.slots
        measures = evaluate(history, self.scenario, moments, slots=slots)
        ended = finished_in(history.spans, window)
        load = load_report(used, self.meter, jobs=ended)
        return measures, load

    # --- Phases -----------------------------------------------------------------------

    def _alone(self) -> Window:
        """Send jobs like the trickle's while nobody else sends."""
        trickle = self.scenario.trickle
        assert trickle is not None  # noqa: S101 # a scenario with `solo` has one
        begins = time.time()
        every = min(trickle.every, SOLO_EVERY_SECONDS)
        producing = self._trickle(trickle, number=self.solo_jobs, every=every)
        self._until(producing.is_done, limit=600, what="the solo trickle")
        self._until(self._has_no_trickle_waiting, limit=60, what="the solo jobs")
        return Window(begins, time.time())

    def _through_the_window(self, begins: float) -> None:
        """Send the trickle, make the changes and the later floods in their time."""
        assert self.scenario.window is not None  # noqa: S101 # set by with_window
        length = self.scenario.window
        producing = None
        if (trickle := self.scenario.trickle) is not None:
            number = trickle.jobs(window=length)
            producing = self._trickle(trickle, number=number, every=trickle.every)
        moments = {change.at for change in self.scenario.changes}
        moments |= {flood.at for flood in self.scenario.floods if flood.at}
        for at in sorted(moments):
            self._sleep_until(begins + at * length)
            self._change_at(at)
            self._flood_at(at, is_first=False)
        self._sleep_until(begins + length)
        if producing is not None:
            self._until(producing.is_done, limit=length + 60, what="the trickle")

    def _change_at(self, at: float) -> None:
        for change in self.scenario.changes:
            if change.at == at:
                self.system.change(change)
                self._changed_at.append(time.time())

    def _flood_at(self, at: float, *, is_first: bool) -> None:
        """Send the floods of a moment, and wait for the first ones to be sent."""
        jobs = self._flood_jobs([f for f in self.scenario.floods if f.at == at])
        if not jobs:
            return
        batch = self.system.batch
        plan = Plan(jobs=jobs, batch=batch, at_most=FLOOD_LIMIT_SECONDS)
        producing = self.system.produce(plan)
        if is_first:
            limit = FLOOD_LIMIT_SECONDS + 120
            self._until(producing.is_done, limit=limit, what="the flood")

    def _wait_for_the_trickle(self) -> None:
        deadline = time.time() + self.grace
        while self.scenario.trickle and time.time() < deadline:
            if self._has_no_trickle_waiting():
                return
            time.sleep(0.5)

    # --- Jobs -------------------------------------------------------------------------

    def _flood_jobs(self, floods: Sequence[Flood]) -> list[JobSpec]:
        """Return the jobs of several floods, as if all their senders sent together."""
        assert self.scenario.window is not None  # noqa: S101 # set by with_window
        lines = []
        for flood in floods:
            each = flood.jobs_each(
                window=self.scenario.window, slots=self.system.space.slots
            )
            for tenant in flood.tenants:
                jobs = self._jobs(tenant, flood.seconds, flood.steps, each)
                lines.append(jobs)
        return interleaved(lines)

    def _trickle(self, trickle: Trickle, *, number: int, every: float) -> Producing:
        each = ceil(number / len(trickle.tenants))
        lines = [self._jobs(t, trickle.seconds, 1, each) for t in trickle.tenants]
        jobs = interleaved(lines)[:number]
        return self.system.produce_one_by_one(Plan(jobs=jobs, every=every))

    def _jobs(
        self, name: str, seconds: float, steps: int, number: int
    ) -> list[JobSpec]:
        """Return a tenant's jobs, spread over the names under which it sends."""
        tenant = self._tenants[name]
        names = aliases(tenant)
        return [
            JobSpec(name, names[i % len(names)], seconds, steps, tenant.weight)
            for i in range(number)
        ]

    def _has_no_trickle_waiting(self) -> bool:
        trickle = self.scenario.trickle
        if trickle is None:
            return True
        return self.system.history().unstarted(trickle.tenants) <= 0

    # --- Time -------------------------------------------------------------------------

    def _until(self, condition: Callable[[], bool], *, limit: float, what: str) -> None:
        self.system.space.wait_for(condition, limit=limit, what=what)

    def _sleep_until(self, at: float) -> None:
        while (left := at - time.time()) > 0:
            self.system.space.check()
            time.sleep(min(left, 0.5))
