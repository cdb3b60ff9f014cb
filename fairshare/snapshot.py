"""What a scheduler leaves behind, so that another one can go on where it stopped.

Virtual times are without the charges of attempts in flight: an attempt settled later
is charged in full, and one still in flight is restored in full. A tenant that is not
listed stood at its tier's clock or behind it, with nothing to do: a newcomer.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Changes", "ClassState", "Snapshot", "TenantState", "TierState"]


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

    def shared_json(self) -> str:
        """Return all but the tenants as one line of JSON, its records as arrays."""
        return _to_json((self.clock, self.floor, self.tiers))

    def tenants_json(self) -> dict[str, str]:
        """Return each tenant's state as one line of JSON."""
        return {name: _to_json(state) for name, state in self.tenants.items()}

    @classmethod
    def from_json(cls, shared: str, tenants: Mapping[str, str]) -> "Snapshot":
        """Return the snapshot that `shared_json` and `tenants_json` wrote."""
        clock, floor, tiers = json.loads(shared)
        return cls(
            clock=clock,
            floor=floor,
            tiers={name: TierState(*state) for name, state in tiers.items()},
            tenants={name: _tenant(*json.loads(t)) for name, t in tenants.items()},
        )

    def matters(self, tenant: TenantState) -> bool:
        """Return whether the tenant's state says more than its absence would.

        Time makes states meaningless: the clock passes a debt without touching it.
        """
        return bool(
            tenant.classes
            or tenant.is_ready
            or tenant.due_us
            or tenant.virtual_time > self.tiers[tenant.tier].clock
        )


class Changes(NamedTuple):
    """What to write over an earlier snapshot to have one of now."""

    #: With the tenants that have changed and matter.
    snapshot: Snapshot
    #: Those that have changed and matter no more.
    gone: list[str]


def _to_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _tenant(*values: Any) -> TenantState:
    state = TenantState._make(values)
    classes = {name: ClassState(*kept) for name, kept in state.classes.items()}
    return state._replace(classes=classes)
