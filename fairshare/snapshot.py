"""What a scheduler leaves behind, so that another one can go on where it stopped.

Virtual times are without the charges of attempts in flight: an attempt settled later
is charged in full, and one still in flight is restored in full. A node that is not
listed stood at its parent's clock or behind it, with nothing to do.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ClassState", "Snapshot", "TenantState", "TierState"]


@dataclass(frozen=True, slots=True)
class ClassState:
    """One priority class of a tenant with jobs."""

    virtual_time: int  # in ticks
    is_ready: bool


@dataclass(frozen=True, slots=True)
class TenantState:
    """A tenant that is backlogged, in flight, in debt or has used up its rate."""

    tier: str
    virtual_time: int  # in ticks
    is_ready: bool
    clock: int  # in ticks, among its classes
    floor: int
    due_us: int  # of its rate gate, in the time given to `pick`
    seen_us: int
    classes: dict[str, ClassState]  # by priority name


@dataclass(frozen=True, slots=True)
class TierState:
    """A tier's place among the tiers, and the clock of its tenants."""

    virtual_time: int  # in ticks
    is_ready: bool
    clock: int
    floor: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The clocks and virtual times of every node that matters."""

    clock: int
    floor: int
    tiers: dict[str, TierState]
    tenants: dict[str, TenantState]

    def to_json(self) -> str:
        """Return the snapshot as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Snapshot":
        """Return the snapshot that `to_json` wrote."""
        data = json.loads(text)
        return cls(
            clock=data["clock"],
            floor=data["floor"],
            tiers={name: TierState(**tier) for name, tier in data["tiers"].items()},
            tenants={name: _tenant(state) for name, state in data["tenants"].items()},
        )


def _tenant(state: dict[str, Any]) -> TenantState:
    classes = {name: ClassState(**c) for name, c in state["classes"].items()}
    return TenantState(**{**state, "classes": classes})
