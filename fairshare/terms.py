"""What a scheduler is asked and answers: decisions, a tenant's numbers, refusals."""
# ruff: noqa: N818 - exceptions are named for what happened

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from fairshare.branch import WEIGHT_ONE
from fairshare.gates import Gate

__all__ = [
    "Dispatch",
    "JobAlreadyKnown",
    "JobT",
    "Sortable",
    "TenantInFlight",
    "TenantShare",
    "UnknownJob",
    "UnknownTenant",
    "check_limits",
    "checked_cost",
    "new_dispatch",
]


class Sortable(Protocol):
    """Whatever orders one job before another; comparable across all tenants."""

    def __lt__(self, other: Any, /) -> bool: ...


JobT = TypeVar("JobT", bound=Hashable)


class UnknownTenant(LookupError):
    """The tenant was never set, or was removed: call set_tenant first."""


class UnknownJob(LookupError):
    """The job is not in flight: it was never picked or restored, or is settled."""


class JobAlreadyKnown(ValueError):
    """The job is waiting or in flight already, so it cannot be restored."""


class TenantInFlight(ValueError):
    """The tenant has attempts in flight: pause it and settle them first."""


class Dispatch(NamedTuple, Generic[JobT]):
    """One decision: start this job; write its hold and weights to the ledger."""

    job: JobT
    tenant: str
    held_us: int
    weight: int  # in thousandths
    tier_weight: int = WEIGHT_ONE  # in thousandths


@dataclass(frozen=True, slots=True)
class TenantShare:
    """One tenant's numbers, for explaining why its jobs wait."""

    tenant: str
    tier: str
    weight: int  # in thousandths
    entitled: float  # its part of the pool among the tenants now backlogged and itself
    virtual_time: int  # in ticks
    ahead_us: int  # virtual time minus its tier's clock, in microseconds at weight 1
    used_us: int  # settled costs plus open charges since this object was made
    in_flight: int
    waiting: int
    gate: Gate
    gate_opens_us: int | None  # in the time given to `pick`; None if not by itself


def checked_cost(cost_us: int) -> int:
    """Return the cost. Raises TypeError unless an int, ValueError if negative."""
    if type(cost_us) is not int:
        raise TypeError(f"a cost is whole microseconds, not {cost_us!r}")
    if cost_us < 0:
        raise ValueError(f"a cost is not negative, but {cost_us} was given")
    return cost_us


def check_limits(name: str, weight: int, *caps: int | None) -> None:
    """Raise ValueError unless the weight is at least 1 and no cap is negative."""
    if weight < 1:
        raise ValueError(f"weight of {name} is {weight}; it must be at least 1")
    for cap in caps:
        if cap is not None and cap < 0:
            raise ValueError(f"cap of {name} is {cap}; it must not be negative")


#: Makes a Dispatch of a tuple, in a third of the time that its class takes.
new_dispatch: Final = partial(tuple.__new__, Dispatch)
