"""Who competes with a tenant, summed up, so that a wait can be explained.

Whoever has a job waiting or in flight competes, also while a gate holds it: the gate
may open. `ahead_us` is a node's virtual time minus its parent's clock, in microseconds
at weight 1; of a node that is not ranked it is what the lift will leave.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fairshare.tree import NO_LIMIT, TICKS_PER_US, Node, Priority, Queue, Tenant

__all__ = ["ClassPlace", "TenantPlace", "TierContest", "place_of", "sum_up"]


class ClassPlace(NamedTuple):
    """One priority class of a tenant; its place is None before its first job."""

    weight: int  # in thousandths
    has_work: bool
    ahead_us: int | None


class TenantPlace(NamedTuple):
    """Where a tenant, its classes and its tier stand among their siblings."""

    has_work: bool
    most: int | None  # its cap
    ahead_us: int
    tier_ahead_us: int
    classes: dict[Priority, ClassPlace]


class TierContest(NamedTuple):
    """A tier that has work, and its tenants that have some, taken together."""

    weight: int  # in thousandths
    is_capped: bool
    tenants: int
    tenants_weight: int  # in thousandths
    tenants_most: int  # the attempts that they can have in flight, added up


def place_of(tenant: Tenant) -> TenantPlace:
    """Return where the tenant stands."""
    return TenantPlace(
        has_work=_has_work(tenant.node),
        most=tenant.cap,
        ahead_us=_ahead_us(tenant.node),
        tier_ahead_us=_ahead_us(tenant.tier.node),
        classes={priority: _class_place(tenant, priority) for priority in Priority},
    )


def sum_up(tenants: Iterable[Tenant], most: int) -> Mapping[str, TierContest]:
    """Return every tier that has work; a tenant without a cap has `most` in flight."""
    found: dict[str, TierContest] = {}
    for tenant in tenants:
        if not _has_work(tenant.node):
            continue
        tier = tenant.tier.node
        before = found.get(tier.name) or TierContest(
            tier.weight, tier.limit != NO_LIMIT, 0, 0, 0
        )
        own_most = most if tenant.cap is None else min(most, tenant.cap)
        found[tier.name] = before._replace(
            tenants=before.tenants + 1,
            tenants_weight=before.tenants_weight + tenant.node.weight,
            tenants_most=before.tenants_most + own_most,
        )
    return found


def _has_work(node: Node) -> bool:
    return node.head is not None or node.in_flight > 0


def _class_place(tenant: Tenant, priority: Priority) -> ClassPlace:
    queue = tenant.queues.get(priority)
    weight = Queue.weight_of(priority)
    if queue is None:
        return ClassPlace(weight, has_work=False, ahead_us=None)
    node = queue.node
    return ClassPlace(weight, has_work=_has_work(node), ahead_us=_ahead_us(node))


def _ahead_us(node: Node) -> int:
    ahead_us = (node.virtual_time - node.parent.clock) // TICKS_PER_US
    return max(0, ahead_us) if node.entry is None else ahead_us
