"""What a simulated run leaves behind: who ran when, and who could have run.

`NodeTrace` follows one competitor, a tenant or a tier, in the way the bound speaks of
it: the stretches in which it was eligible all the time at one weight, and the
stretches in which its attempts held slots. It decides eligibility from the setup
alone, never by asking the policy that is on trial.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Job", "NodeTrace", "Stay", "Trace"]


class Job:
    """One job on its way through a simulated pool; times are in microseconds."""

    __slots__ = (
        "arrival_us",
        "cost_us",
        "done_us",
        "finished_us",
        "key",
        "kind",
        "order",
        "priority",
        "started_us",
        "tenant",
    )

    def __init__(
        self,
        tenant: str,
        arrival_us: int,
        cost_us: int,
        *,
        order: tuple[int, int, int],
        kind: str = "job",
        priority: int = 2,
        key: str | None = None,
    ) -> None:
        self.tenant = tenant
        self.arrival_us = arrival_us
        self.cost_us = cost_us
        self.order = order
        self.kind = kind
        self.priority = priority
        self.key = tenant if key is None else key
        self.done_us = 0
        self.started_us: int | None = None
        self.finished_us: int | None = None

    def __repr__(self) -> str:
        return f"Job({self.tenant!r}, {self.arrival_us}, {self.cost_us})"

    @property
    def wait_us(self) -> int | None:
        """Return the time from arrival to the first start; None if never started."""
        return None if self.started_us is None else self.started_us - self.arrival_us

    @property
    def response_us(self) -> int | None:
        """Return the time from arrival to the end; None if never finished."""
        return None if self.finished_us is None else self.finished_us - self.arrival_us


class Stay(NamedTuple):
    """A time in which a node was eligible without a break, at one weight.

    `least_weight` is the smallest weight the node has had up to then: what it still
    owes may have been charged at that one.
    """

    start_us: int
    end_us: int
    weight: int
    least_weight: int


class NodeTrace:
    """One tenant or tier while the run goes on, and its record afterwards.

    It is eligible while something waits below it, it is not paused, and it has fewer
    in flight than its caps allow, the elastic one included: beyond that, others go
    first. What waits below a tenant are jobs; below a tier, eligible tenants. A tenant
    with a rate never counts: only the policy knows when its rate allows a job.
    """

    __slots__ = (
        "below",
        "cap",
        "elastic_cap",
        "in_flight",
        "is_rated",
        "least_weight",
        "longest_us",
        "name",
        "parent",
        "paused",
        "since_us",
        "stays",
        "stretches",
        "waiting",
        "weight",
    )

    def __init__(self, name: str, parent: "NodeTrace | None") -> None:
        self.name = name
        self.parent = parent
        self.weight = self.least_weight = 0
        self.cap: int | None = None
        self.elastic_cap: int | None = None
        self.paused = False
        self.is_rated = False
        self.waiting = 0
        #: Of a tier: its tenants that could start a job, be it after all others.
        self.below: dict[NodeTrace, None] = {}
        self.in_flight = 0
        self.since_us: int | None = None
        self.stays: list[Stay] = []
        self.stretches: list[tuple[int, int]] = []
        self.longest_us = 0

    def update(self, now_us: int) -> None:
        """Note whether the node is eligible from this moment on."""
        could = (
            self.waiting > 0
            and not self.paused
            and not self.is_rated
            and (self.cap is None or self.in_flight < self.cap)
        )
        if self.parent is not None:
            self.parent.child_could(self, could)
        elastic_cap = self.elastic_cap
        eligible = could and (elastic_cap is None or self.in_flight < elastic_cap)
        if eligible is (self.since_us is not None):
            return
        if eligible:
            self.since_us = now_us
        else:
            self.close(now_us)
        if self.parent is not None:
            self.parent.waiting += 1 if eligible else -1
            self.parent.update(now_us)

    def child_could(self, child: "NodeTrace", could: bool) -> None:
        """Note whether a tenant below could start a job from this moment on."""
        if could:
            self.below[child] = None
        else:
            self.below.pop(child, None)

    def close(self, now_us: int) -> None:
        """End the present stay, if there is one."""
        if self.since_us is not None and now_us > self.since_us:
            stay = Stay(self.since_us, now_us, self.weight, self.least_weight)
            self.stays.append(stay)
        self.since_us = None

    def reweigh(self, now_us: int, weight: int) -> None:
        """Go on under another weight; the stay under the old one ends here."""
        since_us = self.since_us
        if weight != self.weight and since_us is not None:
            self.close(now_us)
            self.since_us = now_us
        self.weight = weight
        self.least_weight = min(self.least_weight or weight, weight)

    def ran(self, start_us: int, end_us: int) -> None:
        """Note that one attempt held a slot in this time."""
        self.stretches.append((start_us, end_us))
        self.longest_us = max(self.longest_us, end_us - start_us)

    def startable(self) -> int:
        """Return how many more jobs could start here, were there no end of slots."""
        waiting = self.waiting
        if self.parent is None:
            waiting = sum(child.startable() for child in self.below)
        if self.cap is None:
            return waiting
        return max(0, min(waiting, self.cap - self.in_flight))


@dataclass(frozen=True, slots=True)
class Trace:
    """A finished run.

    `idle_us` is worker time that lay idle while a job that the setup allowed to start
    was waiting. `starts` counts the attempts.
    """

    slots: int
    lookahead: int
    delta_us: int
    until_us: int
    jobs: Sequence[Job]
    tenants: dict[str, NodeTrace]
    tiers: dict[str, NodeTrace]
    idle_us: int
    starts: int

    def of(self, tenants: str | Iterable[str]) -> list[Job]:
        """Return the jobs of one tenant or of some, in order of arrival."""
        wanted = {tenants} if isinstance(tenants, str) else set(tenants)
        return [job for job in self.jobs if job.tenant in wanted]
