"""The ledger's protocol: every statement that moves a job or an attempt.

One statement each, compare-and-set, by the database's clock. A statement that finds
nothing to change means that somebody else was faster, and says so. States come from
jobs/lifecycle.py. Callers open the scope (tenants/scoping.py) and thereby the
transaction.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from jobs.errors import Failure
from jobs.handlers import Assignment, Checkpoint
from jobs.lifecycle import TERMINAL_STATES, Event, Outcome, sources, target


class AttemptSupersededError(RuntimeError):
    """The attempt is no longer the live one: its lease ran out or it was settled."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this worker started, with what its failure would lead to."""

    assignment: Assignment
    failed_count: int
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that a sweep moved, and where to."""

    job_id: UUID
    tenant: str
    kind: str
    state: str


def _rows(statement: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _move(event: Event) -> dict[str, Any]:
    return {"from": sources(event), "to": target(event).value}


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


# --- Dispatch -------------------------------------------------------------------------

# The share lock on the lease holds off a new leader until this transaction has ended.
_DISPATCH = """
WITH leader AS (
    SELECT term FROM jobs_leaderlease
    WHERE name = %(name)s AND holder = %(holder)s AND term = %(term)s
      AND expires_at > clock_timestamp()
    FOR SHARE
), picked AS (
    SELECT * FROM unnest(%(jobs)s::uuid[], %(held)s::bigint[], %(weights)s::bigint[])
        AS p (job_id, held_us, weight)
), moved AS (
    UPDATE jobs_job j
    SET state = %(to)s, attempt_count = j.attempt_count + 1,
        dispatched_at = COALESCE(j.dispatched_at, clock_timestamp())
    FROM picked p, leader
    WHERE j.id = p.job_id AND j.state = ANY(%(from)s)
    RETURNING j.id, j.tenant_id, j.attempt_count, p.held_us, p.weight, leader.term
)
INSERT INTO jobs_attempt
    (tenant_id, job_id, number, pool, term, held_us, weight, dispatched_at)
SELECT tenant_id, id, attempt_count, %(pool)s, term, held_us, weight, clock_timestamp()
FROM moved
RETURNING job_id, id
"""


@dataclass(frozen=True, slots=True)
class Pick:
    """A job the scheduler chose, with the charge it holds and the weight it used."""

    job_id: UUID
    held_us: int
    weight: int


def dispatch(
    *, lease: tuple[str, str, int], pool: str, picks: Sequence[Pick]
) -> dict[UUID, int]:
    """Append an attempt for each picked job that is still queued.

    `lease` is the leader's (name, holder, term): once it no longer leads, nothing is
    written. Returns the attempt's id for each job that was moved.
    """
    name, holder, term = lease
    values = {
        "name": name,
        "holder": holder,
        "term": term,
        "pool": pool,
        "jobs": [str(pick.job_id) for pick in picks],
        "held": [pick.held_us for pick in picks],
        "weights": [pick.weight for pick in picks],
        **_move(Event.DISPATCHED),
    }
    rows: list[tuple[UUID, int]] = _rows(_DISPATCH, values)
    return dict(rows)


# --- Start ----------------------------------------------------------------------------

_START = """
WITH started AS (
    UPDATE jobs_attempt
    SET started_at = clock_timestamp(), worker = %(worker)s,
        lease_expires_at = clock_timestamp() + %(lease)s * interval '1 second'
    WHERE id = %(attempt)s AND started_at IS NULL AND outcome IS NULL
    RETURNING id, job_id, started_at
)
UPDATE jobs_job j
SET state = %(to)s, started_at = COALESCE(j.started_at, s.started_at)
FROM started s
WHERE j.id = s.job_id AND j.state = ANY(%(from)s)
RETURNING s.id, j.id, j.tenant_id, j.kind, j.payload, j.checkpoint, s.started_at,
          j.failed_count, j.max_attempts
"""


def start(*, attempt_id: int, worker: str, lease_seconds: int) -> Claim | None:
    """Start an attempt, once; None means stale or duplicate: nothing was written."""
    values = {
        "attempt": attempt_id,
        "worker": worker,
        "lease": lease_seconds,
        **_move(Event.STARTED),
    }
    rows = _rows(_START, values)
    if not rows:
        transaction.set_rollback(True)
        return None
    (attempt, job, tenant, kind, payload, checkpoint, now, failed, most) = rows[0]
    assignment = Assignment(
        job_id=job,
        tenant=tenant,
        attempt_id=attempt,
        kind=kind,
        payload=json.loads(payload),
        checkpoint=json.loads(checkpoint) if checkpoint else None,
        now=now,
    )
    return Claim(assignment, failed_count=failed, max_attempts=most)


# --- Work -----------------------------------------------------------------------------

_RENEW = """
UPDATE jobs_attempt
SET lease_expires_at = clock_timestamp() + %(lease)s * interval '1 second'
WHERE id = %(attempt)s AND outcome IS NULL AND lease_expires_at > clock_timestamp()
RETURNING job_id
"""

_CHECKPOINT = f"""
WITH live AS ({_RENEW})
UPDATE jobs_job j
SET checkpoint = %(state)s::jsonb, progress_done = %(done)s,
    progress_total = %(total)s, progress_unit = %(unit)s
FROM live
WHERE j.id = live.job_id
RETURNING j.id
"""  # noqa: S608

_USAGE = """
INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id)
SELECT %(tenant)s, 'job:' || %(job)s || ':' || meter || ':' || chunk, meter, quantity,
       %(job)s::uuid
FROM unnest(%(meters)s::text[], %(chunks)s::text[], %(quantities)s::bigint[])
    AS u (meter, chunk, quantity)
ON CONFLICT DO NOTHING
RETURNING id
"""


def renew(*, attempt_id: int, lease_seconds: int) -> bool:
    """Extend a lease that has not run out; False when the attempt is not ours."""
    return bool(_rows(_RENEW, {"attempt": attempt_id, "lease": lease_seconds}))


def commit_checkpoint(
    assignment: Assignment, checkpoint: Checkpoint, *, lease_seconds: int
) -> None:
    """Write a checkpoint, its progress and its usage beside the step's own effects.

    Raises AttemptSupersededError, which rolls those effects back, when the attempt has
    lost its lease.
    """
    values = {
        "attempt": assignment.attempt_id,
        "lease": lease_seconds,
        "state": _json(checkpoint.state),
        "done": checkpoint.done,
        "total": checkpoint.total,
        "unit": checkpoint.unit,
    }
    if not _rows(_CHECKPOINT, values):
        raise AttemptSupersededError(assignment.attempt_id)
    if not checkpoint.usage:
        return
    meters, chunks = zip(*checkpoint.usage, strict=True)
    usage = {
        "tenant": assignment.tenant,
        "job": str(assignment.job_id),
        "meters": list(meters),
        "chunks": list(chunks),
        "quantities": list(checkpoint.usage.values()),
    }
    _rows(_USAGE, usage)


# --- End ------------------------------------------------------------------------------

_SETTLE = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), settled AS (
    UPDATE jobs_attempt a
    SET outcome = %(outcome)s, finished_at = clock.now, is_billable = true,
        settled_us = GREATEST(0, extract(epoch FROM clock.now - a.started_at)
                                 * 1000000)::bigint,
        error = %(error)s::jsonb, traceback = %(traceback)s
    FROM clock
    WHERE a.id = %(attempt)s AND a.outcome IS NULL AND a.lease_expires_at > clock.now
    RETURNING a.id, a.tenant_id, a.job_id, a.settled_us, clock.now
), moved AS (
    UPDATE jobs_job j
    SET state = %(to)s, result = %(result)s::jsonb, error = %(error)s::jsonb,
        fingerprint = %(fingerprint)s, failed_count = j.failed_count + %(failures)s,
        run_after = CASE WHEN %(delay)s IS NULL THEN j.run_after
                         ELSE s.now + %(delay)s * interval '1 second' END,
        finished_at = CASE WHEN %(is_terminal)s THEN s.now END
    FROM settled s
    WHERE j.id = s.job_id AND j.state = ANY(%(from)s)
    RETURNING j.id, j.tenant_id
), used AS (
    INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id)
    SELECT tenant_id, 'attempt:' || id, 'worker_us', settled_us, job_id FROM settled
    UNION ALL
    SELECT tenant_id, 'job:' || id || ':jobs', 'jobs', 1, id
    FROM moved WHERE %(is_terminal)s
    ON CONFLICT DO NOTHING
)
SELECT id FROM moved
"""


def _settle(assignment: Assignment, event: Event, **changes: Any) -> None:
    values = {
        "attempt": assignment.attempt_id,
        "result": None,
        "error": None,
        "traceback": "",
        "fingerprint": "",
        "failures": 0,
        "delay": None,
        "is_terminal": target(event) in TERMINAL_STATES,
        **_move(event),
        **changes,
    }
    if not _rows(_SETTLE, values):
        raise AttemptSupersededError(assignment.attempt_id)


def finish(assignment: Assignment, result: dict[str, Any]) -> None:
    """Settle the attempt and end the job as succeeded.

    Raises AttemptSupersededError.
    """
    _settle(
        assignment,
        Event.FINISHED,
        outcome=Outcome.SUCCEEDED.value,
        result=_json(result),
    )


def fail(
    assignment: Assignment, failure: Failure, *, retry_in_seconds: float | None
) -> None:
    """Settle the attempt as failed; without a delay the job is dead.

    Raises AttemptSupersededError.
    """
    _settle(
        assignment,
        Event.BURIED if retry_in_seconds is None else Event.FAILED,
        outcome=Outcome.FAILED.value,
        error=_json(failure.error),
        traceback=failure.traceback,
        fingerprint=failure.fingerprint,
        failures=1,
        delay=retry_in_seconds,
    )


# --- Sweep ----------------------------------------------------------------------------

_EXPIRED = "lease_expires_at < clock_timestamp()"
_OF_WORKER = "worker = %(worker)s AND id = ANY(%(attempts)s) AND started_at IS NOT NULL"

_LOSE = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), gone AS (
    SELECT id FROM jobs_attempt WHERE outcome IS NULL AND {condition}
    ORDER BY lease_expires_at LIMIT 500 FOR UPDATE SKIP LOCKED
), settled AS (
    UPDATE jobs_attempt a
    SET outcome = %(outcome)s, finished_at = clock.now, is_billable = false,
        settled_us = GREATEST(0, extract(epoch FROM LEAST(a.lease_expires_at, clock.now)
                                         - a.started_at) * 1000000)::bigint,
        error = %(error)s::jsonb
    FROM gone, clock WHERE a.id = gone.id
    RETURNING a.job_id, clock.now
), moved AS (
    UPDATE jobs_job j
    SET lost_count = j.lost_count + 1,
        state = CASE WHEN j.lost_count < %(most)s THEN %(to)s ELSE %(dead)s END,
        error = CASE WHEN j.lost_count < %(most)s THEN j.error
                     ELSE %(poison)s::jsonb END,
        fingerprint = CASE WHEN j.lost_count < %(most)s THEN j.fingerprint
                           ELSE 'poison' END,
        finished_at = CASE WHEN j.lost_count < %(most)s THEN NULL ELSE s.now END
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
        "error": _json(_LOST_ERROR),
        "poison": _json(_POISON_ERROR),
        "most": max_losses,
        "dead": target(Event.POISONED).value,
        **_move(Event.LOST),
        **values,
    }
    statement = _LOSE.format(condition=condition)
    return [Ended(*row) for row in _rows(statement, values)]


def lose_expired(*, max_losses: int) -> list[Ended]:
    """End every attempt whose lease ran out; its job is queued again, or is poison."""
    return _lose(_EXPIRED, max_losses=max_losses)


def lose_of_worker(
    *, worker: str, attempt_ids: Sequence[int], max_losses: int
) -> list[Ended]:
    """End attempts whose worker process is known to have died."""
    values = {"worker": worker, "attempts": list(attempt_ids)}
    return _lose(_OF_WORKER, max_losses=max_losses, **values)


_NOT_STARTED = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), live AS (
    SELECT pool, sum(slots) AS slots FROM jobs_worker, clock
    WHERE last_seen_at > clock.now - %(fresh)s * interval '1 second' GROUP BY pool
), busy AS (
    SELECT pool, count(*) AS slots FROM jobs_attempt
    WHERE outcome IS NULL AND started_at IS NOT NULL GROUP BY pool
), gone AS (
    SELECT a.id FROM jobs_attempt a
    JOIN live USING (pool) LEFT JOIN busy USING (pool), clock
    WHERE a.outcome IS NULL AND a.started_at IS NULL
      AND a.dispatched_at < clock.now - %(timeout)s * interval '1 second'
      AND live.slots > COALESCE(busy.slots, 0)
    ORDER BY a.id LIMIT 500 FOR UPDATE OF a SKIP LOCKED
), settled AS (
    UPDATE jobs_attempt a
    SET outcome = %(outcome)s, finished_at = clock.now, settled_us = 0,
        is_billable = false, error = %(error)s::jsonb
    FROM gone, clock WHERE a.id = gone.id
    RETURNING a.job_id
)
UPDATE jobs_job j SET state = %(to)s FROM settled s
WHERE j.id = s.job_id AND j.state = ANY(%(from)s)
RETURNING j.id, j.tenant_id, j.kind, j.state
"""

_NOT_STARTED_ERROR = {
    "code": "not_started",
    "message": "Published, but no free worker took it in time; published anew.",
}


def replace_not_started(*, timeout_seconds: int, fresh_seconds: int) -> list[Ended]:
    """Give back attempts that were published but that no free worker started."""
    values = {
        "timeout": timeout_seconds,
        "fresh": fresh_seconds,
        "outcome": Outcome.LOST.value,
        "error": _json(_NOT_STARTED_ERROR),
        **_move(Event.NOT_STARTED),
    }
    return [Ended(*row) for row in _rows(_NOT_STARTED, values)]


_DUE = """
WITH due AS (
    SELECT id FROM jobs_job
    WHERE state = ANY(%(from)s) AND state IN ('scheduled', 'retryable')
      AND run_after <= clock_timestamp()
    ORDER BY run_after LIMIT 1000 FOR UPDATE SKIP LOCKED
)
UPDATE jobs_job j SET state = %(to)s FROM due WHERE j.id = due.id
RETURNING j.id, j.tenant_id, j.kind, j.state
"""


def queue_due() -> list[Ended]:
    """Queue the scheduled and retryable jobs whose time has come."""
    return [Ended(*row) for row in _rows(_DUE, _move(Event.DUE))]
