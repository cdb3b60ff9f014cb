"""What may keep a tenant's next job from starting, and the gate that time opens.

Idea
    Generic cell rate algorithm. One number, the time at which a tenant that never
    bursts would be due next, stands for a whole bucket of tokens: a dispatch moves it
    on by one interval, and the gate is shut while it lies more than `burst - 1`
    intervals ahead.

Source
    ITU-T I.371, the virtual scheduling form of the algorithm.

Differences
    There is no refusal: the scheduler asks when the gate opens and waits. A changed
    rate keeps the number of dispatches owed, not the time they were to take.

Invariants
    1. Any interval of length L holds at most burst + L / interval dispatches.
    2. The gate of a tenant that waited opens at once, for `burst` dispatches.

Cost
    O(1) for each call.

Limits
    Whole microseconds: an interval is rounded up, so a rate is never exceeded, and at
    a thousand a second it falls short by a thousandth at most.
"""

from dataclasses import dataclass
from enum import StrEnum

from fairshare.ranking import Ranked

__all__ = ["Gate", "Rate", "RateGate"]

_THOUSAND_SECONDS_US = 1_000_000_000


class Gate(StrEnum):
    """What a tenant's next job waits for."""

    IDLE = "idle"  # no eligible job waiting
    PAUSED = "paused"
    CAP = "cap"  # as many in flight as allowed, or as allowed while others wait
    TIER_CAP = "tier_cap"  # its tier has as many in flight as allowed
    RATE = "rate"  # as many dispatched as allowed; opens by itself
    TURN = "turn"  # only for others with a smaller virtual time, or for a slot


@dataclass(frozen=True, slots=True)
class Rate:
    """So many dispatches in a thousand seconds, `burst` of them at once."""

    per_thousand_seconds: int
    burst: int

    def __post_init__(self) -> None:
        if self.per_thousand_seconds < 1 or self.burst < 1:
            raise ValueError(f"a rate and its burst are at least 1, not {self}")

    @property
    def interval_us(self) -> int:
        """Return the time from one dispatch to the next, in microseconds."""
        return -(-_THOUSAND_SECONDS_US // self.per_thousand_seconds)


class RateGate(Ranked):
    """One tenant's place in its rate; ranked by opening time while it is shut."""

    __slots__ = ("due_us", "is_shut", "rate", "seen_us", "tenant")

    def __init__(self, rate: Rate, tenant: str) -> None:
        super().__init__()
        self.rate = rate
        self.tenant = tenant
        self.is_shut = False
        self.seen_us = 0
        self.due_us = 0

    @property
    def opens_us(self) -> int:
        """Return the time from which a dispatch keeps to the rate."""
        return self.due_us - (self.rate.burst - 1) * self.rate.interval_us

    def take(self, now_us: int) -> None:
        """Count one dispatch; shut the gate if the next one may not follow now."""
        self.seen_us = max(self.seen_us, now_us)
        self.due_us = max(self.due_us, self.seen_us) + self.rate.interval_us
        self.is_shut = self.opens_us > self.seen_us

    def open(self) -> None:
        """Let the next one follow; for when its time has come."""
        self.seen_us = max(self.seen_us, self.opens_us)
        self.is_shut = False

    def change(self, rate: Rate) -> None:
        """Go on at another rate, owing as many dispatches as before."""
        owed_us = max(0, self.due_us - self.seen_us)
        owed_us = owed_us * rate.interval_us // self.rate.interval_us
        self.due_us, self.rate = self.seen_us + owed_us, rate
        self.is_shut = self.opens_us > self.seen_us

    def resume(self, *, due_us: int, seen_us: int) -> None:
        """Take over where another gate of this tenant stopped."""
        self.due_us, self.seen_us = due_us, seen_us
        self.is_shut = self.opens_us > seen_us
