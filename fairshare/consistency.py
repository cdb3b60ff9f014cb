"""Assert what must hold of a scheduler between any two calls; for tests."""
# ruff: noqa: S101 - it is what this file is for

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from fairshare.branch import Branch, Node, Waiting
from fairshare.tree import Flight, Queue, Tenant, Tier

__all__ = ["check"]


def check(
    root: Branch,
    tiers: Mapping[str, Tier],
    tenants: Mapping[str, Tenant],
    waiting: Mapping[Any, Waiting],
    flights: Mapping[Any, Flight],
) -> None:
    """Assert invariants 1 to 5 of `fairshare.scheduler`; O(all jobs)."""
    nodes = [tier.node for tier in tiers.values()]
    root.check_children(nodes)
    nodes += _below(tenants.values())
    _check_flights(nodes, tenants.values(), flights.values())
    for tier in tiers.values():
        tier.branch.check_children([t.node for t in tenants.values() if t.tier is tier])
    for tenant in tenants.values():
        tenant.check_invariants()
        _check_gate(tenant)
    queues = _queues(tenants.values())
    assert {job: known[-1] for job, known in waiting.items()} == queues
    assert not waiting.keys() & flights.keys()


def _below(tenants: Iterable[Tenant]) -> Iterable[Node]:
    for tenant in tenants:
        yield tenant.node
        for queue in tenant.queues.values():
            yield queue.node


def _queues(tenants: Iterable[Tenant]) -> dict[Any, Queue]:
    queues = (queue for tenant in tenants for queue in tenant.queues.values())
    return {job: queue for queue in queues for job in queue.jobs()}


def _check_flights(
    nodes: Iterable[Node], tenants: Iterable[Tenant], flights: Iterable[Flight]
) -> None:
    in_flight: Counter[Node] = Counter()
    open_us: Counter[Tenant] = Counter()
    for flight in flights:
        open_us[flight.tenant] += flight.charged_us
        for node, _ in flight.path:
            in_flight[node] += 1
    for node in nodes:
        assert node.in_flight == in_flight[node]
    for tenant in tenants:
        assert tenant.used_us >= open_us[tenant]


def _check_gate(tenant: Tenant) -> None:
    if tenant.node.head is not None and tenant.is_shut() and not tenant.is_paused:
        assert tenant.rate_gate is not None
        assert tenant.rate_gate.entry
