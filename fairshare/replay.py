"""Rebuild a scheduler: take a snapshot, resume from one, replay what came after.

Until the first pick, every node that a snapshot or a replay gave a virtual time is
remembered: one that was ready in the snapshot keeps its place, one that was idle is
lifted to the clock once, when it is first charged, as it was when it became ready.
"""

from collections.abc import Iterable, Mapping

from fairshare.snapshot import ClassState, Snapshot, TenantState, TierState
from fairshare.tree import (
    HELD_PLACE,
    Branch,
    Flight,
    Node,
    Path,
    Priority,
    Tenant,
    Tier,
)

__all__ = ["Replay", "take"]


def take(
    root: Branch,
    tiers: Mapping[str, Tier],
    tenants: Mapping[str, Tenant],
    flights: Iterable[Flight],
) -> Snapshot:
    """Return where the nodes stand, without the charges of the flights."""
    settled: dict[Node, int] = {tier: tier.virtual_time for tier in tiers.values()}
    for tenant in tenants.values():
        settled[tenant] = tenant.virtual_time
        settled.update((q, q.virtual_time) for q in tenant.queues.values())
    for flight in flights:
        for node, ticks in flight.path:
            if node in settled:
                settled[node] -= flight.charged_us * ticks
    return Snapshot(
        clock=root.clock,
        floor=root.floor,
        tiers={
            name: TierState(settled[tier], bool(tier.entry), tier.clock, tier.floor)
            for name, tier in tiers.items()
        },
        tenants={
            name: _tenant_state(tenant, settled)
            for name, tenant in tenants.items()
            if _matters(tenant)
        },
    )


class Replay:
    """The nodes whose virtual time was given, not earned here."""

    def __init__(self) -> None:
        self._given: set[Node] = set()

    @property
    def is_open(self) -> bool:
        """Return whether anything was given since the last pick."""
        return bool(self._given)

    def resume(
        self,
        snapshot: Snapshot,
        root: Branch,
        tiers: Mapping[str, Tier],
        tenants: Mapping[str, Tenant],
    ) -> None:
        """Give the nodes the clocks and virtual times of a snapshot."""
        root.clock, root.floor = snapshot.clock, snapshot.floor
        for name, tier in tiers.items():
            tier.virtual_time = snapshot.clock
            if (state := snapshot.tiers.get(name)) is not None:
                tier.clock, tier.floor = state.clock, state.floor
                self._give(tier, state.virtual_time, state.is_ready)
        for name, tenant in tenants.items():
            tenant.virtual_time = tenant.parent.clock
            if (kept := snapshot.tenants.get(name)) is not None:
                self._resume_tenant(tenant, kept, snapshot)

    def lift(self, path: Path) -> None:
        """Lift what was idle in the snapshot, once, when first charged since."""
        for node, _ in path:
            if node not in self._given and node.parent is not None:
                self._given.add(node)
                if not node.entry:
                    node.virtual_time = max(node.virtual_time, node.parent.clock)

    def forget(self, node: Node) -> None:
        """Drop a node that competes no more."""
        self._given.discard(node)

    def end(self) -> None:
        """Let what has no work after all lose the place it held."""
        for node in self._given:
            if node.entry == HELD_PLACE:
                node.entry = None
            if isinstance(node, Tenant):
                node.forget_queues_if_drained()
        self._given.clear()

    def _give(self, node: Node, virtual_time: int, is_ready: bool) -> None:
        node.virtual_time = virtual_time
        if is_ready:
            node.entry = HELD_PLACE
        self._given.add(node)

    def _resume_tenant(
        self, tenant: Tenant, state: TenantState, snapshot: Snapshot
    ) -> None:
        ahead = state.virtual_time - snapshot.tiers[state.tier].clock
        self._give(tenant, tenant.parent.clock + ahead, state.is_ready)
        tenant.clock, tenant.floor = state.clock, state.floor
        for name, kept in state.classes.items():
            queue = tenant.queue(Priority[name])
            self._give(queue, kept.virtual_time, kept.is_ready)
        if tenant.rate_gate is not None:
            tenant.rate_gate.resume(due_us=state.due_us, seen_us=state.seen_us)
            tenant.update_limits()


def _matters(tenant: Tenant) -> bool:
    return bool(
        tenant.queues
        or tenant.virtual_time > tenant.parent.clock
        or tenant.rate_gate is not None
    )


def _tenant_state(tenant: Tenant, settled: dict[Node, int]) -> TenantState:
    gate = tenant.rate_gate
    return TenantState(
        tier=tenant.parent.name,
        virtual_time=settled[tenant],
        is_ready=bool(tenant.entry),
        clock=tenant.clock,
        floor=tenant.floor,
        due_us=0 if gate is None else gate.due_us,
        seen_us=0 if gate is None else gate.seen_us,
        classes={
            priority.name: ClassState(settled[queue], bool(queue.entry))
            for priority, queue in tenant.queues.items()
        },
    )
