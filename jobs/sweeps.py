"""The ledger's sweeps: they end what nobody will end any more, and queue what is due.

Each is one compare-and-set statement by the database's clock, bounded by a limit, and
skips rows that somebody else is changing. Callers open the scope.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from jobs.lifecycle import Event, Outcome, target
from jobs.statements import move, rows, to_json


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that a sweep moved, and where to."""

    job_id: UUID
    tenant: str
    kind: str
    state: str


_EXPIRED = "lease_expires_at < clock_timestamp()"
_OF_WORKER = "worker = %(worker)s AND id = ANY(%(attempts)s) AND started_at IS NOT NULL"

# The attempts of one bundle were claimed together and share the time they took. Only
# the one known to have run, or one that travelled alone, is to blame for the loss.
_LOSE = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), gone AS (
    SELECT id FROM jobs_attempt WHERE outcome IS NULL AND {condition}
    ORDER BY lease_expires_at LIMIT 500 FOR UPDATE SKIP LOCKED
), shared AS (
    SELECT a.id, count(*) OVER (PARTITION BY a.worker, a.started_at) AS ways
    FROM gone JOIN jobs_attempt a USING (id)
), settled AS (
    UPDATE jobs_attempt a
    SET outcome = %(outcome)s, finished_at = clock.now, is_billable = false,
        settled_us = GREATEST(0, extract(epoch FROM LEAST(a.lease_expires_at, clock.now)
                                         - a.started_at) * 1000000 / ways)::bigint,
        error = %(error)s::jsonb
    FROM shared, clock WHERE a.id = shared.id
    RETURNING a.job_id, clock.now,
              (NOT a.is_bundled OR a.id = ANY(%(suspects)s))::int AS blame
), moved AS (
    UPDATE jobs_job j
    SET lost_count = j.lost_count + s.blame,
        innocent_count = j.innocent_count + 1 - s.blame,
        state = CASE WHEN j.lost_count + s.blame <= %(most)s THEN %(to)s
                     ELSE %(dead)s END,
        event = CASE WHEN j.lost_count + s.blame <= %(most)s THEN %(event)s
                     ELSE %(poisoned)s END,
        error = CASE WHEN j.lost_count + s.blame <= %(most)s THEN j.error
                     ELSE %(poison)s::jsonb END,
        fingerprint = CASE WHEN j.lost_count + s.blame <= %(most)s THEN j.fingerprint
                           ELSE 'poison' END,
        finished_at = CASE WHEN j.lost_count + s.blame <= %(most)s THEN NULL
                           ELSE s.now END
    FROM settled s WHERE j.id = s.job_id AND j.state = ANY(%(from)s)
    RETURNING j.id, j.tenant_id, j.kind, j.state
), used AS (
    INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id)
    SELECT tenant_id, 'job:' || id || ':jobs', 'jobs', 1, id
    FROM moved WHERE state = %(dead)s
    ON CONFLICT DO NOTHING
)
SELECT id, tenant_id, kind, state FROM moved
"""

_LOST_ERROR = {
    "code": "worker_lost",
    "message": "The worker vanished or stopped renewing its lease.",
}
_POISON_ERROR = {
    "code": "poison",
    "message": "The job's worker vanished each time it ran; look at the worker's log "
    "and at the payload before you retry it.",
}


def _lose(condition: str, *, max_losses: int, **values: Any) -> list[Ended]:
    values = {
        "outcome": Outcome.LOST.value,
        "error": to_json(_LOST_ERROR),
        "poison": to_json(_POISON_ERROR),
        "most": max_losses,
        "dead": target(Event.POISONED).value,
        "poisoned": Event.POISONED.value,
        "suspects": [],
        **move(Event.LOST),
        **values,
    }
    return [Ended(*row) for row in rows(_LOSE.format(condition=condition), values)]


def lose_expired(*, max_losses: int) -> list[Ended]:
    """End every attempt whose lease ran out; its job is queued again, or is poison."""
    return _lose(_EXPIRED, max_losses=max_losses)


def lose_of_worker(
    *,
    worker: str,
    attempt_ids: Sequence[int],
    suspects: Sequence[int] = (),
    max_losses: int,
) -> list[Ended]:
    """End attempts whose worker process is known to have died.

    `suspects` are those it was at work on; the rest of a bundle is innocent.
    """
    values = {
        "worker": worker,
        "attempts": list(attempt_ids),
        "suspects": list(suspects),
    }
    return _lose(_OF_WORKER, max_losses=max_losses, **values)


# The step that was cut off is done again, so the tenant does not pay for it.
_GIVE_BACK = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), taken AS (
    SELECT id FROM jobs_attempt
    WHERE outcome IS NULL AND started_at IS NOT NULL AND worker = %(worker)s
    ORDER BY id FOR UPDATE
), settled AS (
    UPDATE jobs_attempt a
    SET outcome = %(outcome)s, finished_at = clock.now, is_billable = false,
        settled_us = GREATEST(0, extract(epoch FROM clock.now - a.started_at)
                                 * 1000000)::bigint
    FROM taken, clock WHERE a.id = taken.id
    RETURNING a.job_id
)
UPDATE jobs_job j SET state = %(to)s, event = %(event)s FROM settled s
WHERE j.id = s.job_id AND j.state = ANY(%(from)s)
RETURNING j.id, j.tenant_id, j.kind, j.state
"""


def give_back(*, worker: str) -> list[Ended]:
    """Queue again what a worker is at, which has to stop: no attempt is spent."""
    values = {
        "worker": worker,
        "outcome": Outcome.YIELDED.value,
        **move(Event.YIELDED),
    }
    return [Ended(*row) for row in rows(_GIVE_BACK, values)]


# What nobody has started costs nothing. A job is blamed for a message that the broker
# gave up, unless others travelled in it: then it travels alone from now on.
_REPLACE = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), {gone}, settled AS (
    UPDATE jobs_attempt a
    SET outcome = %(outcome)s, finished_at = clock.now, settled_us = 0,
        is_billable = false, error = %(error)s::jsonb
    FROM gone, clock WHERE a.id = gone.id
    RETURNING a.job_id, clock.now,
              (%(blames)s AND NOT a.is_bundled)::int AS blame,
              (%(blames)s AND a.is_bundled)::int AS innocent
), judged AS (
    SELECT j.id, s.*, s.blame > 0 AND j.lost_count + s.blame > %(most)s AS is_over
    FROM settled s JOIN jobs_job j ON j.id = s.job_id
), moved AS (
    UPDATE jobs_job j
    SET lost_count = j.lost_count + s.blame,
        innocent_count = j.innocent_count + s.innocent,
        state = CASE WHEN s.is_over THEN %(dead)s ELSE %(to)s END,
        event = CASE WHEN s.is_over THEN %(poisoned)s ELSE %(event)s END,
        error = CASE WHEN s.is_over THEN %(undeliverable)s::jsonb ELSE j.error END,
        fingerprint = CASE WHEN s.is_over THEN 'undeliverable' ELSE j.fingerprint END,
        finished_at = CASE WHEN s.is_over THEN s.now END
    FROM judged s WHERE j.id = s.id AND j.state = ANY(%(from)s)
    RETURNING j.id, j.tenant_id, j.kind, j.state
), used AS (
    INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id)
    SELECT tenant_id, 'job:' || id || ':jobs', 'jobs', 1, id
    FROM moved WHERE state = %(dead)s
    ON CONFLICT DO NOTHING
)
SELECT id, tenant_id, kind, state FROM moved
"""

# A worker that has just come takes what waited for it, however long that was.
_NOT_STARTED = """
live AS (
    SELECT pool, sum(slots) AS slots FROM jobs_worker, clock
    WHERE last_seen_at > clock.now - %(fresh)s * interval '1 second'
      AND started_at < clock.now - %(timeout)s * interval '1 second' GROUP BY pool
), busy AS (
    SELECT pool, count(DISTINCT (worker, started_at)) AS slots FROM jobs_attempt
    WHERE outcome IS NULL AND started_at IS NOT NULL GROUP BY pool
), gone AS (
    SELECT a.id FROM jobs_attempt a
    JOIN live USING (pool) LEFT JOIN busy USING (pool), clock
    WHERE a.outcome IS NULL AND a.started_at IS NULL
      AND a.dispatched_at < clock.now - %(timeout)s * interval '1 second'
      AND live.slots > COALESCE(busy.slots, 0)
    ORDER BY a.id LIMIT 500 FOR UPDATE OF a SKIP LOCKED
)
"""
# Named by their message: an attempt that somebody is starting now is waited for.
_GIVEN_UP = """
gone AS (
    SELECT id FROM jobs_attempt
    WHERE id = ANY(%(attempts)s) AND outcome IS NULL AND started_at IS NULL
    ORDER BY id FOR UPDATE
)
"""

_NOT_STARTED_ERROR = {
    "code": "not_started",
    "message": "Published, but no free worker took it in time; published anew.",
}
_GIVEN_UP_ERROR = {
    "code": "given_up_by_broker",
    "message": "The broker gave its message up before a worker started it; published "
    "anew.",
}
_UNDELIVERABLE_ERROR = {
    "code": "undeliverable",
    "message": "The broker gave the job's message up each time, and no worker started "
    "it; look at the workers' logs and at the dead messages before you retry it.",
}


def _replace(
    gone: str, *, error: dict[str, str], blames: bool, most: int = 0, **values: Any
) -> list[Ended]:
    values = {
        "outcome": Outcome.LOST.value,
        "error": to_json(error),
        "undeliverable": to_json(_UNDELIVERABLE_ERROR),
        "blames": blames,
        "most": most,
        "dead": target(Event.POISONED).value,
        "poisoned": Event.POISONED.value,
        **move(Event.NOT_STARTED),
        **values,
    }
    return [Ended(*row) for row in rows(_REPLACE.format(gone=gone.strip()), values)]


def replace_not_started(*, timeout_seconds: int, fresh_seconds: int) -> list[Ended]:
    """Give back attempts that were published but that no free worker started."""
    return _replace(
        _NOT_STARTED,
        error=_NOT_STARTED_ERROR,
        blames=False,
        timeout=timeout_seconds,
        fresh=fresh_seconds,
    )


def replace_given_up(*, attempt_ids: Sequence[int], max_losses: int) -> list[Ended]:
    """Give back those of the attempts that were not started, as their message is gone.

    It counts as a loss of its worker: after more than `max_losses` the job is dead.
    """
    return _replace(
        _GIVEN_UP,
        error=_GIVEN_UP_ERROR,
        blames=True,
        most=max_losses,
        attempts=list(attempt_ids),
    )


_DUE = """
WITH due AS (
    SELECT j.id FROM jobs_job j
    WHERE j.state = ANY(%(from)s) AND j.state IN ('scheduled', 'retryable')
      AND j.run_after <= clock_timestamp()
      AND (j.state = 'retryable' OR NOT EXISTS (
          SELECT FROM tenants_tenant t JOIN tenants_tier tier ON tier.name = t.tier_id
          LEFT JOIN jobs_switch s ON NOT s.is_scheduling AND (s.scope, s.name) IN (
              ('kind', j.kind),
              ('pool', COALESCE(NULLIF(t.pool, ''), tier.default_pool)))
          WHERE t.slug = j.tenant_id AND (NOT t.is_scheduling OR s.id IS NOT NULL)))
    ORDER BY j.run_after LIMIT 1000 FOR UPDATE OF j SKIP LOCKED
)
UPDATE jobs_job j SET state = %(to)s, event = %(event)s FROM due WHERE j.id = due.id
RETURNING j.id, j.tenant_id, j.kind, j.state
"""


def queue_due() -> list[Ended]:
    """Queue the scheduled and retryable jobs whose time has come.

    A switch (jobs/switches.py) may hold scheduled ones; a retry is no new work.
    """
    return [Ended(*row) for row in rows(_DUE, move(Event.DUE))]
