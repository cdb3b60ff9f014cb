"""The rate gates that are shut, and when the next of them opens.

A gate stands here while it is shut and its tenant has work waiting. One that was looked
at while its tenant had none may be out: it is put back when work comes.
"""

from collections.abc import Iterator, Mapping
from sys import maxsize

from fairshare.gates import Rate, RateGate
from fairshare.ranking import Ranking
from fairshare.tree import Tenant

__all__ = ["Openings"]

NEVER_US = maxsize  # when the first gate opens, if none is shut


class Openings:
    """Shut gates in the order of opening; O(log n) for each change."""

    def __init__(self) -> None:
        self._shut: Ranking[RateGate] = Ranking()
        self.due_us = NEVER_US  # when the first of them opens

    def set_rate(self, tenant: Tenant, rate: Rate | None) -> None:
        """Give the tenant another rate, or none."""
        if tenant.rate == rate:
            return
        gate = tenant.rate_gate
        if gate is not None:
            self._discard(gate)
        if rate is None:
            tenant.rate_gate = None
        elif gate is None:
            tenant.rate_gate = RateGate(rate, tenant.name)
        else:
            gate.change(rate)

    def take(self, tenant: Tenant, now_us: int) -> None:
        """Count a dispatch of the tenant against its rate, if it has one."""
        gate = tenant.rate_gate
        if gate is None:
            return
        gate.take(now_us)
        if gate.is_shut:
            tenant.update_limits()
            self.expect(tenant)

    def expect(self, tenant: Tenant) -> None:
        """Wait for the tenant's gate, if it is shut."""
        gate = tenant.rate_gate
        if gate is not None and gate.is_shut and not gate.entry:
            self.due_us = self._shut.put((gate.opens_us, tenant.name, gate)).opens_us

    def opened(self, now_us: int) -> Iterator[str]:
        """Open the gates whose time has come, and return whose they were."""
        while (gate := self._shut.first()) is not None and gate.opens_us <= now_us:
            self._discard(gate)
            gate.open()
            yield gate.tenant

    def next_us(self, tenants: Mapping[str, Tenant]) -> int | None:
        """Return when the first gate that holds waiting work opens, if any."""
        while (gate := self._shut.first()) is not None:
            tenant = tenants[gate.tenant]
            if tenant.node.head is not None and not tenant.is_paused:
                return gate.opens_us
            self._discard(gate)
        return None

    def _discard(self, gate: RateGate) -> None:
        first = self._shut.discard(gate)
        self.due_us = NEVER_US if first is None else first.opens_us

    def check_invariants(self) -> None:
        """Assert that the gates stand in order."""
        self._shut.check_invariants()
