"""Choose whose job is dispatched next, so that tenants share worker time by weight.

Idea
    Start-time fair queueing with a hold and a settlement. Every node of a tree (here:
    tenants under one root, priority classes under each tenant) has a virtual time:
    the worker-microseconds charged to it, divided by its weight. The eligible child
    with the smallest virtual time goes next. What a job will cost is not known when
    it starts, so the estimate is charged at once (hold), more is charged while the
    job runs past it (refresh), and the sum becomes the actual cost at the end
    (settle), which may give something back.

Source
    Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM 1996: the order and the
    hierarchy. Sheng et al., "Fairness in Serving Large Language Models" (VTC), OSDI
    2024: charge as the work is produced, lift on activation. Kubernetes API Priority
    and Fairness, KEP-1040: estimate, then correct by the actual.

Differences
    1. Start-time fair queueing tags each packet; here a node carries the only tag,
       so a new weight binds on the jobs already waiting.
    2. A branch's clock is the largest virtual time it has served, not the smallest
       one present: a tenant that cannot run never holds the clock back.
    3. A node that becomes eligible again (new work, cap or pause lifted) is lifted to
       the clock: idle and gated time earns nothing. It is never lowered: debt stays.
    4. An attempt is charged at the weight it was dispatched with, to its end. So a
       refund undoes exactly what the hold did, and the ledger alone (cost and weight
       of each attempt) reproduces the charges.

Invariants (`check_invariants` asserts the first five)
    1. A node is ranked if and only if it could start a job now, under its present key.
    2. A job is known once: waiting or in flight.
    3. A tenant's in-flight count is the number of its attempts not yet settled.
    4. A tenant's used time is at least the sum of its open charges, and an open
       charge is at least its hold.
    5. Each heap is a heap and holds at most twice its live entries plus a constant.
    6. A pick never takes a tenant past its cap, and is None only if no job is eligible.
    7. Clocks never go back.

Bound
    For tenants i and j that both have an eligible job waiting throughout an interval,
    the worker time A they get in it differs by at most

        | A_i / w_i - A_j / w_j |  <=  2 * N * K
        K = max over i and j of (max(C, hold) + delta) / w

    N is the number of slots plus the jobs published but not started, C a tenant's
    longest attempt, `hold` its largest hold, `delta` the refresh step, w the weight;
    3 * N * K if one of them enters the interval in debt. It does not depend on the
    quality of the estimates. It needs `refresh` for each running attempt at least
    every `delta`. Shorter attempts are the only way to a smaller bound: a running
    attempt is never interrupted here.

Cost
    O(log n) amortised for each call, n being the tenants; `snapshot`, `resume` and
    `check_invariants` are O(n). A tenant's queues exist only while it has jobs.

Limits
    One level of tenants. One thread. Charges are whole microseconds; virtual time is
    in ticks, whole numbers, exact for the weights 1 to 16 and otherwise rounded down
    by less than one tick (1.4 millionths of a microsecond) for each attempt. Class
    virtual times are forgotten when a tenant has no job left, and are not part of a
    snapshot. `remove_tenant` forgets debt: pause a tenant to keep it.

>>> scheduler: FairScheduler[int] = FairScheduler()
>>> scheduler.set_tenant("small", weight=1000)
>>> scheduler.set_tenant("large", weight=2000)
>>> for job in range(12):
...     _ = scheduler.offer("small" if job % 2 else "large", job, order=job)
>>> picks = []
>>> for _ in range(6):
...     dispatch = scheduler.pick(estimate=5_000)
...     scheduler.settle(dispatch.job, actual_us=8_000)
...     picks.append(dispatch.tenant)
>>> picks
['large', 'small', 'large', 'small', 'large', 'large']
"""
# ruff: noqa: N818, S101 - exceptions are named for what happened; invariants are asserted

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from fairshare.tree import (
    TICKS_PER_US,
    WEIGHT_ONE,
    Branch,
    Flight,
    Gate,
    Priority,
    Queue,
    Tenant,
    Waiting,
    place,
)

__all__ = [
    "DELTA_US",
    "FLOOR_US",
    "Dispatch",
    "FairScheduler",
    "Gate",
    "JobAlreadyKnown",
    "Priority",
    "Snapshot",
    "TenantInFlight",
    "TenantShare",
    "UnknownJob",
    "UnknownTenant",
]

DELTA_US = 1_000_000
"""How far ahead of its elapsed time a long attempt is charged, in microseconds."""

FLOOR_US = 200
"""The least hold, in microseconds: a zero estimate must not start jobs for free."""


class Sortable(Protocol):
    """Whatever orders one job before another; comparable across all tenants."""

    def __lt__(self, other: Any, /) -> bool: ...


JobT = TypeVar("JobT", bound=Hashable)


class UnknownTenant(LookupError):
    """The tenant was never set, or was removed: call set_tenant first."""


class UnknownJob(LookupError):
    """The job is not in flight: it was never picked or restored, or is settled."""


class JobAlreadyKnown(ValueError):
    """The job is waiting or in flight already, so it cannot be restored."""


class TenantInFlight(ValueError):
    """The tenant has attempts in flight: pause it and settle them first."""


@dataclass(frozen=True, slots=True)
class Dispatch(Generic[JobT]):
    """One decision: start this job and write its hold and weight to the ledger."""

    job: JobT
    tenant: str
    held_us: int
    weight: int  # in thousandths


@dataclass(frozen=True, slots=True)
class TenantShare:
    """One tenant's numbers, for explaining why its jobs wait."""

    tenant: str
    weight: int  # in thousandths
    virtual_time: int  # in ticks
    ahead_us: int  # virtual time minus the clock, in microseconds at weight 1
    used_us: int  # settled costs plus open charges since this object was made
    in_flight: int
    waiting: int
    gate: Gate


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The root's clock, in ticks, and every tenant's numbers by name."""

    clock: int
    tenants: dict[str, TenantShare]


class FairScheduler(Generic[JobT]):
    """The waiting and in-flight jobs of one pool, and the rule that orders them."""

    def __init__(self, *, delta_us: int = DELTA_US) -> None:
        self._delta_us = delta_us
        self._root = Branch(WEIGHT_ONE, parent=None)
        self._tenants: dict[str, Tenant] = {}
        self._waiting: dict[JobT, Waiting] = {}
        self._flights: dict[JobT, Flight] = {}

    # Tenants

    def set_tenant(
        self, tenant: str, *, weight: int, cap: int | None = None, paused: bool = False
    ) -> None:
        """Create the tenant or change it, effective from the next charge.

        `weight` is in thousandths (1000 is weight 1); `cap` limits its attempts in
        flight, None meaning no limit. Raises ValueError for a weight below 1 or a
        negative cap.
        """
        if weight < 1:
            raise ValueError(f"weight of {tenant} is {weight}; it must be at least 1")
        if cap is not None and cap < 0:
            raise ValueError(f"cap of {tenant} is {cap}; it must not be negative")
        node = self._tenants.get(tenant)
        if node is None:
            node = self._tenants[tenant] = Tenant(tenant, weight, self._root)
        node.weight, node.cap, node.is_paused = weight, cap, paused
        self._root.place(node)

    def remove_tenant(self, tenant: str) -> None:
        """Forget the tenant, its waiting jobs and its debt.

        Raises UnknownTenant, or TenantInFlight while it has attempts in flight.
        """
        node = self._tenant(tenant)
        if node.in_flight:
            raise TenantInFlight(f"{tenant} has {node.in_flight} attempts in flight")
        for queue in node.queues.values():
            for waiting in queue.jobs:
                del self._waiting[waiting.job]
        self._root.ready.discard(node)
        del self._tenants[tenant]

    # Waiting jobs

    def offer(
        self,
        tenant: str,
        job: JobT,
        *,
        order: Sortable,
        priority: int = Priority.NORMAL,
    ) -> bool:
        """Make an eligible job known; return whether it was new.

        A job that is waiting or in flight is left as it is: withdraw it first to
        change its order or priority. Raises UnknownTenant, or ValueError for an
        unknown priority.
        """
        node = self._tenant(tenant)
        if job in self._waiting or job in self._flights:
            return False
        queue = node.queue(Priority(priority))
        waiting = self._waiting[job] = Waiting(job, order, queue)
        queue.jobs.put(waiting, (order,))
        if queue.head() is waiting:
            place(queue)
        return True

    def withdraw(self, job: JobT) -> bool:
        """Forget a waiting job that may not start; return whether it was known."""
        waiting = self._waiting.pop(job, None)
        if waiting is None:
            return False
        waiting.queue.jobs.discard(waiting)
        place(waiting.queue)
        waiting.queue.tenant.forget_queues_if_drained()
        return True

    # Decisions and charges

    def pick(self, estimate: Callable[[str, JobT], int] | int) -> Dispatch[JobT] | None:
        """Choose the next job, charge its hold and count it in flight.

        `estimate` is the expected cost in microseconds, or a function of tenant and
        job that gives it. Returns None if no job is eligible. Whatever `estimate`
        raises leaves everything as it was.
        """
        waiting = self._root.head()
        if waiting is None:
            return None
        job, queue, tenant = waiting.job, waiting.queue, waiting.queue.tenant
        cost = estimate if isinstance(estimate, int) else estimate(tenant.name, job)
        held_us = max(FLOOR_US, _checked(cost))
        del self._waiting[job]
        queue.jobs.discard(waiting)
        self._launch(job, queue, held_us, tenant.weight)
        return Dispatch(job, tenant.name, held_us, tenant.weight)

    def refresh(self, job: JobT, elapsed_us: int) -> None:
        """Charge a running attempt ahead, once it has run as long as it is charged.

        Raises UnknownJob.
        """
        flight = self._flight(job)
        if _checked(elapsed_us) >= flight.charged_us:
            flight.charge(elapsed_us + self._delta_us)
            place(flight.queue)

    def settle(self, job: JobT, actual_us: int) -> None:
        """Make the attempt's charge its actual cost, and count it out of flight.

        Raises UnknownJob, so a second settlement is never charged.
        """
        flight = self._flight(job)
        flight.charge(_checked(actual_us))
        del self._flights[job]
        flight.queue.tenant.in_flight -= 1
        # After the charge: a tenant held by its cap must be lifted from its true
        # virtual time, not from one that still holds the estimate.
        place(flight.queue)
        flight.queue.tenant.forget_queues_if_drained()

    # Rebuilding from the ledger

    def resume(self, *, clock: int, virtual_times: Mapping[str, int]) -> None:
        """Take over the clock and the tenants' virtual times of a snapshot.

        Call it after set_tenant and before anything is charged or offered. Raises
        UnknownTenant.
        """
        self._root.clock = clock
        for tenant, virtual_time in virtual_times.items():
            node = self._tenant(tenant)
            node.virtual_time = virtual_time
            self._root.place(node)

    def restore(
        self,
        tenant: str,
        job: JobT,
        *,
        held_us: int,
        weight: int,
        priority: int = Priority.NORMAL,
    ) -> None:
        """Replay the dispatch of an attempt that is in flight in the ledger.

        Call it in the order of dispatch. Caps are not asked: the attempt runs.
        Raises UnknownTenant or JobAlreadyKnown.
        """
        queue = self._tenant(tenant).queue(Priority(priority))
        if job in self._waiting or job in self._flights:
            raise JobAlreadyKnown(f"{job!r} is waiting or in flight")
        self._launch(job, queue, _checked(held_us), weight)

    def charge(self, tenant: str, amount_us: int, weight: int) -> None:
        """Replay an attempt that is settled in the ledger. Raises UnknownTenant."""
        node = self._tenant(tenant)
        self._root.serve(node)
        node.charge(0, _checked(amount_us), weight)
        self._root.place(node)

    # Looking in

    def share(self, tenant: str) -> TenantShare:
        """Return one tenant's numbers. Raises UnknownTenant."""
        node = self._tenant(tenant)
        return TenantShare(
            tenant=tenant,
            weight=node.weight,
            virtual_time=node.virtual_time,
            ahead_us=(node.virtual_time - self._root.clock) // TICKS_PER_US,
            used_us=node.used_us,
            in_flight=node.in_flight,
            waiting=node.waiting(),
            gate=node.gate(),
        )

    def snapshot(self) -> Snapshot:
        """Return the clock and every tenant's numbers."""
        shares = {tenant: self.share(tenant) for tenant in self._tenants}
        return Snapshot(self._root.clock, shares)

    def check_invariants(self) -> None:
        """Assert invariants 1 to 5 of the module; for tests, O(all jobs)."""
        assert not self._waiting.keys() & self._flights.keys()
        flights = Counter(f.queue.tenant.name for f in self._flights.values())
        open_us: Counter[str] = Counter()
        for flight in self._flights.values():
            assert flight.charged_us >= flight.held_us
            open_us[flight.queue.tenant.name] += flight.charged_us
        for name, node in self._tenants.items():
            assert node.in_flight == flights[name]
            assert node.used_us >= open_us[name]
            node.check_invariants()
        self._root.check_children(self._tenants.values())
        assert len(self._waiting) == sum(n.waiting() for n in self._tenants.values())
        for job, waiting in self._waiting.items():
            assert waiting.job == job
            assert waiting.entry is not None

    # Private

    def _tenant(self, tenant: str) -> Tenant:
        try:
            return self._tenants[tenant]
        except KeyError:
            raise UnknownTenant(f"{tenant} is not set; call set_tenant first") from None

    def _flight(self, job: JobT) -> Flight:
        try:
            return self._flights[job]
        except KeyError:
            raise UnknownJob(f"{job!r} is not in flight") from None

    def _launch(self, job: JobT, queue: Queue, held_us: int, weight: int) -> None:
        tenant = queue.tenant
        self._root.serve(tenant)
        tenant.serve(queue)
        flight = self._flights[job] = Flight(queue, held_us, weight)
        flight.charge(held_us)
        tenant.in_flight += 1
        place(queue)


def _checked(cost_us: int) -> int:
    """Return the cost. Raises TypeError unless an int, ValueError if negative."""
    if type(cost_us) is not int:
        raise TypeError(f"a cost is whole microseconds, not {cost_us!r}")
    if cost_us < 0:
        raise ValueError(f"a cost is not negative, but {cost_us} was given")
    return cost_us
