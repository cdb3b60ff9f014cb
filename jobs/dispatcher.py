"""The dispatcher: hands jobs to workers in the order fair share gives.

One leader at a time (jobs/leadership.py). Its memory holds a scheduler for each pool
(jobs/pool.py) and the heads of the tenants' lines (jobs/lines.py); it is rebuilt from
the ledger when it starts to lead, and the ledger's statements decide what really
happens. Work is published just in time: for slots that are free or about to be.
"""

import gc
import logging
import threading
import time
from collections.abc import Collection, Sequence
from math import ceil
from typing import Final

import redis
from django.conf import settings
from django.db import Error, connection
from kombu.exceptions import KombuError

from fairshare.estimator import CostEstimator
from jobs import (
    backlog,
    bulk,
    handlers,
    leadership,
    ledger,
    pressure,
    snapshots,
    statements,
    sweeps,
    switches,
    wake,
)
from jobs.backlog import Head, TenantConfig
from jobs.broker import Publisher
from jobs.cancelling import cancel_left_over
from jobs.chores import Chore, Chores
from jobs.ledger import Pick
from jobs.lifecycle import State
from jobs.lines import Lines
from jobs.pool import Bundle, Pool
from jobs.queues import pool_queue
from jobs.standings import Standings
from jobs.switches import Stops
from tenants.acting import acting
from tenants.scoping import all_tenants, apart

logger = logging.getLogger(__name__)

LEASE_NAME: Final = "dispatcher"
LEASE_TTL_SECONDS: Final = 4.0
#: How often the lease is renewed, all settings are read and the sweeps run.
ROUND_SECONDS: Final = 1.0
#: How often a standby tries to lead: it does so within 5 s of its leader's last sign.
STANDBY_SECONDS: Final = 0.5
#: Tenants whose settings are read at once: at least while busy, and at most.
SLICE_TENANTS: Final = 500, 1000
#: Tenants with queued work that are looked for in a second, and how often.
SWEPT_TENANTS: Final = 500
SWEEP_SECONDS: Final = 0.1
#: Longest wait for a wake while work is in flight or waiting.
IDLE_WAIT_SECONDS: Final = 0.5
#: How often workers are told who waits.
PRESSURE_SECONDS: Final = 0.2
#: How often a little of the bulk decisions is carried out.
BULK_SECONDS: Final = 1.0
#: Pause after a broker that was away.
BROKER_SECONDS: Final = 0.5
#: When a turn serves no more pools.
SERVE_SECONDS: Final = 1.0
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
        self.stops = Stops()
        self.estimator = CostEstimator()
        self.standings = Standings()
        self._after = ""
        self._next_round = 0.0
        self._next_config = 0.0
        self._next_publish = 0.0
        self.chores = Chores(
            [
                Chore(ROUND_SECONDS, self._sweep),
                Chore(snapshots.SNAPSHOT_SECONDS, self._keep_snapshots),
                Chore(SWEEP_SECONDS, self._sweep_lines),
                Chore(PRESSURE_SECONDS, self._tell_workers),
                Chore(BULK_SECONDS, self._decide_in_bulk),
            ]
        )
        self._next_collection = 0.0
        self._frozen_term: int | None = None

    # --- The loop ---------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Lead or stand by until `stop` is set, then give the lease up."""
        self._open_broker()
        while not stop.is_set():
            try:
                self.tick()
            except Error:
                logger.exception("Unable to reach the ledger; trying again")
                self._stand_down()
                connection.close()
                stop.wait(1.0)
            self._collect_garbage()
            self._wait(stop)
        if self.term is not None:
            leadership.release(name=LEASE_NAME, holder=self.holder)
        self.publisher.close()

    def tick(self) -> None:
        """Do what is to be done now: renew, observe, dispatch, and one chore."""
        is_round = time.monotonic() >= self._next_round
        if is_round:
            self._next_round = time.monotonic() + ROUND_SECONDS
            if not self._lead():
                return
        if self.term is None:
            return
        self.lines.want(_woken())
        with apart(reason="dispatch"):
            if is_round:
                self._read_switches()
                self._read_slots()
            self._read_some_configs()
            self._observe()
            self._read_lines()
        began = time.monotonic()
        for pool in self.pools.values():
            self._serve(pool)
            if time.monotonic() - began > SERVE_SECONDS:
                break  # the broker hangs, and nobody renews the lease meanwhile
        self.standings.answer(self.pools, self.configs, now_us=_now_us())
        self.chores.do_one()

    def _wait(self, stop: threading.Event) -> None:
        if self.term is None:
            stop.wait(STANDBY_SECONDS)
            return
        if self.lines.is_behind or self.chores.are_due:
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
        slice_ = ROUND_SECONDS * SLICE_TENANTS[1] / max(1, len(self.configs))
        return max(0.001, min([IDLE_WAIT_SECONDS, slice_, *due]))

    def _collect_garbage(self) -> None:
        """Look for garbage among what is new, and take the rest for lasting.

        The collector would otherwise walk through all known jobs and tenants for a
        tenth of a second. They go by reference count; only a whole scheduler that is
        let go is one large cycle, so at a change of term everything is looked at.
        """
        if time.monotonic() < self._next_collection:
            return
        self._next_collection = time.monotonic() + ROUND_SECONDS
        if self._frozen_term != self.term:
            self._frozen_term = self.term
            gc.unfreeze()
        gc.collect()
        gc.freeze()

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
        self.lines = Lines(without=self.stops.kinds)
        self._after = ""

    def _rebuild(self) -> None:
        """Go on where the last leader stood; publish again what nobody has started."""
        self._forget()
        with all_tenants(reason="rebuild the dispatcher"):
            self._read_configs(SLICE_TENANTS[1])
            while self._after:
                self._read_configs(SLICE_TENANTS[1])
            for name, (last_attempt_id, snapshot) in snapshots.kept().items():
                self._pool(name).resume(last_attempt_id, snapshot)
            for attempt, settled_us in snapshots.attempts_since():
                self._pool(attempt.pool).replay(attempt, settled_us)

    # --- What the ledger says ---------------------------------------------------------

    def _pool(self, name: str) -> Pool:
        if name not in self.pools:
            self.pools[name] = Pool(name, bundle_jobs=settings.BUNDLE_JOBS)
        return self.pools[name]

    def _read_some_configs(self) -> None:
        """Read as many tenants' settings as bring all of them round in time."""
        late = time.monotonic() - self._next_config
        if late < 0:
            return
        least, most = SLICE_TENANTS
        known = max(1, len(self.configs))
        limit = min(most, max(least, ceil(known * late / ROUND_SECONDS)))
        self._next_config = time.monotonic() + ROUND_SECONDS * min(1, limit / known)
        self._read_configs(limit)

    def _read_configs(self, limit: int) -> None:
        """Let what has changed of tenants' settings bind on what is waiting."""
        slice_ = backlog.tenant_configs(after=self._after, limit=limit)
        self._after = slice_[-1].slug if len(slice_) == limit else ""
        for config in slice_:
            before = self.configs.get(config.slug)
            if config == before:
                continue
            self.configs[config.slug] = config
            self._pool(config.pool).configure(config)
            if before is not None and before.pool != config.pool:
                self._pool(before.pool).leave(before)
                self.lines.want([config.slug])

    def _read_switches(self) -> None:
        """Obey the switches of kinds and pools.

        The scheduler holds jobs of kinds that it may no longer dispatch, or has passed
        over some that it may again: it is seldom, so everything is read anew.
        """
        before, self.stops = self.stops, switches.stops()
        if before.kinds != self.stops.kinds:
            stopped = ", ".join(sorted(self.stops.kinds)) or "none"
            logger.info("Kinds that are not dispatched: %s", stopped)
            self._rebuild()

    def _read_slots(self) -> None:
        slots = backlog.slots(fresh_seconds=WORKER_FRESH_SECONDS)
        gone = backlog.gone_workers(fresh_seconds=WORKER_FRESH_SECONDS)
        for pool in self.pools.values():
            pool.slots, pool.gone = slots.get(pool.name, 0), gone

    def _observe(self) -> None:
        for pool in self.pools.values():
            costs, back = pool.observe(backlog.standings(pool.flights.keys()))
            for cost in costs:
                self.estimator.observe(
                    cost.tenant, cost.kind, cost.settled_us, size=cost.size
                )
            self.lines.want(back)

    def _read_lines(self) -> None:
        for head in self.lines.read():
            config = self.configs.get(head.tenant)
            if config is not None:  # else created since the last round
                self.pools[config.pool].offer(head)

    def _keep_snapshots(self, _: float) -> None:
        with apart(reason="keep the scheduler"):
            lease = self._lease
            if not all(snapshots.keep(p, lease=lease) for p in self.pools.values()):
                self._stand_down()

    def _sweep_lines(self, elapsed: float) -> None:
        """Look for tenants with queued work of which no wake has come."""
        with apart(reason="sweep"):
            self.lines.sweep(ceil(SWEPT_TENANTS * min(elapsed, ROUND_SECONDS)))

    def _sweep(self, _: float) -> None:
        with all_tenants(reason="sweep"):
            self._end_and_queue()

    def _end_and_queue(self) -> None:
        statements.bound_pauses(seconds=LEASE_TTL_SECONDS)
        with acting(why="its lease ran out"):
            lost = sweeps.lose_expired(max_losses=settings.MAX_LOSSES)
        with acting(why="no free worker took it in time"):
            stuck = sweeps.replace_not_started(
                timeout_seconds=settings.START_TIMEOUT_SECONDS,
                fresh_seconds=WORKER_FRESH_SECONDS,
            )
        cancel_left_over()
        due = sweeps.queue_due()
        for ended in (*lost, *stuck):
            logger.warning("Job %s of %s: %s", ended.job_id, ended.tenant, ended.state)
            if ended.state == State.DEAD:
                handlers.end_unfinished(ended.kind, ended.job_id)
        self.lines.want(ended.tenant for ended in (*lost, *stuck, *due))

    def _decide_in_bulk(self, elapsed: float) -> None:
        with all_tenants(reason="bulk decisions"):
            bulk.bulk_step(elapsed_seconds=min(elapsed, ROUND_SECONDS))

    # --- Dispatch ---------------------------------------------------------------------

    def _serve(self, pool: Pool) -> None:
        """Fill the pool's slots, unless the broker is away."""
        if not self._publish(pool) or pool.name in self.stops.pools:
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

    def _estimate(self, head: Head) -> int:
        """Return what the job's next attempt is expected to cost."""
        prior_us = handlers.prior_us(head.kind)
        cost_us = self.estimator.estimate(
            head.tenant, head.kind, prior_us=prior_us, size=head.size
        )
        if head.size is None:
            return cost_us
        # Who waits gets the slot of a large file after its quantum; and if nobody
        # waits, nobody suffers from a hold that is too small.
        return min(cost_us, handlers.quantum_us(head.kind))

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

    def _open_broker(self) -> None:
        """Be ready to publish before leading; if the broker is away, later will do."""
        try:
            self.publisher.open()
        except (KombuError, OSError) as error:
            logger.warning("Unable to reach the broker yet: %s", error)

    def _publish(self, pool: Pool) -> bool:
        """Publish what the ledger has dispatched; False while the broker is away."""
        if not pool.outbox:
            return True
        if time.monotonic() < self._next_publish:
            return False
        queue = pool_queue(pool.name)
        try:
            self.publisher.publish(queue, pool.outbox, _limits(pool))
        except (KombuError, OSError) as error:
            logger.warning("Unable to publish to %s: %s", queue.name, error)
            self._next_publish = time.monotonic() + BROKER_SECONDS
            return False
        pool.outbox.clear()
        return True

    def _tell_workers(self, _: float) -> None:
        for pool in self.pools.values():
            if pool.flights:
                pressure.publish(pool.name, pool.pressure())


def _limits(pool: Pool) -> list[int]:
    """Return for each bundle to publish the longest time limit of its kinds."""
    return [
        max(handlers.time_limit_seconds(kind) for kind in pool.kinds(bundle) or [""])
        for bundle in pool.outbox
    ]


#: The wall clock when this process began; steps of it since then do no harm.
_BEGAN_US: Final = (time.time_ns() - time.monotonic_ns()) // 1000


def _now_us() -> int:
    return _BEGAN_US + time.monotonic_ns() // 1000


def _woken() -> Collection[str]:
    try:
        return wake.woken_tenants()
    except redis.RedisError:
        return []
