"""Rebuild a scheduler: take a snapshot, resume from one, replay what came after.

Until the first pick, every node that a snapshot or a replay gave a virtual time is
remembered: one that was ready in the snapshot keeps its place, one that was idle is
lifted once, when it is first charged, as it was when it became ready. A tenant that
the snapshot does not name begins as a newcomer.

Limits
    Exact for nodes that had work throughout: their charges are sums. For others, what
    they were lifted to cannot be told from the ledger: it depends on the holds that
    were open then. One that was idle in the snapshot and was charged since is lifted
    to the clock, one whose work came since, and before the first pick, to the first
    of those whose work was offered before its own. An idle tenant between the first
    ready one and the clock was a little in debt, and begins as a newcomer all the
    same. Each of these is off by what the clock is ahead of the first ready one, which
    holds found too large have left there, and only once for each leader.
"""

from collections.abc import Iterable, Mapping

from fairshare.branch import Branch, Node
from fairshare.snapshot import ClassState, Snapshot, TenantState, TierState
from fairshare.tree import Flight, Path, Priority, Tenant, Tier

__all__ = ["Replay", "take"]


def take(
    root: Branch,
    tiers: Mapping[str, Tier],
    tenants: Mapping[str, Tenant],
    flights: Iterable[Flight],
) -> Snapshot:
    """Return where the nodes stand, without the charges of the flights.

    Of the tenants, those given that matter.
    """
    nodes = [tier.node for tier in tiers.values()]
    for tenant in tenants.values():
        nodes += [tenant.node, *(queue.node for queue in tenant.queues.values())]
    settled = {node: node.virtual_time for node in nodes}
    for flight in flights:
        for node, ticks in flight.path:
            if node in settled:
                settled[node] -= flight.charged_us * ticks
    snapshot = Snapshot(
        clock=root.clock,
        floor=root.floor,
        tiers={
            name: TierState(
                virtual_time=settled[tier.node],
                is_ready=_is_ready(tier.node),
                clock=tier.branch.clock,
                floor=tier.branch.floor,
            )
            for name, tier in tiers.items()
        },
        tenants={},
    )
    for name, tenant in tenants.items():
        state = _tenant_state(tenant, settled)
        if snapshot.matters(state):
            snapshot.tenants[name] = state
    return snapshot


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
    ) -> set[str]:
        """Give the nodes the clocks and virtual times of a snapshot.

        Returns the tenants that are now in another tier than there.
        """
        moved: set[str] = set()
        root.clock, root.floor = snapshot.clock, snapshot.floor
        for name, tier in tiers.items():
            tier.node.virtual_time = snapshot.clock
            if (state := snapshot.tiers.get(name)) is not None:
                tier.branch.clock, tier.branch.floor = state.clock, state.floor
                self._give(tier.node, state.virtual_time, state.is_ready)
        presents = _presents(snapshot)
        for name, tenant in tenants.items():
            clock = tenant.tier.branch.clock
            tenant.node.virtual_time = presents.get(tenant.tier.name, clock)
            kept = snapshot.tenants.get(name)
            if kept is not None and snapshot.matters(kept):
                self._resume_tenant(tenant, kept, snapshot)
                if kept.tier != tenant.tier.name:
                    moved.add(name)
        return moved

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

    def end(self) -> set[str]:
        """Let what has no work after all lose the place it held; returns whose it was.

        Only tenants are named, for themselves and for their classes.
        """
        lost = {tenant.name for tenant in self._tenants if _loses(tenant)}
        for node in self.given:
            node.is_held = False
        for tenant in self._tenants:
            tenant.forget_queues_if_drained()
        self.given.clear()
        self._tenants.clear()
        return lost

    def _give(self, node: Node, virtual_time: int, is_ready: bool) -> None:
        node.virtual_time, node.is_held = virtual_time, is_ready
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


def _presents(snapshot: Snapshot) -> dict[str, int]:
    """Return what a newcomer of each tier is lifted to; see `Branch.present`."""
    presents = {name: tier.clock for name, tier in snapshot.tiers.items()}
    for state in snapshot.tenants.values():
        if state.is_ready and state.virtual_time < presents[state.tier]:
            presents[state.tier] = state.virtual_time
    return presents


def _loses(tenant: Tenant) -> bool:
    """Return whether the tenant holds a place for work, or a class, and has none."""
    nodes = [tenant.node, *(queue.node for queue in tenant.queues.values())]
    return (
        any(node.is_held and node.entry is None for node in nodes)
        or tenant.is_drained()
    )


def _is_ready(node: Node) -> bool:
    """Return whether the node is ranked, or holds the place that it had."""
    return node.is_held or node.entry is not None


def _tenant_state(tenant: Tenant, settled: Mapping[Node, int]) -> TenantState:
    gate = tenant.rate_gate
    return TenantState(
        tier=tenant.tier.name,
        virtual_time=settled[tenant.node],
        is_ready=_is_ready(tenant.node),
        clock=tenant.branch.clock,
        floor=tenant.branch.floor,
        due_us=0 if gate is None else gate.due_us,
        seen_us=0 if gate is None else gate.seen_us,
        classes={
            queue.node.name: ClassState(settled[queue.node], _is_ready(queue.node))
            for queue in tenant.queues.values()
        },
    )
