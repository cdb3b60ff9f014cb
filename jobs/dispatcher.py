"""The dispatcher: hands jobs to workers in the order fair share gives.

One leader at a time (jobs/leadership.py). Its memory holds a scheduler for each pool
(jobs/pool.py) and the heads of the tenants' lines (jobs/lines.py); it is rebuilt from
the ledger when it starts to lead, and the ledger's statements decide what really
happens. Work is published just in time: for slots that are free or about to be.
"""

import logging
import threading
import time
from collections.abc import Collection, Sequence
from typing import Final

import redis
from django.conf import settings
from django.db import Error, connection
from kombu.exceptions import KombuError

from fairshare.estimator import CostEstimator
from jobs import (
    backlog,
    handlers,
    leadership,
    ledger,
    pressure,
    snapshots,
    sweeps,
    wake,
)
from jobs.backlog import TenantConfig
from jobs.broker import Publisher
from jobs.ledger import Pick
from jobs.lifecycle import State
from jobs.lines import Lines
from jobs.pool import Bundle, Pool
from jobs.queues import pool_queue
from jobs.standings import Standings
from tenants.scoping import all_tenants, apart

logger = logging.getLogger(__name__)

LEASE_NAME: Final = "dispatcher"
LEASE_TTL_SECONDS: Final = 4.0
#: How often the lease is renewed, the settings are read and the sweeps run.
ROUND_SECONDS: Final = 1.0
#: How often a standby tries to lead: it does so within 5 s of its leader's last sign.
STANDBY_SECONDS: Final = 0.5
#: Tenants whose settings are read at once.
SLICE_TENANTS: Final = 1000
#: Longest wait for a wake while work is in flight or waiting.
IDLE_WAIT_SECONDS: Final = 0.5
#: How often workers are told who waits.
PRESSURE_SECONDS: Final = 0.2
#: A worker that has not reported for so long has no slots.
WORKER_FRESH_SECONDS: Final = 8


class Dispatcher:
    """Runs rounds until it is told to stop."""

    def __init__(self, *, holder: str, publisher: Publisher) -> None:
        self.holder = holder
        self.publisher = publisher
        self.term: int | None = None
        self.pools: dict[str, Pool] = {}
        self.configs: dict[str, TenantConfig] = {}
        self.lines = Lines()
        self.estimator = CostEstimator()
        self.standings = Standings()
        self._after = ""
        self._next_round = 0.0
        self._next_config = 0.0
        self._next_pressure = 0.0
        self._next_snapshot = 0.0

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
        self.publisher.close()

    def tick(self) -> None:
        """Do what is to be done now: renew, observe, sweep, dispatch."""
        is_round = time.monotonic() >= self._next_round
        if is_round:
            self._next_round = time.monotonic() + ROUND_SECONDS
            if not self._lead():
                return
        if self.term is None:
            return
        self.lines.want(_woken())
        if is_round:
            with all_tenants(reason="sweep"):
                self._sweep()
        with apart(reason="dispatch"):
            if is_round:
                self._read_slots()
            if time.monotonic() >= self._next_config:
                self._read_configs()
            self._observe()
            self._read_lines()
            self._keep_snapshots()
        for pool in self.pools.values():
            self._serve(pool)
        self._tell_workers()
        self.standings.answer(self.pools, self.configs, now_us=_now_us())

    def _wait(self, stop: threading.Event) -> None:
        if self.term is None:
            stop.wait(STANDBY_SECONDS)
            return
        if self.lines.is_behind:
            return
        try:
            wake.wait_for_wake(self._patience())
        except redis.RedisError:
            # Without Redis there are no wakes: look more often instead.
            stop.wait(0.1)

    def _patience(self) -> float:
        """Return how long to wait for a wake before something is due by itself."""
        openings = [p.scheduler.next_opening_us() for p in self.pools.values()]
        due = [(us - _now_us()) / 1e6 for us in openings if us is not None]
        return max(0.001, min([IDLE_WAIT_SECONDS, *due]))

    @property
    def _lease(self) -> tuple[str, str, int]:
        return LEASE_NAME, self.holder, self.term or 0

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
        self._forget()
        self._next_round = 0.0

    def _forget(self) -> None:
        self.pools = {}
        self.configs = {}
        self.lines = Lines()
        self._after = ""

    def _rebuild(self) -> None:
        """Go on where the last leader stood; publish again what nobody has started."""
        self._forget()
        with all_tenants(reason="rebuild the dispatcher"):
            self._read_configs()
            while self._after:
                self._read_configs()
            for name, (last_attempt_id, snapshot) in snapshots.kept().items():
                self._pool(name).resume(last_attempt_id, snapshot)
            for attempt, settled_us in snapshots.attempts_since():
                self._pool(attempt.pool).replay(attempt, settled_us)

    # --- What the ledger says ---------------------------------------------------------

    def _pool(self, name: str) -> Pool:
        return self.pools.setdefault(name, Pool(name))

    def _read_configs(self) -> None:
        """Let what has changed of the tenants' settings bind on what is waiting.

        A slice at a time, so that all are read once in a round.
        """
        slice_ = backlog.tenant_configs(after=self._after, limit=SLICE_TENANTS)
        self._after = slice_[-1].slug if len(slice_) == SLICE_TENANTS else ""
        slices = 1 + len(self.configs) // SLICE_TENANTS
        self._next_config = time.monotonic() + ROUND_SECONDS / slices
        for config in slice_:
            before = self.configs.get(config.slug)
            if config == before:
                continue
            self.configs[config.slug] = config
            self._pool(config.pool).configure(config)
            if before is not None and before.pool != config.pool:
                self._pool(before.pool).leave(before)
                self.lines.want([config.slug])

    def _read_slots(self) -> None:
        slots = backlog.slots(fresh_seconds=WORKER_FRESH_SECONDS)
        for pool in self.pools.values():
            pool.slots = slots.get(pool.name, 0)

    def _observe(self) -> None:
        for pool in self.pools.values():
            costs, back = pool.observe(backlog.standings(pool.flights.keys()))
            for cost in costs:
                self.estimator.observe(cost.tenant, cost.kind, cost.settled_us)
            self.lines.want(back)

    def _read_lines(self) -> None:
        for head in self.lines.read():
            config = self.configs.get(head.tenant)
            if config is not None:  # else created since the last round
                self.pools[config.pool].offer(head)

    def _keep_snapshots(self) -> None:
        if time.monotonic() < self._next_snapshot:
            return
        self._next_snapshot = time.monotonic() + snapshots.SNAPSHOT_SECONDS
        for pool in self.pools.values():
            snapshots.keep(pool, lease=self._lease)

    def _sweep(self) -> None:
        leadership.bound_pauses(seconds=LEASE_TTL_SECONDS)
        lost = sweeps.lose_expired(max_losses=settings.MAX_LOSSES)
        stuck = sweeps.replace_not_started(
            timeout_seconds=settings.START_TIMEOUT_SECONDS,
            fresh_seconds=WORKER_FRESH_SECONDS,
        )
        due = sweeps.queue_due()
        for ended in (*lost, *stuck):
            logger.warning("Job %s of %s: %s", ended.job_id, ended.tenant, ended.state)
            if ended.state == State.DEAD:
                handlers.bury(ended.kind, ended.job_id)
        self.lines.want(ended.tenant for ended in (*lost, *stuck, *due))
        self.lines.sweep()

    # --- Dispatch ---------------------------------------------------------------------

    def _serve(self, pool: Pool) -> None:
        """Fill the pool's slots, unless the broker is away."""
        if not self._publish(pool):
            return
        bundles = pool.plan(self._estimate, now_us=_now_us())
        if not bundles:
            return
        attempts = self._dispatch(pool, bundles)
        for bundle in bundles:
            pool.publishes(bundle, attempts)
        for tenant in {bundle[0].tenant for bundle in bundles}:
            self.lines.ran_low(tenant, pool.waiting(tenant))
        self._publish(pool)

    def _estimate(self, tenant: str, kind: str) -> int:
        prior_us = handlers.prior_us(kind)
        return self.estimator.estimate(tenant, kind, prior_us=prior_us)

    def _dispatch(self, pool: Pool, bundles: Sequence[Bundle]) -> dict[str, int]:
        picks = [
            Pick(
                pick.job,
                pick.held_us,
                pick.weight,
                pick.tier_weight,
                is_bundled=len(bundle) > 1,
            )
            for bundle in bundles
            for pick in bundle
        ]
        with apart(reason="dispatch"):
            return ledger.dispatch(lease=self._lease, pool=pool.name, picks=picks)

    def _publish(self, pool: Pool) -> bool:
        """Publish what the ledger has dispatched; False while the broker is away."""
        if not pool.outbox:
            return True
        queue = pool_queue(pool.name)
        try:
            self.publisher.publish(queue, pool.outbox)
        except (KombuError, OSError) as error:
            logger.warning("Unable to publish to %s: %s", queue.name, error)
            return False
        pool.outbox.clear()
        return True

    def _tell_workers(self) -> None:
        if time.monotonic() < self._next_pressure:
            return
        self._next_pressure = time.monotonic() + PRESSURE_SECONDS
        for pool in self.pools.values():
            if pool.flights:
                pressure.publish(pool.name, pool.pressure())


#: The wall clock when this process began; steps of it since then do no harm.
_BEGAN_US: Final = (time.time_ns() - time.monotonic_ns()) // 1000


def _now_us() -> int:
    return _BEGAN_US + time.monotonic_ns() // 1000


def _woken() -> Collection[str]:
    try:
        return wake.woken_tenants()
    except redis.RedisError:
        return []
