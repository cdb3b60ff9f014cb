"""One pool as the dispatcher sees it: its scheduler, its slots, its work in flight.

No I/O: it is told what the ledger says and returns what to dispatch.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from fairshare.gates import Rate
from fairshare.scheduler import Dispatch, FairScheduler, UnknownTenant
from fairshare.snapshot import Snapshot
from jobs.backlog import Head, OpenAttempt, Standing, TenantConfig
from jobs.lifecycle import Outcome
from jobs.pressure import Pressure

#: Estimated work of a bundle. Jobs estimated at less than half of it are bundled.
BUNDLE_US: Final = 45_000
#: Most jobs of a bundle, unless the pool is told otherwise.
BUNDLE_JOBS: Final = 128
#: A slot that is expected to be free within this time may be published for.
LOOK_AHEAD_US: Final = 50_000

Estimate = Callable[[Head], int]  # in worker-microseconds
Bundle = list[Dispatch[str]]


@dataclass(slots=True)
class Message:
    """A bundle on its way: what it is expected to take, and what is left of it."""

    held_us: int
    live: int
    #: Microseconds since its first job started; 0 before.
    elapsed_us: int = 0
    #: Who has it; empty before its start.
    worker: str = ""

    @property
    def is_ending(self) -> bool:
        """Return whether its slot is expected to be free soon."""
        left_us = self.held_us - self.elapsed_us
        return 0 <= left_us <= LOOK_AHEAD_US


@dataclass(slots=True)
class Flight:
    """An attempt at work."""

    job_id: str
    tenant: str
    kind: str
    priority: int
    message: Message
    #: Bytes it had to work through, where that was known.
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What an attempt of a kind took."""

    tenant: str
    kind: str
    settled_us: int
    #: Bytes it was spent on, where that is known.
    size: int | None = None


class _DoesNotFitError(Exception):
    """The tenant's next job does not fit into the bundle."""


@dataclass(slots=True)
class Pool:
    """One pool's scheduler and what it has in flight."""

    name: str
    slots: int = 0
    #: Workers that report no more: their slots are not counted, nor what they hold.
    gone: Collection[str] = frozenset()
    #: Most jobs of a bundle.
    bundle_jobs: int = BUNDLE_JOBS
    scheduler: FairScheduler[str] = field(default_factory=FairScheduler)
    flights: dict[int, Flight] = field(default_factory=dict)
    #: Bundles in the ledger that the broker does not have yet.
    outbox: list[list[int]] = field(default_factory=list)
    #: The last attempt charged, for the snapshot.
    last_attempt_id: int = 0
    _heads: dict[str, Head] = field(default_factory=dict)
    _messages: list[Message] = field(default_factory=list)

    # --- Tenants and their waiting jobs -----------------------------------------------

    def configure(self, config: TenantConfig) -> None:
        """Let the tenant's weight, limits and tier bind from now on."""
        self.scheduler.set_tier(
            config.tier, weight=config.tier_weight, cap=config.tier_cap
        )
        rate = None if config.rate is None else Rate(config.rate, config.burst or 1)
        self.scheduler.set_tenant(
            config.slug,
            weight=config.weight,
            tier=config.tier,
            cap=config.cap,
            elastic_cap=config.elastic_cap,
            rate=rate,
            paused=config.is_paused,
        )

    def leave(self, config: TenantConfig) -> None:
        """Dispatch nothing more of a tenant that has moved to another pool."""
        self.scheduler.set_tenant(
            config.slug, weight=config.weight, tier=config.tier, paused=True
        )

    def offer(self, head: Head) -> None:
        """Know a queued job."""
        if self.scheduler.offer(
            head.tenant, head.job_id, order=head.job_id, priority=head.priority
        ):
            self._heads[head.job_id] = head

    # --- What is in flight ------------------------------------------------------------

    def resume(self, last_attempt_id: int, snapshot: Snapshot) -> None:
        """Go on where another leader stood when it dispatched that attempt."""
        self.scheduler.resume(snapshot)
        self.last_attempt_id = last_attempt_id

    def replay(self, attempt: OpenAttempt, settled_us: int | None) -> None:
        """Charge an attempt that another leader dispatched; take it over if open."""
        self._know(attempt.tenant)
        self.last_attempt_id = max(self.last_attempt_id, attempt.attempt_id)
        if settled_us is None:
            self._restore(attempt)
            return
        self.scheduler.charge(
            attempt.tenant,
            settled_us,
            attempt.weight,
            tier_weight=attempt.tier_weight,
            priority=attempt.priority,
        )

    def _restore(self, attempt: OpenAttempt) -> None:
        self.scheduler.restore(
            attempt.tenant,
            attempt.job_id,
            held_us=attempt.held_us,
            weight=attempt.weight,
            tier_weight=attempt.tier_weight,
            priority=attempt.priority,
        )
        message = Message(attempt.held_us, live=1)
        self._messages.append(message)
        self.flights[attempt.attempt_id] = Flight(
            attempt.job_id, attempt.tenant, attempt.kind, attempt.priority, message
        )
        if not attempt.is_started:
            self.outbox.append([attempt.attempt_id])

    def _know(self, tenant: str) -> None:
        """Know a tenant that moved to another pool and has attempts in this one."""
        try:
            self.scheduler.share(tenant)
        except UnknownTenant:
            self.scheduler.set_tenant(tenant, weight=1000, paused=True)

    def observe(self, standings: Iterable[Standing]) -> tuple[list[Cost], set[str]]:
        """Settle what has ended, charge what runs longer than its hold.

        Returns what attempts have cost, and the tenants that have a job back in line.
        """
        costs: list[Cost] = []
        back: set[str] = set()
        for standing in standings:
            flight = self.flights[standing.attempt_id]
            if standing.settled_us is None:
                if standing.is_started:
                    message = flight.message
                    message.elapsed_us = max(message.elapsed_us, standing.elapsed_us)
                    message.worker = standing.worker
                    self.scheduler.refresh(flight.job_id, standing.elapsed_us)
                continue
            self._land(standing.attempt_id, standing.settled_us)
            if standing.outcome in (Outcome.YIELDED, Outcome.LOST):
                back.add(flight.tenant)
            # What is held is an attempt's cost, so one that yielded counts as well.
            if standing.settled_us and standing.outcome != Outcome.LOST:
                costs.append(_cost(flight, standing.outcome, standing.settled_us))
        self._messages = [message for message in self._messages if message.live]
        return costs, back

    def _land(self, attempt_id: int, settled_us: int) -> None:
        flight = self.flights.pop(attempt_id)
        flight.message.live -= 1
        self.scheduler.settle(flight.job_id, settled_us)

    # --- What to dispatch -------------------------------------------------------------

    def room(self) -> int:
        """Return how many messages may be published now.

        One for each free slot, and one for every second slot that is about to be free:
        slots are freed one after another, and each that is brings the next round. One
        for each of them if messages are short: else slots would wait for the rounds.
        """
        messages = [m for m in self._messages if m.worker not in self.gone]
        ending = sum(message.is_ending for message in messages)
        ahead = min(self.slots, ending)
        if any(message.held_us > LOOK_AHEAD_US // 2 for message in messages):
            ahead = (ahead + 1) // 2
        return max(0, self.slots + ahead - len(messages))

    def plan(self, estimate: Estimate, *, now_us: int) -> list[Bundle]:
        """Choose what to publish now, charging each job's hold."""
        bundles: list[Bundle] = []
        room = self.room()
        while len(bundles) < room:
            bundle = self._next_bundle(estimate, now_us)
            if not bundle:
                break
            bundles.append(bundle)
        return bundles

    def _next_bundle(self, estimate: Estimate, now_us: int) -> Bundle:
        """Choose a job, and fill up with more of its tenant's if it is tiny."""

        def cost(_: str, job: str) -> int:
            return estimate(self._heads[job])

        def fitting_cost(tenant: str, job: str) -> int:
            cost_us = cost(tenant, job)
            if self._heads[job].is_suspect or cost_us > left_us:
                raise _DoesNotFitError
            return cost_us

        pick = self.scheduler.pick(cost, now_us=now_us)
        if pick is None or self._heads[pick.job].is_suspect:
            return [] if pick is None else [pick]
        bundle: Bundle = []
        left_us = BUNDLE_US
        while pick is not None:
            bundle.append(pick)
            left_us -= pick.held_us
            if left_us <= 0 or len(bundle) >= self.bundle_jobs:
                break
            try:
                pick = self.scheduler.pick(
                    fitting_cost, now_us=now_us, tenant=pick.tenant
                )
            except _DoesNotFitError:
                break
        return bundle

    def publishes(self, bundle: Bundle, attempts: dict[str, int]) -> None:
        """Note a bundle that the ledger has, to be put on the broker."""
        message = Message(sum(pick.held_us for pick in bundle), live=0)
        attempt_ids = []
        for pick in bundle:
            head = self._heads.pop(pick.job)
            attempt_id = attempts.get(pick.job)
            if attempt_id is None:
                # No longer queued: cancelled, or another leader was faster.
                self.scheduler.settle(pick.job, 0)
                continue
            message.live += 1
            attempt_ids.append(attempt_id)
            self.flights[attempt_id] = Flight(
                pick.job, pick.tenant, head.kind, head.priority, message, head.size
            )
        if attempt_ids:
            self._messages.append(message)
            self.outbox.append(attempt_ids)
            self.last_attempt_id = max(self.last_attempt_id, *attempt_ids)

    # --- Looking in -------------------------------------------------------------------

    def waiting(self, tenant: str) -> int:
        """Return how many known jobs of a tenant wait."""
        return self.scheduler.share(tenant).waiting

    def kinds(self, attempt_ids: Iterable[int]) -> set[str]:
        """Return the kinds of those of the attempts that are in flight."""
        flights = (self.flights.get(attempt_id) for attempt_id in attempt_ids)
        return {flight.kind for flight in flights if flight is not None}

    def pressure(self) -> Pressure:
        """Return who waits for a slot of this pool."""
        at_work = {flight.tenant for flight in self.flights.values()}
        best = {tenant: self.scheduler.best_waiting(tenant) for tenant in at_work}
        classes = {t: int(p) for t, p in best.items() if p is not None}
        return Pressure(self.scheduler.contenders(2), classes)


def _cost(flight: Flight, outcome: str | None, settled_us: int) -> Cost:
    """Return what an attempt cost; only one that succeeded went through all of it."""
    size = flight.size if outcome == Outcome.SUCCEEDED else None
    return Cost(flight.tenant, flight.kind, settled_us, size)
