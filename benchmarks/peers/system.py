"""What the harness asks of a queue: ours and each peer are one `System`."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import ClassVar

from benchmarks.live.history import History, Sent
from benchmarks.live.meters import PROCESSES, PRODUCERS
from benchmarks.live.scenarios import Change, Tenant
from benchmarks.live.workspace import BenchError, Workspace
from benchmarks.peers import recording
from benchmarks.peers.plan import Plan, Summary
from taskqueue_site.processes import last_line


@dataclass(frozen=True, slots=True)
class Producing:
    """A producer process at work."""

    plan: Plan
    process: subprocess.Popen[bytes]
    #: Its output.
    output: Path

    def is_done(self) -> bool:
        """Return whether it has ended; raise BenchError if it failed."""
        code = self.process.poll()
        if code:
            raise BenchError(f"the producer failed: {last_line(self.output)}")
        return code is not None

    def sent(self) -> list[Sent]:
        """Return what it has sent; call it when the process has ended."""
        jobs = []
        for line in self.plan.log.read_text(encoding="utf-8").splitlines():
            tenant, called_at, reference = line.split("\t")
            jobs.append(Sent(tenant, float(called_at), reference))
        return jobs

    def summary(self) -> Summary:
        """Return what it said of itself at its end."""
        return Summary.read(self.plan.summary)


class System(ABC):
    """One queue, started for one run.

    The harness calls `prepare`, then `release`; jobs produced in between wait. Between
    `release` and `stop` the jobs run.
    """

    #: How the command line and the report call it.
    name: ClassVar[str]
    #: What it can do beyond taking and running jobs (benchmarks/live/scenarios.py).
    offers: ClassVar[frozenset[str]] = frozenset()
    #: How it is set up, in words for the report.
    settings: ClassVar[str]
    #: Python packages whose versions belong in the report.
    packages: ClassVar[tuple[str, ...]]
    #: The servers that it uses, by their part in the CPU report.
    servers: ClassVar[frozenset[str]] = frozenset()
    #: The module that has `sender()` for the producer process.
    sender: ClassVar[str]
    #: Ways to hand over one job and wait for the queue's word: name and module.
    one_by_one: ClassVar[Mapping[str, str]] = {}
    #: Whether many jobs can be handed over by one call, as safely as one.
    has_batches: ClassVar[bool] = False
    #: Jobs per call in a flood, and where batches are measured.
    batch: ClassVar[int] = 100
    #: Backlog of the throughput comparison, in times of the usual one: a queue that is
    #: done in a second measures mostly its start.
    backlog_factor: ClassVar[int] = 1

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.records = space.folder / "records"
        self.records.mkdir()
        self.producers: list[Producing] = []
        self._numbers = count()

    # --- What each queue does its own way ---------------------------------------------

    @abstractmethod
    def prepare(self, tenants: Sequence[Tenant]) -> None:
        """Make the queue ready to take jobs; run none yet."""

    @abstractmethod
    def release(self) -> None:
        """Start to run jobs, and return when the workers are ready."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the variables of its workers and producers."""

    def hold(self) -> None:
        """Keep jobs from running until `release`."""
        return  # none run before it, unless a queue says otherwise

    def database(self) -> str:
        """Return the name of its own database, empty if it has none."""
        return ""

    def change(self, change: Change) -> None:
        """Change a tenant. Raises ValueError unless `offers` names such a change."""
        raise ValueError(f"{self.name} cannot change a tenant that has work: {change}")

    def stop(self) -> None:
        """Let the running jobs end, and stop."""
        self.space.stop(self.space.processes, patience=30)

    def finished(self) -> int:
        """Return how many jobs have ended so far."""
        return recording.count(self.records)

    def happened(self) -> History:
        """Return the starts and the spans; `sent` is left empty."""
        history = History()
        for begun, span in recording.read(self.records):
            history.begun.append(begun)
            history.spans.append(span)
        return history

    def clean(self) -> None:
        """Remove what the servers would keep after the run."""
        return  # nothing, unless a queue says otherwise

    # --- What they have in common -----------------------------------------------------

    def produce(self, plan: Plan, *, sender: str = "") -> Producing:
        """Start a producer process."""
        number = next(self._numbers)
        path = self.space.folder / f"plan-{number}.json"
        log = self.space.folder / f"sent-{number}.log"
        plan = replace(plan, log=log)
        plan.write(path)
        module = "benchmarks.peers.producer"
        argv = self.space.python("-m", module, sender or self.sender, path)
        name = f"producer-{number}"
        process = self.space.start(name, argv, self.environment())
        producing = Producing(plan, process, self.space.log(name))
        self.producers.append(producing)
        return producing

    def produce_one_by_one(self, plan: Plan) -> Producing:
        """Start a producer that hands jobs over as a request handler would."""
        return self.produce(plan)

    def pids(self) -> dict[str, list[int]]:
        """Return the processes that were started, by their part in the CPU report."""
        sending = [producing.process.pid for producing in self.producers]
        started = [process.pid for process in self.space.processes]
        working = [pid for pid in started if pid not in sending]
        return {PROCESSES: working, PRODUCERS: sending}

    def history(self) -> History:
        """Return all that happened so far, with what the ended producers sent."""
        history = self.happened()
        for producing in self.producers:
            if producing.process.poll() is not None:
                history.sent.extend(producing.sent())
        return history
