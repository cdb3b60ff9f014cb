"""The verdict: what the producers were told against what the ledger holds.

Pure arithmetic on facts that `evidence.py` reads: no database, no clock.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import Any, Final

#: No interrupted attempt may take longer to be queued again: the 99th percentile.
RECOVERY_LIMIT_S: Final = 45.0
TERMINAL: Final = frozenset({"succeeded", "dead", "cancelled"})
METERS: Final = ("rows", "bytes", "jobs", "worker_us")


@dataclass(frozen=True, slots=True)
class FileTruth:
    """What a right reader makes of a generated file."""

    rows: int
    bytes: int
    inserted: int
    conflicting: int
    rejected: int


@dataclass(frozen=True, slots=True)
class JobFact:
    """A job as the ledger has it."""

    id: str
    tenant: str
    kind: str
    state: str
    payload: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error_code: str | None


@dataclass(frozen=True, slots=True)
class AttemptFact:
    """An attempt as the ledger has it, in the order of numbers within its job."""

    id: int
    job_id: str
    was_started: bool
    outcome: str | None
    settled_us: int
    is_billable: bool


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file as the ledger has it, with what is really stored of it."""

    job_id: str
    rows: int
    inserted: int
    conflicting: int
    rejected: int
    stored: int
    distinct_ids: int
    kept_out: int
    #: Its content was loaded before, so that nothing was read for it.
    is_same: bool = False


@dataclass(frozen=True, slots=True)
class UsageFact:
    """One usage event."""

    job_id: str
    meter: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the verdict looks at."""

    #: Body of each job that the API accepted, by id.
    accepted: Mapping[str, Mapping[str, Any]]
    #: Posts of which the producer cannot know whether they were taken.
    unknown_posts: int = 0
    files: Mapping[tuple[str, str], FileTruth] = field(default_factory=dict)
    jobs: Sequence[JobFact] = ()
    attempts: Sequence[AttemptFact] = ()
    loads: Sequence[FileFact] = ()
    usage: Sequence[UsageFact] = ()
    #: Seconds from each interruption until its job was queued again.
    recoveries: Sequence[float] = ()
    #: Interrupted attempts that were never ended.
    unrecovered: int = 0
    #: Workers that run, but take no messages after everything was healed.
    deaf_workers: int = 0
    #: Invariants of the ledger that `manage.py doctor` found broken, in words.
    broken_invariants: Sequence[str] = ()


class Verdict:
    """The evidence weighed; every number of the table is a property."""

    def __init__(self, evidence: Evidence) -> None:
        """Weigh the evidence."""
        self.evidence = evidence
        self._jobs = {job.id: job for job in evidence.jobs}
        self._loads = {load.job_id: load for load in evidence.loads}
        self._used: dict[str, Counter[str]] = defaultdict(Counter)
        for event in evidence.usage:
            self._used[event.job_id][event.meter] += event.quantity
        self._attempts: dict[str, list[AttemptFact]] = defaultdict(list)
        for attempt in evidence.attempts:
            self._attempts[attempt.job_id].append(attempt)

    # --- Jobs -------------------------------------------------------------------------

    @property
    def accepted(self) -> int:
        """Jobs that the API answered with 202."""
        return len(self.evidence.accepted)

    @cached_property
    def states(self) -> Counter[str]:
        """How many of the accepted jobs are in each state."""
        known = self._jobs.keys() & self.evidence.accepted.keys()
        return Counter(self._jobs[job_id].state for job_id in known)

    @cached_property
    def lost(self) -> list[str]:
        """Accepted jobs that the ledger does not have, or that have not ended."""
        return [
            job_id
            for job_id in self.evidence.accepted
            if job_id not in self._jobs or self._jobs[job_id].state not in TERMINAL
        ]

    @cached_property
    def stuck(self) -> list[str]:
        """Jobs of the ledger that have not ended."""
        return [job.id for job in self.evidence.jobs if job.state not in TERMINAL]

    @property
    def unseen(self) -> int:
        """Jobs that were taken although the producer got no answer."""
        return len(self._jobs.keys() - self.evidence.accepted.keys())

    @cached_property
    def dup_exec(self) -> int:
        """Executions of what a lost attempt had begun: allowed, and shown."""
        repeated = 0
        for attempts in self._attempts.values():
            started = [attempt for attempt in attempts if attempt.was_started]
            repeated += sum(attempt.outcome == "lost" for attempt in started[:-1])
        return repeated

    # --- Effects ----------------------------------------------------------------------

    @cached_property
    def dup_effect(self) -> list[str]:
        """Everything that happened more or less often than once, in words."""
        return [
            *self._unasked(),
            *self._wrong_ends(),
            *self._wrong_rows(),
            *self._wrong_usage(),
        ]

    def _unasked(self) -> Iterator[str]:
        extra = self.unseen - self.evidence.unknown_posts
        if extra > 0:
            yield f"{extra} jobs more than were ever posted"

    def _wrong_ends(self) -> Iterator[str]:
        for job in self.evidence.jobs:
            done = sum(a.outcome == "succeeded" for a in self._attempts[job.id])
            if done != (job.state == "succeeded"):
                yield f"job {job.id} is {job.state} with {done} successful attempts"
            if job.state != "succeeded" or job.kind != "sleep":
                continue
            steps = job.payload.get("steps", 1)
            if "fail" in job.payload or (job.result or {}).get("steps") != steps:
                yield f"job {job.id} succeeded with what it was not asked for"

    def _wrong_rows(self) -> Iterator[str]:
        for load in self.evidence.loads:
            if load.stored != load.inserted or load.stored != load.distinct_ids:
                yield (
                    f"file of job {load.job_id}: {load.stored} rows stored, "
                    f"{load.distinct_ids} ids, {load.inserted} counted"
                )
            if load.kept_out != load.rejected + load.conflicting:
                yield f"file of job {load.job_id}: {load.kept_out} rows kept out"
        for (tenant, path), jobs in self._jobs_by_file().items():
            yield from self._wrong_file(tenant, path, jobs)

    def _wrong_file(self, tenant: str, path: str, jobs: list[JobFact]) -> Iterator[str]:
        """Compare with the truth what all loads of a file made of it together."""
        truth = self.evidence.files.get((tenant, path))
        if truth is None:
            yield f"{path} of {tenant} was loaded, but never written"
            return
        done = [self._loads.get(job.id) for job in jobs if job.state == "succeeded"]
        loads = [load for load in done if load is not None]
        if len(loads) < len(done):
            yield f"{path} of {tenant}: a load succeeded without its file"
        stored = sum(self._loads[j.id].stored for j in jobs if j.id in self._loads)
        if stored > truth.inserted or (done and stored != truth.inserted):
            yield f"{path} of {tenant}: {stored} rows instead of {truth.inserted}"
        for load in loads:
            if load.is_same:
                continue
            counted = (load.rows, load.rejected, load.conflicting)
            true = (truth.rows, truth.rejected, truth.conflicting)
            if counted != true:
                yield f"{path} of {tenant}: counted {counted} instead of {true}"

    def _jobs_by_file(self) -> dict[tuple[str, str], list[JobFact]]:
        found: dict[tuple[str, str], list[JobFact]] = defaultdict(list)
        for job in self.evidence.jobs:
            if job.kind == "ingest":
                found[job.tenant, str(job.payload["s3_path"])].append(job)
        return found

    def _wrong_usage(self) -> Iterator[str]:
        for job_id in self._used.keys() - self._jobs.keys():
            yield f"usage of job {job_id}, which does not exist"
        for job in self.evidence.jobs:
            used = {meter: self._used[job.id][meter] for meter in METERS}
            true = self._true_usage(job)
            if used != true:
                yield f"usage of job {job.id}: {used} instead of {true}"

    # --- Units ------------------------------------------------------------------------

    @cached_property
    def units_billed(self) -> dict[str, int]:
        """What the usage events add up to, by meter."""
        return _sums(self._used.values())

    @cached_property
    def units_true(self) -> dict[str, int]:
        """What attempts and files say should have been billed, by meter."""
        return _sums(self._true_usage(job) for job in self.evidence.jobs)

    def _true_usage(self, job: JobFact) -> dict[str, int]:
        rows, size = self._true_load(job)
        worked = sum(a.settled_us for a in self._attempts[job.id] if a.is_billable)
        ended = int(job.state in TERMINAL)
        return {"rows": rows, "bytes": size, "jobs": ended, "worker_us": worked}

    def _true_load(self, job: JobFact) -> tuple[int, int]:
        """Return rows and bytes: of the whole file, or of what is there of a part."""
        if job.kind != "ingest":
            return 0, 0
        truth = self.evidence.files.get((job.tenant, str(job.payload["s3_path"])))
        load = self._loads.get(job.id)
        if load is not None and load.is_same:
            return 0, 0
        if job.state == "succeeded" and truth is not None:
            return truth.rows, truth.bytes
        # The bytes of a part are nowhere else than on its bill; its rows are.
        return (load.rows if load else 0), self._used[job.id]["bytes"]

    # --- Recovery ---------------------------------------------------------------------

    def recovery(self, part: float) -> float | None:
        """Return a quantile of the recoveries in seconds, None if there were none."""
        ordered = sorted(self.evidence.recoveries)
        return ordered[max(0, ceil(part * len(ordered)) - 1)] if ordered else None

    @property
    def faults(self) -> list[str]:
        """What the product must not ship with, one line each."""
        found = []
        if self.lost:
            found.append(f"{len(self.lost)} accepted jobs lost: {_some(self.lost)}")
        if self.stuck:
            found.append(f"{len(self.stuck)} jobs stuck: {_some(self.stuck)}")
        found += self.dup_effect
        if self.units_billed != self.units_true:
            found.append(f"billed {self.units_billed} instead of {self.units_true}")
        slowest = self.recovery(0.99)
        if slowest is not None and slowest > RECOVERY_LIMIT_S:
            found.append(f"recovery takes {slowest:.1f} s at p99")
        if self.evidence.unrecovered:
            found.append(f"{self.evidence.unrecovered} attempts were never ended")
        if self.evidence.deaf_workers:
            found.append(f"{self.evidence.deaf_workers} workers take no more messages")
        found += self.evidence.broken_invariants
        return found

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled, stuck or slow."""
        return not self.faults


def _sums(usages: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = dict.fromkeys(METERS, 0)
    for usage in usages:
        for meter, quantity in usage.items():
            total[meter] = total.get(meter, 0) + quantity
    return total


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:3])
    return shown if len(ids) <= 3 else f"{shown}, …"
