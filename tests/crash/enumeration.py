"""Strikes one process at each of its points in turn, and looks at what comes of it."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, Final

from django.utils import timezone

from jobs import handlers, runner
from jobs.models import Job
from tests.arrange import make_job, make_tenant
from tests.crash.children import Child
from tests.crash.comparison import Account, account, violations
from tests.crash.points import Fault, Point, Probe
from tests.crash.scenes import Scene, recover

SEED: Final = 7

_numbers = count(1)


@dataclass(slots=True)
class Report:
    """What an enumeration found."""

    title: str
    #: Points of either sort that an undisturbed run passes.
    passed: dict[str, int]
    #: Points at which a process was struck.
    struck: dict[str, int] = field(default_factory=lambda: {"sql": 0, "line": 0})
    #: Points that the process did not come to: it took another way that time.
    missed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    #: Columns that differ from one undisturbed run to the next, and are not compared.
    not_compared: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return it in one line."""
        struck, passed = self.struck, self.passed
        return (
            f"{self.title}: points {sum(struck.values())} "
            f"({struck['sql']} of {passed['sql']} at SQL calls, {struck['line']} of "
            f"{passed['line']} lines, seed {SEED}), missed {len(self.missed)}, "
            f"violations {len(self.violations)}"
        )


@dataclass(frozen=True, slots=True)
class _Trial:
    """A job of a tenant of its own, and what its scene is about."""

    job: Job
    since: datetime
    about: Any


class Enumeration:
    """One kind, one scene, one fault; a job of the kind's own sample, or another."""

    def __init__(
        self,
        kind: str,
        name: str,
        scene: Scene,
        fault: Fault,
        *,
        make: Callable[[str], Job] | None = None,
    ) -> None:
        self.kind = kind
        self.make = make or self._of_sample
        self.scene = scene
        self.fault = fault
        self.title = f"{kind}, {name}, {fault}"
        self.undisturbed: list[str] = []
        # The first run fills this process's caches, so that all its children are alike.
        self.wanted = self._undisturbed(self._account_here())
        self.points = self._count()

    def run(self, points: Iterable[Point], *, until_first: bool = False) -> Report:
        """Strike at each of the points, or until the first violation.

        A difference between two undisturbed runs is a violation already.
        """
        report = Report(
            self.title,
            {sort: len(self.of(sort)) for sort in ("sql", "line")},
            violations=[*self.undisturbed],
            not_compared=sorted(".".join(pair) for pair in self.wanted.varying),
        )
        for point in points:
            if until_first and report.violations:
                break
            self._strike(point, report)
        return report

    def of(self, sort: str) -> list[Point]:
        """Return the points of a sort at which this fault can strike."""
        return [point for point in self.points if point.sort == sort]

    def some(self, *, calls: int | None, lines: int | None) -> list[Point]:
        """Return so many points of each sort, drawn by the seed; None for all."""
        return [*self._drawn("sql", calls), *self._drawn("line", lines)]

    def _drawn(self, sort: str, most: int | None) -> list[Point]:
        found = self.of(sort)
        if most is None or most >= len(found):
            return found
        return random.Random(SEED).sample(found, most)

    def _trial(self) -> _Trial:
        since = timezone.now()
        slug = f"crashed{next(_numbers):06}"
        make_tenant(slug)
        job = self.make(slug)
        return _Trial(job, since, self.scene.prepare(job))

    def _of_sample(self, tenant: str) -> Job:
        sample = handlers.get(self.kind).sample
        assert sample is not None, self.kind
        return make_job(tenant, kind=self.kind, payload=sample(tenant))

    def _account_here(self) -> Account:
        trial = self._trial()
        self.scene.act(trial.about)
        recover(trial.job)
        return account(trial.job, since=trial.since)

    def _undisturbed(self, wanted: Account) -> Account:
        return wanted.beside(self._account_here())

    def _count(self) -> list[Point]:
        trial = self._trial()
        act = partial(self.scene.act, trial.about)
        child = Child(act, Probe(), with_lines=self.fault is Fault.KILLED)
        points = child.points()
        child.forget()
        assert child.ended, f"{self.title}: the undisturbed run broke"
        recover(trial.job)
        self.undisturbed = [f"{self.title}: {words}" for words in self._wrong(trial)]
        if self.fault is Fault.FROZEN:
            # Inside a transaction it would hold its rows, and others would wait.
            return [point for point in points if point.is_idle]
        return points

    def _strike(self, point: Point, report: Report) -> None:
        trial = self._trial()
        act = partial(self.scene.act, trial.about)
        probe = Probe(self.fault, point.key)
        # Watching lines is slow.
        child = Child(act, probe, with_lines=point.sort == "line")
        try:
            if self._was_struck(child):
                report.struck[point.sort] += 1
            else:
                report.missed.append(str(point))
            found = [*self._aftermath(trial, point, child)]
        finally:
            child.forget()
        report.violations += [f"{self.title}, {point.where}: {w}" for w in found]

    def _was_struck(self, child: Child) -> bool:
        match self.fault:
            case Fault.KILLED:
                return child.was_killed
            case Fault.FROZEN:
                return child.is_frozen
        # Cut off, it may have mended that, or have broken.
        return child.ended or child.broke

    def _aftermath(self, trial: _Trial, point: Point, child: Child) -> Iterator[str]:
        if point.ordinal % 2 and isinstance(trial.about, int):
            # The broker delivers the message again, as often as not.
            runner.run(attempt_ids=[trial.about], worker="w1")
        recover(trial.job)
        yield from self._wrong(trial)
        if child.is_frozen:
            child.thaw()
            for words in self._wrong(trial):
                yield f"after the thaw: {words}"

    def _wrong(self, trial: _Trial) -> list[str]:
        return violations(trial.job, since=trial.since, wanted=self.wanted)
