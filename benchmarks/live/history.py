"""What a run leaves behind: which jobs were sent, and who held a slot when.

Times are seconds since 1970 by the clock of the one machine that everything runs on, so
that what a producer, a worker and a database wrote can be compared.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sent:
    """A job that a producer has handed over."""

    tenant: str
    #: Just before the producer called the queue.
    called_at: float
    #: What the queue calls the job, where the wait is looked up by it.
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that has started, for the first time."""

    tenant: str
    called_at: float
    started_at: float

    @property
    def wait(self) -> float:
        """Return the seconds from the call of the producer to the start."""
        return self.started_at - self.called_at


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a tenant held one slot."""

    tenant: str
    started_at: float
    ended_at: float
    #: Seconds of the job's own work in it; the rest is the queue's bookkeeping.
    work: float

    def within(self, lo: float, hi: float) -> float:
        """Return the seconds of this span that lie in a window."""
        return max(0.0, min(self.ended_at, hi) - max(self.started_at, lo))


@dataclass(slots=True)
class History:
    """All that happened in one run."""

    sent: list[Sent] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def waits(
        self, tenants: Iterable[str], *, lo: float, hi: float, censored_at: float
    ) -> list[float]:
        """Return the waits of these tenants' jobs sent in [lo, hi], ascending, in s.

        A job that never started has waited at least until `censored_at`.
        """
        chosen = set(tenants)
        begun = [job for job in self._begun_of(chosen) if lo <= job.called_at <= hi]
        calls = [job.called_at for job in self.sent if job.tenant in chosen]
        waiting = _without(
            sorted(call for call in calls if lo <= call <= hi),
            sorted(job.called_at for job in begun),
        )
        return sorted(
            [job.wait for job in begun] + [censored_at - call for call in waiting]
        )

    def unstarted(self, tenants: Iterable[str]) -> int:
        """Return how many jobs of these tenants were sent and have not started."""
        chosen = set(tenants)
        sent = sum(job.tenant in chosen for job in self.sent)
        return sent - len(self._begun_of(chosen))

    def _begun_of(self, tenants: Collection[str]) -> list[Begun]:
        return [job for job in self.begun if job.tenant in tenants]


def _without(calls: Sequence[float], known: Sequence[float]) -> list[float]:
    """Return the calls that are not among the known ones; both ascend."""
    left, position = [], 0
    for call in calls:
        # Both were written by one producer, rounded alike to the microsecond.
        if position < len(known) and abs(known[position] - call) < 1e-6:
            position += 1
        else:
            left.append(call)
    return left
