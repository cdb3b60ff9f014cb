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
    nodes = [tier.node for tier in tiers.values()]
    for tenant in tenants.values():
        nodes += [tenant.node, *(queue.node for queue in tenant.queues.values())]
    settled = {node: node.virtual_time for node in nodes}
    for flight in flights:
        for node, ticks in flight.path:
            if node in settled:
                settled[node] -= flight.charged_us * ticks
    return Snapshot(
        clock=root.clock,
        floor=root.floor,
        tiers={
            name: TierState(
                virtual_time=settled[tier.node],
                is_ready=bool(tier.node.entry),
                clock=tier.branch.clock,
                floor=tier.branch.floor,
            )
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
        self.given: set[Node] = set()
        self._tenants: set[Tenant] = set()  # with a node among them

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
            tier.node.virtual_time = snapshot.clock
            if (state := snapshot.tiers.get(name)) is not None:
                tier.branch.clock, tier.branch.floor = state.clock, state.floor
                self._give(tier.node, state.virtual_time, state.is_ready)
        for name, tenant in tenants.items():
            tenant.node.virtual_time = tenant.tier.branch.clock
            if (kept := snapshot.tenants.get(name)) is not None:
                self._resume_tenant(tenant, kept, snapshot)

    def lift(self, tenant: Tenant, path: Path) -> None:
        """Lift what was idle in the snapshot, once, when first charged since."""
        self._tenants.add(tenant)
        for node, _ in path:
            if node not in self.given and node.parent is not None:
                self.given.add(node)
                if not node.entry:
                    node.virtual_time = max(node.virtual_time, node.parent.clock)

    def forget(self, tenant: Tenant) -> None:
        """Drop a tenant that competes no more."""
        self._tenants.discard(tenant)
        self.given.discard(tenant.node)

    def end(self) -> None:
        """Let what has no work after all lose the place it held."""
        for node in self.given:
            if node.entry == HELD_PLACE:
                node.entry = None
        for tenant in self._tenants:
            tenant.forget_queues_if_drained()
        self.given.clear()
        self._tenants.clear()

    def _give(self, node: Node, virtual_time: int, is_ready: bool) -> None:
        node.virtual_time = virtual_time
        if is_ready:
            node.entry = HELD_PLACE
        self.given.add(node)

    def _resume_tenant(
        self, tenant: Tenant, state: TenantState, snapshot: Snapshot
    ) -> None:
        self._tenants.add(tenant)
        ahead = state.virtual_time - snapshot.tiers[state.tier].clock
        self._give(tenant.node, tenant.tier.branch.clock + ahead, state.is_ready)
        tenant.branch.clock, tenant.branch.floor = state.clock, state.floor
        for name, kept in state.classes.items():
            queue = tenant.queue(Priority[name])
            self._give(queue.node, kept.virtual_time, kept.is_ready)
        if tenant.rate_gate is not None:
            tenant.rate_gate.resume(due_us=state.due_us, seen_us=state.seen_us)
            tenant.update_limits()


def _matters(tenant: Tenant) -> bool:
    return bool(
        tenant.queues
        or tenant.node.virtual_time > tenant.tier.branch.clock
        or tenant.rate_gate is not None
    )


def _tenant_state(tenant: Tenant, settled: Mapping[Node, int]) -> TenantState:
    gate = tenant.rate_gate
    return TenantState(
        tier=tenant.tier.name,
        virtual_time=settled[tenant.node],
        is_ready=bool(tenant.node.entry),
        clock=tenant.branch.clock,
        floor=tenant.branch.floor,
        due_us=0 if gate is None else gate.due_us,
        seen_us=0 if gate is None else gate.seen_us,
        classes={
            queue.node.name: ClassState(
                settled[queue.node], is_ready=bool(queue.node.entry)
            )
            for queue in tenant.queues.values()
        },
    )
