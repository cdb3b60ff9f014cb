"""The dispatcher: hands jobs to workers in the order fair share gives.

One leader at a time (jobs/leadership.py). Its memory holds a scheduler for each pool
and is rebuilt from the ledger when it starts to lead; the ledger's statements decide
what really happens. Work is published just in time: never more than the free slots.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import redis
from django.conf import settings
from django.db import Error, connection
from kombu.exceptions import KombuError

from fairshare.estimator import CostEstimator
from fairshare.scheduler import Dispatch, FairScheduler, UnknownTenant
from jobs import backlog, handlers, leadership, ledger, wake
from jobs.backlog import OpenAttempt, TenantConfig
from jobs.broker import Publisher
from jobs.ledger import Pick
from jobs.lifecycle import State
from jobs.queues import pool_queue
from tenants.scoping import all_tenants

logger = logging.getLogger(__name__)

LEASE_NAME: Final = "dispatcher"
LEASE_TTL_SECONDS: Final = 4.0
#: How often the lease is renewed, the settings are read and the sweep runs.
ROUND_SECONDS: Final = 1.0
#: Longest wait for a wake while work is in flight or waiting.
IDLE_WAIT_SECONDS: Final = 0.5
#: A worker that has not reported for so long has no slots.
WORKER_FRESH_SECONDS: Final = 8
#: Queued jobs looked at for each priority class of each tenant.
HEADS_PER_CLASS: Final = 32


@dataclass(slots=True)
class Flight:
    """An attempt at work, as the dispatcher remembers it."""

    job_id: UUID
    tenant: str
    kind: str


@dataclass(slots=True)
class Pool:
    """One pool's scheduler and what it has in flight."""

    name: str
    scheduler: FairScheduler[UUID] = field(default_factory=FairScheduler)
    flights: dict[int, Flight] = field(default_factory=dict)
    kinds: dict[UUID, str] = field(default_factory=dict)
    #: Attempts in the ledger that the broker does not have yet.
    unpublished: list[int] = field(default_factory=list)
    slots: int = 0

    @property
    def free(self) -> int:
        """Return how many jobs may be published now."""
        return max(0, self.slots - len(self.flights))


class Dispatcher:
    """Runs rounds until it is told to stop."""

    def __init__(self, *, holder: str, publisher: Publisher) -> None:
        self.holder = holder
        self.publisher = publisher
        self.term: int | None = None
        self.pools: dict[str, Pool] = {}
        self.pool_of: dict[str, str] = {}
        self.estimator = CostEstimator()
        self._next_round = 0.0

    # --- The loop ---------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Lead or stand by until `stop` is set, then give the lease up."""
        while not stop.is_set():
            try:
                self.tick()
            except Error:
                logger.exception("Unable to reach the ledger; trying again")
                self._stand_down()
                connection.close()
                stop.wait(1.0)
            self._wait(stop)
        if self.term is not None:
            leadership.release(name=LEASE_NAME, holder=self.holder)

    def tick(self) -> None:
        """Do what is to be done now: renew, observe, sweep, dispatch."""
        is_round = time.monotonic() >= self._next_round
        if is_round:
            self._next_round = time.monotonic() + ROUND_SECONDS
            if not self._lead():
                return
        if self.term is None:
            return
        with all_tenants(reason="dispatch"):
            if is_round:
                self._sweep()
                self._read_config()
            self._observe()
            self._load()
        for pool in self.pools.values():
            self._serve(pool)

    def _wait(self, stop: threading.Event) -> None:
        if self.term is None:
            stop.wait(ROUND_SECONDS)
            return
        try:
            wake.wait_for_wake(IDLE_WAIT_SECONDS)
        except redis.RedisError:
            # Without Redis there are no wakes: look more often instead.
            stop.wait(0.1)

    # --- Leadership -------------------------------------------------------------------

    def _lead(self) -> bool:
        term = leadership.acquire(
            name=LEASE_NAME, holder=self.holder, ttl_seconds=LEASE_TTL_SECONDS
        )
        if term is None:
            self._stand_down()
        elif term != self.term:
            logger.info("Leading as %s, term %s", self.holder, term)
            self.term = term
            self._rebuild()
        return self.term is not None

    def _stand_down(self) -> None:
        if self.term is not None:
            logger.warning("No longer leading (term %s)", self.term)
        self.term = None
        self.pools = {}
        self._next_round = 0.0

    def _rebuild(self) -> None:
        """Take over what is in flight, and publish again what nobody has started."""
        self.pools = {}
        with all_tenants(reason="rebuild the dispatcher"):
            self._read_config()
            for attempt in backlog.open_attempts():
                self._restore(attempt)

    def _restore(self, attempt: OpenAttempt) -> None:
        pool = self._pool(attempt.pool)
        self._ensure_tenant(pool, attempt.tenant)
        pool.scheduler.restore(
            attempt.tenant,
            attempt.job_id,
            held_us=attempt.held_us,
            weight=attempt.weight,
            priority=attempt.priority,
        )
        pool.flights[attempt.attempt_id] = Flight(
            attempt.job_id, attempt.tenant, attempt.kind
        )
        if not attempt.is_started:
            pool.unpublished.append(attempt.attempt_id)

    # --- What the ledger says ---------------------------------------------------------

    def _pool(self, name: str) -> Pool:
        return self.pools.setdefault(name, Pool(name))

    def _read_config(self) -> None:
        for config in backlog.tenant_configs():
            self._leave_pool(config)
            self.pool_of[config.slug] = config.pool
            self._configure(self._pool(config.pool), config)
        slots = backlog.slots(fresh_seconds=WORKER_FRESH_SECONDS)
        for pool in self.pools.values():
            pool.slots = int(slots.get(pool.name, 0))

    def _leave_pool(self, config: TenantConfig) -> None:
        """Dispatch nothing more from the pool that a tenant has moved out of."""
        before = self.pool_of.get(config.slug)
        if before not in (None, config.pool) and before in self.pools:
            self.pools[before].scheduler.set_tenant(
                config.slug, weight=config.weight, paused=True
            )

    @staticmethod
    def _configure(pool: Pool, config: TenantConfig) -> None:
        pool.scheduler.set_tenant(
            config.slug, weight=config.weight, cap=config.cap, paused=config.is_paused
        )

    @staticmethod
    def _ensure_tenant(pool: Pool, tenant: str) -> None:
        """Know a tenant that moved to another pool and has attempts in this one."""
        try:
            pool.scheduler.share(tenant)
        except UnknownTenant:
            pool.scheduler.set_tenant(tenant, weight=1000)

    def _observe(self) -> None:
        """Settle what has ended and charge what runs longer than its hold."""
        for pool in self.pools.values():
            for standing in backlog.standings(pool.flights.keys()):
                flight = pool.flights[standing.attempt_id]
                if standing.settled_us is None:
                    pool.scheduler.refresh(flight.job_id, standing.elapsed_us)
                    continue
                del pool.flights[standing.attempt_id]
                pool.scheduler.settle(flight.job_id, standing.settled_us)
                if standing.settled_us:
                    self.estimator.observe(
                        flight.tenant, flight.kind, standing.settled_us
                    )

    def _load(self) -> None:
        for head in backlog.heads(limit=HEADS_PER_CLASS):
            name = self.pool_of.get(head.tenant)
            if name is None:
                continue  # created since the last round, which will know it
            pool = self.pools[name]
            pool.kinds[head.job_id] = head.kind
            pool.scheduler.offer(
                head.tenant, head.job_id, order=head.job_id, priority=head.priority
            )

    def _sweep(self) -> None:
        lost = ledger.lose_expired(max_losses=settings.MAX_LOSSES)
        stuck = ledger.replace_not_started(
            timeout_seconds=settings.START_TIMEOUT_SECONDS,
            fresh_seconds=WORKER_FRESH_SECONDS,
        )
        ledger.queue_due()
        for ended in (*lost, *stuck):
            logger.warning("Job %s of %s: %s", ended.job_id, ended.tenant, ended.state)
            if ended.state == State.DEAD:
                handlers.bury(ended.kind, ended.job_id)

    # --- Dispatch ---------------------------------------------------------------------

    def _serve(self, pool: Pool) -> None:
        """Fill the pool's free slots, unless the broker is away."""
        if not self._publish(pool):
            return
        picks = self._pick(pool)
        if not picks:
            return
        attempts = self._dispatch(pool, picks)
        for pick in picks:
            attempt_id = attempts.get(pick.job)
            kind = pool.kinds.pop(pick.job)
            if attempt_id is None:
                # No longer queued: cancelled, or another leader was faster.
                pool.scheduler.settle(pick.job, 0)
                continue
            pool.flights[attempt_id] = Flight(pick.job, pick.tenant, kind)
            pool.unpublished.append(attempt_id)
        self._publish(pool)

    def _pick(self, pool: Pool) -> list[Dispatch[UUID]]:
        def estimate(tenant: str, job_id: UUID) -> int:
            return self._estimate(tenant, pool.kinds[job_id])

        picks: list[Dispatch[UUID]] = []
        while len(picks) < pool.free:
            pick = pool.scheduler.pick(estimate)
            if pick is None:
                break
            picks.append(pick)
        return picks

    def _estimate(self, tenant: str, kind: str) -> int:
        prior_us = handlers.prior_us(kind)
        return self.estimator.estimate(tenant, kind, prior_us=prior_us)

    def _dispatch(self, pool: Pool, picks: list[Dispatch[UUID]]) -> dict[UUID, int]:
        lease = (LEASE_NAME, self.holder, self.term or 0)
        charges = [Pick(pick.job, pick.held_us, pick.weight) for pick in picks]
        with all_tenants(reason="dispatch"):
            return ledger.dispatch(lease=lease, pool=pool.name, picks=charges)

    def _publish(self, pool: Pool) -> bool:
        """Publish what the ledger has dispatched; False while the broker is away."""
        queue = pool_queue(pool.name)
        while pool.unpublished:
            try:
                self.publisher.publish(queue, pool.unpublished[:1])
            except (KombuError, OSError) as error:
                logger.warning("Unable to publish to %s: %s", queue.name, error)
                return False
            del pool.unpublished[:1]
        return True
