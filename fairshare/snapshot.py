"""What a scheduler leaves behind, so that another one can go on where it stopped.

Virtual times are without the charges of attempts in flight: an attempt settled later
is charged in full, and one still in flight is restored in full. A node that is not
listed stood at its parent's clock or behind it, with nothing to do.
"""

import json
from typing import Any, NamedTuple

__all__ = ["ClassState", "Snapshot", "TenantState", "TierState"]


class ClassState(NamedTuple):
    """One priority class of a tenant with jobs."""

    virtual_time: int  # in ticks
    is_ready: bool


class TenantState(NamedTuple):
    """A tenant that is backlogged, in flight, in debt or has used up its rate."""

    tier: str
    virtual_time: int  # in ticks
    is_ready: bool
    clock: int  # in ticks, among its classes
    floor: int
    due_us: int  # of its rate gate, in the time given to `pick`
    seen_us: int
    classes: dict[str, ClassState]  # by priority name


class TierState(NamedTuple):
    """A tier's place among the tiers, and the clock of its tenants."""

    virtual_time: int  # in ticks
    is_ready: bool
    clock: int
    floor: int


class Snapshot(NamedTuple):
    """The clocks and virtual times of every node that matters."""

    clock: int
    floor: int
    tiers: dict[str, TierState]
    tenants: dict[str, TenantState]

    def to_json(self) -> str:
        """Return the snapshot as one line of JSON, its records as arrays."""
        return json.dumps(self, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Snapshot":
        """Return the snapshot that `to_json` wrote."""
        clock, floor, tiers, tenants = json.loads(text)
        return cls(
            clock=clock,
            floor=floor,
            tiers={name: TierState(*state) for name, state in tiers.items()},
            tenants={name: _tenant(*state) for name, state in tenants.items()},
        )


def _tenant(*values: Any) -> TenantState:
    state = TenantState._make(values)
    classes = {name: ClassState(*kept) for name, kept in state.classes.items()}
    return state._replace(classes=classes)
