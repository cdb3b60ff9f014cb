"""Choose whose job is dispatched next, so that tenants share worker time by weight.

Idea
    Start-time fair queueing with a hold and a settlement. Every node of a tree (tiers
    under a root, tenants under a tier, priority classes under a tenant) has a virtual
    time: the worker-microseconds charged to it, divided by its weight. At each level
    the eligible child with the smallest virtual time goes next. What a job will cost is
    not known when it starts, so the estimate is charged at once (hold), more is charged
    while the job runs past it (refresh), and the sum becomes the actual cost at the end
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
    3. A node that becomes eligible again (new work; a cap, a rate or a pause lifted)
       is lifted to the clock: idle and gated time earns nothing. It is never lowered:
       debt stays. Where refunds have put every eligible child behind the clock, it is
       lifted to the first of these only: what others were charged too much for a while
       is no debt of a newcomer.
    4. An attempt is charged at the weights it was dispatched with, to its end. So a
       refund undoes exactly what the hold did, and the ledger alone (cost and weights
       of each attempt) reproduces the charges.
    5. A tenant at its elastic cap stands behind all that are not: it goes on only
       while no other tenant of the pool could start a job.
    6. Tiny jobs of one tenant may be picked together, as one long job: each is charged
       by itself, and the clocks move as for the first of them.

Invariants (`check_invariants` asserts the first five)
    1. A node is ranked if and only if it could start a job now, under its present key.
    2. A job is known once: waiting or in flight.
    3. A tenant's in-flight count is the number of its attempts not yet settled.
    4. A tenant's used time is at least the sum of its open charges, and an open
       charge is at least its hold.
    5. Each heap is a heap and holds at most twice its children plus a constant.
    6. A pick never takes a tenant past its cap, and is None only if no job is eligible.
    7. Clocks never go back.

Bound
    For two children i and j of one node that both have an eligible job waiting
    throughout an interval, the worker time A they get in it differs by at most

        | A_i / w_i - A_j / w_j |  <=  2 * N * K
        K = max over i and j of (max(C, hold) + delta) / w

    N is the number of slots plus the messages published but not started, C the longest
    attempt (or bundle) below the child, `hold` its largest hold, `delta` the refresh
    step, w the smallest weight at which its debt and open charges were charged; it is
    3 * N * K if one of them enters the interval in debt. Tenants of different tiers
    add the bounds of the levels. It does not depend on the quality of the estimates.
    It needs `refresh` for each running attempt at least every `delta`. Shorter attempts
    are the only way to a smaller bound: a running attempt is never interrupted here.

    Why: what is charged beyond what was attained is at most max(hold, delta) for each
    attempt in flight, and never further behind it than delta. When i was last served,
    its virtual time was the smallest; since then it attained at most what it had in
    flight. Settlements move charge and excess together, and the lift puts a newcomer no
    further back. docs/fair_share.md has the argument in full.

Cost
    O(log n) amortised at each level for each call, n being the children there;
    `snapshot`, `resume` and `check_invariants` are O(n), `changes` is O(what has
    changed). A tenant's queues exist only while it has jobs.

Limits
    One thread. Charges are whole microseconds; virtual time is in ticks, whole numbers:
    a weight counts as the nearest one that divides 720,720,000,000 from below, exact
    for the weights 1 to 16 and within 2 in a million for any up to 1,000. Class virtual
    times are forgotten when a tenant has no job left. `remove_tenant` forgets debt:
    pause a tenant to keep it.

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

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Generic

from fairshare import consistency, contest, replay
from fairshare.branch import (
    NO_LIMIT,
    WEIGHT_ONE,
    Branch,
    Node,
    Waiting,
    place,
)
from fairshare.contest import TenantPlace, TierContest
from fairshare.gates import Gate, Rate
from fairshare.openings import Openings
from fairshare.replay import Replay
from fairshare.snapshot import Changes, Snapshot
from fairshare.terms import (
    Dispatch,
    JobAlreadyKnown,
    JobT,
    Sortable,
    TenantInFlight,
    TenantShare,
    UnknownJob,
    UnknownTenant,
    check_limits,
    checked_cost,
    new_dispatch,
)
from fairshare.tree import Flight, Priority, Tenant, Tier

__all__ = [
    "DELTA_US",
    "FLOOR_US",
    "Dispatch",
    "FairScheduler",
    "Gate",
    "JobAlreadyKnown",
    "Priority",
    "Rate",
    "Snapshot",
    "TenantInFlight",
    "TenantShare",
    "UnknownJob",
    "UnknownTenant",
]

DELTA_US = 1_000_000
"""How far ahead of its elapsed time a long attempt is charged, in microseconds."""

FLOOR_US = 100
"""The least hold, in microseconds: a zero estimate must not start jobs for free."""


class FairScheduler(Generic[JobT]):
    """The waiting and in-flight jobs of one pool, and the rule that orders them."""

    def __init__(self, *, delta_us: int = DELTA_US) -> None:
        self._delta_us = delta_us
        self._root = Branch(Node("root", WEIGHT_ONE, parent=None))
        self._tiers: dict[str, Tier] = {}
        self._tenants: dict[str, Tenant] = {}
        self._waiting: dict[JobT, Waiting] = {}
        self._flights: dict[JobT, Flight] = {}
        self._serial = 0
        self._openings = Openings()
        self._replay = Replay()
        self._touched: set[str] = set()  # tenants that `changes` has to tell of

    # Tiers and tenants

    def set_tier(self, tier: str, *, weight: int, cap: int | None = None) -> None:
        """Create the tier or change it, effective from the next charge.

        `weight` is in thousandths; `cap` limits the attempts in flight of all its
        tenants, None meaning no limit. Raises ValueError for a weight below 1 or a
        negative cap.
        """
        check_limits(tier, weight, cap)
        known = self._tier(tier)
        node = known.node
        if weight != node.weight:
            self._root.reweigh(node, weight)
            for tenant in self._tenants.values():
                if tenant.tier is known:
                    tenant.forget_paths()
        node.limit = NO_LIMIT if cap is None else cap
        self._root.place(node)

    def set_tenant(
        self,
        tenant: str,
        *,
        weight: int,
        tier: str = "standard",
        cap: int | None = None,
        elastic_cap: int | None = None,
        rate: Rate | None = None,
        paused: bool = False,
    ) -> None:
        """Create the tenant or change it, effective from the next charge.

        `weight` is in thousandths (1000 is weight 1). `cap` limits its attempts in
        flight; `elastic_cap` does so only while another tenant could start a job;
        `rate` limits its dispatches over time, and needs the time in each `pick`.
        None means no limit. A tier that was never set has weight 1; a tenant that
        changes tiers takes its debt along, and its attempts in flight stay charged
        where they started. Raises ValueError for a weight below 1 or a negative cap.
        """
        check_limits(tenant, weight, cap, elastic_cap)
        home = self._tier(tier)
        known = self._tenants.get(tenant)
        if known is None:
            known = self._tenants[tenant] = Tenant(tenant, weight, home)
        else:
            self._touched.add(tenant)
            if known.tier is not home:
                known.move(home)
        home.branch.reweigh(known.node, weight)
        known.forget_paths()
        known.cap, known.elastic_cap, known.is_paused = cap, elastic_cap, paused
        self._openings.set_rate(known, rate)
        known.update_limits()
        self._openings.expect(known)
        place(known.node)

    def remove_tenant(self, tenant: str) -> None:
        """Forget the tenant, its waiting jobs and its debt.

        Raises UnknownTenant, or TenantInFlight while it has attempts in flight.
        """
        known = self._tenant(tenant)
        node = known.node
        if node.in_flight:
            raise TenantInFlight(f"{tenant} has {node.in_flight} attempts in flight")
        for queue in known.queues.values():
            for job in queue.jobs():
                del self._waiting[job]
        self._openings.set_rate(known, None)
        known.tier.branch.remove(node)
        place(known.tier.node)
        self._replay.forget(known)
        self._touched.add(tenant)
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
        known = self._tenant(tenant)
        if job in self._waiting or job in self._flights:
            return False
        queue = known.queue(priority)
        self._serial += 1
        waiting = self._waiting[job] = (order, self._serial, job, queue)
        if queue.add(waiting):
            place(queue.node)
            self._touched.add(tenant)
            if known.rate_gate is not None:
                self._openings.expect(known)
        return True

    def withdraw(self, job: JobT) -> bool:
        """Forget a waiting job that may not start; return whether it was known."""
        waiting = self._waiting.pop(job, None)
        if waiting is None:
            return False
        queue = waiting[-1]
        queue.withdraw(waiting)
        place(queue.node)
        self._touched.add(queue.tenant.name)
        queue.tenant.forget_queues_if_drained()
        return True

    # Decisions and charges

    def pick(
        self,
        estimate: Callable[[str, JobT], int] | int,
        *,
        now_us: int = 0,
        tenant: str | None = None,
    ) -> Dispatch[JobT] | None:
        """Choose the next job, charge its hold and count it in flight.

        `estimate` is the expected cost in microseconds, or a function of tenant and
        job that gives it. `now_us` opens rate gates; any origin will do. With
        `tenant`, the choice is among that tenant's jobs, for a message that carries
        several: to the others it counts as one long job, so no clock moves. Returns
        None if no job is eligible. Whatever `estimate` raises leaves everything as it
        was.
        """
        if self._replay.given:
            self._touched |= self._replay.end()
        if self._openings.due_us <= now_us:
            self._open_gates(now_us)
        waiting = self._root.node.head if tenant is None else self._head_of(tenant)
        if waiting is None:
            return None
        _, _, job, queue = waiting
        owner = queue.tenant
        name = owner.name
        cost = estimate if isinstance(estimate, int) else estimate(name, job)
        if type(cost) is not int or cost < FLOOR_US:
            cost = max(FLOOR_US, checked_cost(cost))
        queue.pop()
        if owner.rate_gate is not None:
            self._openings.take(owner, now_us)
        if tenant is not None:
            owner.branch.serve(queue.node)
        del self._waiting[job]
        flight = self._flights[job] = Flight(owner, queue.path or queue.find_path())
        flight.charge(cost, 1, tenant is None)
        self._touched.add(name)
        weight, tier_weight = owner.node.weight, owner.tier.node.weight
        return new_dispatch((job, name, cost, weight, tier_weight))

    def refresh(self, job: JobT, elapsed_us: int) -> None:
        """Charge a running attempt ahead, once it has run as long as it is charged.

        As far ahead as it has run, `delta_us` at most: a tiny job that is late by a
        little must not count as a long one. Raises UnknownJob.
        """
        flight = self._flight(job)
        if checked_cost(elapsed_us) >= flight.charged_us:
            ahead_us = min(self._delta_us, max(FLOOR_US, elapsed_us))
            flight.charge(elapsed_us + ahead_us, 0, False)

    def settle(self, job: JobT, actual_us: int) -> None:
        """Make the attempt's charge its actual cost, and count it out of flight.

        Raises UnknownJob, so a second settlement is never charged.
        """
        flight = self._flight(job)
        if type(actual_us) is not int or actual_us < 0:
            checked_cost(actual_us)
        flight.charge(actual_us, -1, False)
        del self._flights[job]
        self._touched.add(flight.tenant.name)
        if flight.tenant.node.head is None:
            flight.tenant.forget_queues_if_drained()

    def next_opening_us(self) -> int | None:
        """Return when the first rate gate that holds waiting work opens, if any."""
        return self._openings.next_us(self._tenants)

    # Rebuilding from a snapshot and the ledger

    def snapshot(self) -> Snapshot:
        """Return what `resume` needs: clocks, and virtual times without open charges.

        O(n) in tenants and in attempts in flight.
        """
        flights = self._flights.values()
        return replay.take(self._root, self._tiers, self._tenants, flights)

    def changes(self) -> Changes:
        """Return what has changed since the last call, or since `resume`.

        O(n) in attempts in flight, and in tenants touched since.
        """
        touched = {t: self._tenants[t] for t in self._touched if t in self._tenants}
        flights = self._flights.values()
        snapshot = replay.take(self._root, self._tiers, touched, flights)
        gone = [name for name in self._touched if name not in snapshot.tenants]
        self._touched = set()
        return Changes(snapshot, gone)

    def resume(self, snapshot: Snapshot) -> None:
        """Take over the clocks and virtual times of a snapshot.

        Call it after set_tier and set_tenant and before anything is charged, restored
        or offered. Tiers and tenants that are no longer set are passed over.
        """
        self._touched = self._replay.resume(
            snapshot, self._root, self._tiers, self._tenants
        )
        for tenant in self._tenants.values():
            self._openings.expect(tenant)

    def restore(
        self,
        tenant: str,
        job: JobT,
        *,
        held_us: int,
        weight: int,
        priority: int = Priority.NORMAL,
        tier_weight: int = WEIGHT_ONE,
    ) -> None:
        """Replay the dispatch of an attempt that is in flight in the ledger.

        Call it in the order of dispatch. Gates are not asked: the attempt runs.
        Raises UnknownTenant or JobAlreadyKnown.
        """
        known = self._tenant(tenant)
        if job in self._waiting or job in self._flights:
            raise JobAlreadyKnown(f"{job!r} is waiting or in flight")
        path = known.queue(priority).path_then(weight, tier_weight)
        self._replay.lift(known, path)
        flight = Flight(known, path)
        flight.charge(checked_cost(held_us), 1, True)
        self._flights[job] = flight
        self._touched.add(tenant)

    def charge(
        self,
        tenant: str,
        amount_us: int,
        weight: int,
        *,
        tier_weight: int = WEIGHT_ONE,
        priority: int = Priority.NORMAL,
    ) -> None:
        """Replay an attempt that is settled in the ledger, but not in the snapshot.

        Call it in the order of dispatch. Raises UnknownTenant.
        """
        known = self._tenant(tenant)
        path = known.queue(priority).path_then(weight, tier_weight)
        self._replay.lift(known, path)
        Flight(known, path).charge(checked_cost(amount_us), 0, True)
        self._touched.add(tenant)

    # Looking in

    def share(self, tenant: str) -> TenantShare:
        """Return one tenant's numbers. Raises UnknownTenant."""
        return contest.share_of(self._tenant(tenant), self._root)

    def contenders(self, most: int) -> list[str]:
        """Return tenants that could start a job now, at most so many, in no order."""
        tiers = (self._tiers[node.name] for node in self._root)
        nodes = (node for tier in tiers for node in tier.branch)
        return [node.name for node in islice(nodes, most)]

    def best_waiting(self, tenant: str) -> Priority | None:
        """Return the highest class in which a job of the tenant could start now.

        Raises UnknownTenant.
        """
        return self._tenant(tenant).best_waiting()

    def place_of(self, tenant: str) -> TenantPlace:
        """Return where a tenant stands among its siblings. Raises UnknownTenant."""
        return contest.place_of(self._tenant(tenant))

    def contest(self, most: int) -> Mapping[str, TierContest]:
        """Return each tier that has work; see `fairshare.contest`. O(tenants)."""
        return contest.sum_up(self._tenants.values(), most)

    def check_invariants(self) -> None:
        """Assert invariants 1 to 5 of the module; for tests, O(all jobs)."""
        consistency.check(
            self._root, self._tiers, self._tenants, self._waiting, self._flights
        )
        self._openings.check_invariants()

    # Private

    def _tenant(self, tenant: str) -> Tenant:
        try:
            return self._tenants[tenant]
        except KeyError:
            raise UnknownTenant(f"{tenant} is not set; call set_tenant first") from None

    def _tier(self, tier: str) -> Tier:
        node = self._tiers.get(tier)
        if node is None:
            node = self._tiers[tier] = Tier(tier, self._root)
        return node

    def _flight(self, job: JobT) -> Flight:
        flight = self._flights.get(job)
        if flight is None:
            raise UnknownJob(f"{job!r} is not in flight")
        return flight

    def _head_of(self, tenant: str) -> Waiting | None:
        known = self._tenant(tenant)
        return known.node.head if known.may_start() else None

    def _open_gates(self, now_us: int) -> None:
        for tenant in self._openings.opened(now_us):
            known = self._tenants[tenant]
            known.update_limits()
            place(known.node)
            self._touched.add(tenant)
