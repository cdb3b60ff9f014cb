"""A list of jobs to send, as the harness writes it and a producer process reads it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job to send."""

    tenant: str
    #: The name under which the tenant sends it.
    alias: str
    #: How long it sleeps in all, and in how many steps.
    seconds: float
    steps: int = 1
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one producer process sends, in order."""

    jobs: list[JobSpec]
    #: Seconds between two calls; 0 means as fast as the queue takes them.
    every: float = 0.0
    #: Jobs handed over by one call; 1 means one by one, as a request handler would.
    batch: int = 1
    #: The producer gives up after so many seconds.
    at_most: float = 3600.0
    #: The files that it writes: one line per job, and a summary at the end.
    log: Path = field(default=Path("sent.log"))

    @property
    def summary(self) -> Path:
        """Return where the producer writes its summary."""
        return self.log.with_suffix(".json")

    def write(self, path: Path) -> None:
        """Write the plan for a producer to read."""
        fields = {**asdict(self), "log": str(self.log)}
        fields["jobs"] = [list(asdict(job).values()) for job in self.jobs]
        path.write_text(json.dumps(fields), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Return the plan that was written to a file."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        jobs = [JobSpec(*values) for values in fields.pop("jobs")]
        return cls(jobs=jobs, log=Path(fields.pop("log")), **fields)

    def calls(self) -> Iterator[list[JobSpec]]:
        """Yield the jobs of each call."""
        for start in range(0, len(self.jobs), self.batch):
            yield self.jobs[start : start + self.batch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a producer process says of itself when it has ended."""

    jobs: int
    first_called_at: float
    last_returned_at: float
    #: CPU of the sending, and of the whole process with its start.
    cpu_seconds: float
    whole_cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Return how many jobs it handed over per second."""
        seconds = self.last_returned_at - self.first_called_at
        return self.jobs / seconds if seconds > 0 else 0.0

    @classmethod
    def read(cls, path: Path) -> "Summary":
        """Return the summary that was written to a file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Write the summary."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def interleaved(lines: Iterable[Sequence[JobSpec]]) -> list[JobSpec]:
    """Return the jobs of several senders in turn, as if all sent at the same time."""
    rounds = zip_longest(*lines)
    return [job for turn in rounds for job in turn if job is not None]
