"""A tenant's numbers, and who competes with it, so that a wait can be explained.

Whoever has a job waiting or in flight competes, also while a gate holds it: the gate
may open. `ahead_us` is a node's virtual time minus its parent's clock, in microseconds
at weight 1; of a node that is not ranked it is what the lift will leave.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fairshare.branch import NO_LIMIT, TICKS_PER_US, Branch, Node
from fairshare.gates import Gate
from fairshare.terms import TenantShare
from fairshare.tree import PRIORITY_WEIGHTS, Priority, Tenant, Tier

__all__ = [
    "ClassPlace",
    "TenantPlace",
    "TierContest",
    "place_of",
    "share_of",
    "sum_up",
]


class ClassPlace(NamedTuple):
    """One priority class of a tenant; its place is None before its first job."""

    weight: int  # in thousandths
    has_work: bool
    ahead_us: int | None


class TenantPlace(NamedTuple):
    """Where a tenant, its classes and its tier stand among their siblings."""

    has_work: bool
    cap: int | None
    elastic_cap: int | None
    is_tier_capped: bool
    ahead_us: int
    tier_ahead_us: int
    classes: dict[Priority, ClassPlace]


class TierContest(NamedTuple):
    """A tier that has work, and its tenants that have some, taken together."""

    weight: int  # in thousandths
    tenants_weight: int  # in thousandths
    tenants_most: int  # the attempts that they can have in flight, added up


def share_of(tenant: Tenant, root: Branch) -> TenantShare:
    """Return the tenant's numbers."""
    node, tier, gate = tenant.node, tenant.tier, tenant.gate()
    opens = tenant.rate_gate if gate is Gate.RATE else None
    return TenantShare(
        tenant=tenant.name,
        tier=tier.name,
        weight=node.weight,
        entitled=tier.branch.part(node) * root.part(tier.node),
        virtual_time=node.virtual_time,
        ahead_us=(node.virtual_time - tier.branch.clock) // TICKS_PER_US,
        used_us=tenant.used_us,
        in_flight=node.in_flight,
        waiting=tenant.waiting(),
        gate=gate,
        gate_opens_us=None if opens is None else opens.opens_us,
    )


def place_of(tenant: Tenant) -> TenantPlace:
    """Return where the tenant stands."""
    tier = tenant.tier.node
    return TenantPlace(
        has_work=_has_work(tenant.node),
        cap=tenant.cap,
        elastic_cap=tenant.elastic_cap,
        is_tier_capped=tier.limit != NO_LIMIT,
        ahead_us=_ahead_us(tenant.node),
        tier_ahead_us=_ahead_us(tier),
        classes={priority: _class_place(tenant, priority) for priority in Priority},
    )


def sum_up(tenants: Iterable[Tenant], most: int) -> Mapping[str, TierContest]:
    """Return every tier that has work; a tenant without a cap has `most` in flight."""
    sums: dict[Tier, list[int]] = {}
    for tenant in tenants:
        node, cap = tenant.node, tenant.cap
        # Not by a call: there may be ten thousand tenants.
        if node.head is not None or node.in_flight:
            weight_and_most = sums.setdefault(tenant.tier, [0, 0])
            weight_and_most[0] += node.weight
            weight_and_most[1] += most if cap is None or cap > most else cap
    return {
        tier.name: TierContest(tier.node.weight, *weight_and_most)
        for tier, weight_and_most in sums.items()
    }


def _has_work(node: Node) -> bool:
    return node.head is not None or node.in_flight > 0


def _class_place(tenant: Tenant, priority: Priority) -> ClassPlace:
    queue = tenant.queues.get(priority)
    weight = PRIORITY_WEIGHTS[priority]
    if queue is None:
        return ClassPlace(weight, has_work=False, ahead_us=None)
    return ClassPlace(weight, _has_work(queue.node), _ahead_us(queue.node))


def _ahead_us(node: Node) -> int:
    """Return how far the node is ahead; one not ranked is lifted before it goes on."""
    branch, virtual_time = node.parent, node.virtual_time
    if node.entry is None:
        virtual_time = max(virtual_time, branch.present())
    return (virtual_time - branch.clock) // TICKS_PER_US
