"""The ledger's protocol: every statement that moves a job or an attempt at work.

Compare-and-set by the database's clock, for as many attempts at once as travel
together: an attempt that is missing from what a statement returns was changed by
somebody else first. Every statement locks attempts before their jobs, so that a job
never moves between the two. States come from jobs/lifecycle.py; jobs/sweeps.py ends
what was left behind. Callers open the scope (tenants/scoping.py).
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs.errors import Failure
from jobs.handlers import Assignment, Checkpoint
from jobs.lifecycle import TERMINAL_STATES, Event, Outcome, State, target
from jobs.statements import move, rows, rows_by_key, to_json


class AttemptSupersededError(RuntimeError):
    """The attempt is no longer the live one: its lease ran out or it was settled."""


# What is queued or live is asked for in words that fit no partial index: those are full
# of dead entries between two vacuums, and a planner that does not know would scan them.

# --- Dispatch -------------------------------------------------------------------------

# The share lock on the lease holds off a new leader until this transaction has ended.
_DISPATCH = """
WITH leader AS (
    SELECT term FROM jobs_leaderlease
    WHERE name = %(name)s AND holder = %(holder)s AND term = %(term)s
      AND expires_at > clock_timestamp()
    FOR SHARE
), picked AS (
    SELECT * FROM unnest(%(jobs)s::uuid[], %(held)s::bigint[], %(weights)s::bigint[],
                         %(tier_weights)s::bigint[], %(bundled)s::boolean[])
        AS p (job_id, held_us, weight, tier_weight, is_bundled)
), moved AS (
    UPDATE jobs_job j
    SET state = %(to)s, event = %(event)s, attempt_count = j.attempt_count + 1,
        dispatched_at = COALESCE(j.dispatched_at, clock_timestamp())
    FROM picked p, leader
    WHERE j.id = p.job_id AND COALESCE(j.state, '') = ANY(%(from)s)
      AND j.cancel_requested_at IS NULL
    RETURNING j.id, j.tenant_id, j.attempt_count, p.held_us, p.weight, p.tier_weight,
              p.is_bundled, leader.term
)
INSERT INTO jobs_attempt (tenant_id, job_id, number, pool, term, held_us, weight,
                          tier_weight, is_bundled, dispatched_at)
SELECT tenant_id, id, attempt_count, %(pool)s, term, held_us, weight, tier_weight,
       is_bundled, clock_timestamp()
FROM moved
RETURNING job_id::text, id
"""


@dataclass(frozen=True, slots=True)
class Pick:
    """A job the scheduler chose, with the charge it holds and the weights it used."""

    job_id: str
    held_us: int
    weight: int
    tier_weight: int = 1000
    is_bundled: bool = False


def dispatch(
    *, lease: tuple[str, str, int], pool: str, picks: Sequence[Pick]
) -> dict[str, int]:
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
        "jobs": [pick.job_id for pick in picks],
        "held": [pick.held_us for pick in picks],
        "weights": [pick.weight for pick in picks],
        "tier_weights": [pick.tier_weight for pick in picks],
        "bundled": [pick.is_bundled for pick in picks],
        **move(Event.DISPATCHED),
    }
    written: list[tuple[str, int]] = rows_by_key(_DISPATCH, values)
    return dict(written)


# --- Start ----------------------------------------------------------------------------

_CLAIM = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), started AS (
    UPDATE jobs_attempt a
    SET started_at = clock.now, worker = %(worker)s,
        lease_expires_at = clock.now + %(lease)s * interval '1 second'
    FROM unnest(%(attempts)s::bigint[]) AS asked (id), clock, jobs_job j
    WHERE a.id = asked.id AND a.started_at IS NULL AND COALESCE(a.outcome, '') = ''
      AND j.id = a.job_id AND COALESCE(j.state, '') = ANY(%(from)s)
    RETURNING a.id, a.job_id, a.pool, a.started_at
), moved AS (
    UPDATE jobs_job j
    SET state = %(to)s, event = %(event)s,
        started_at = COALESCE(j.started_at, s.started_at)
    FROM started s
    WHERE j.id = s.job_id AND COALESCE(j.state, '') = ANY(%(from)s)
    RETURNING s.id, s.pool, j.id AS job_id, j.tenant_id, j.kind, j.priority, j.payload,
              j.checkpoint, s.started_at, j.failed_count, j.max_attempts,
              j.cancel_requested_at IS NOT NULL
)
SELECT * FROM moved
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this worker started, with what decides how it may end."""

    assignment: Assignment
    pool: str
    priority: int
    failed_count: int
    max_attempts: int
    #: Somebody wants it cancelled: it is not to be begun.
    is_cancelled: bool = False


def claim(
    *, attempt_ids: Sequence[int], worker: str, lease_seconds: int
) -> list[Claim]:
    """Start the attempts, each once, and return those started in the order asked for.

    Stale and duplicate ones are left as they are.
    """
    values = {
        "attempts": list(attempt_ids),
        "worker": worker,
        "lease": lease_seconds,
        **move(Event.STARTED),
    }
    claimed = rows_by_key(_CLAIM, values)
    claims = {row[0]: _claim(*row) for row in claimed}
    return [claims[number] for number in attempt_ids if number in claims]


def _claim(
    attempt_id: int,
    pool: str,
    job_id: UUID,
    tenant: str,
    kind: str,
    priority: int,
    payload: str,
    checkpoint: str | None,
    now: datetime,
    failed_count: int,
    max_attempts: int,
    is_cancelled: bool,
) -> Claim:
    assignment = Assignment(
        job_id=job_id,
        tenant=tenant,
        attempt_id=attempt_id,
        kind=kind,
        payload=json.loads(payload),
        checkpoint=json.loads(checkpoint) if checkpoint else None,
        now=now,
    )
    return Claim(assignment, pool, priority, failed_count, max_attempts, is_cancelled)


# --- Work -----------------------------------------------------------------------------

_RENEW = """
UPDATE jobs_attempt a
SET lease_expires_at = clock_timestamp() + %(lease)s * interval '1 second'
FROM unnest(%(attempts)s::bigint[]) AS asked (id)
WHERE a.id = asked.id AND COALESCE(a.outcome, '') = ''
  AND a.lease_expires_at > clock_timestamp()
RETURNING a.job_id
"""

_CHECKPOINT = f"""
WITH live AS ({_RENEW})
UPDATE jobs_job j
SET checkpoint = %(state)s::jsonb, progress_done = %(done)s,
    progress_total = %(total)s, progress_unit = %(unit)s
FROM live
WHERE j.id = live.job_id
RETURNING j.cancel_requested_at IS NOT NULL
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


def renew(*, attempt_ids: Collection[int], lease_seconds: int) -> int:
    """Extend the leases that have not run out; returns how many still are ours."""
    return len(
        rows_by_key(_RENEW, {"attempts": list(attempt_ids), "lease": lease_seconds})
    )


def commit_checkpoint(
    assignment: Assignment, checkpoint: Checkpoint, *, lease_seconds: int
) -> bool:
    """Write a checkpoint, its progress and its usage beside the step's own effects.

    Returns whether somebody wants the job cancelled. Raises AttemptSupersededError,
    which rolls those effects back, when the attempt has lost its lease.
    """
    values = {
        "attempts": [assignment.attempt_id],
        "lease": lease_seconds,
        "state": to_json(checkpoint.state),
        "done": checkpoint.done,
        "total": checkpoint.total,
        "unit": checkpoint.unit,
    }
    written = rows_by_key(_CHECKPOINT, values)
    if not written:
        raise AttemptSupersededError(assignment.attempt_id)
    if checkpoint.usage:
        _count_usage(assignment, checkpoint)
    ((is_cancelled,),) = written
    return bool(is_cancelled)


def _count_usage(assignment: Assignment, checkpoint: Checkpoint) -> None:
    meters, chunks = zip(*checkpoint.usage, strict=True)
    usage = {
        "tenant": assignment.tenant,
        "job": str(assignment.job_id),
        "meters": list(meters),
        "chunks": list(chunks),
        "quantities": list(checkpoint.usage.values()),
    }
    rows(_USAGE, usage)


def spent_us(job_id: UUID) -> int:
    """Return the worker time that the job's settled attempts took, lost ones too."""
    statement = (
        "SELECT COALESCE(sum(settled_us), 0)::bigint FROM jobs_attempt "
        "WHERE job_id = %(job)s::uuid"
    )
    ((spent,),) = rows(statement, {"job": str(job_id)})
    return int(spent)


# --- End ------------------------------------------------------------------------------

_SETTLE = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), ended AS (
    SELECT * FROM unnest(
        %(attempts)s::bigint[], %(outcomes)s::text[], %(states)s::text[],
        %(events)s::text[], %(began)s::bigint[], %(ended)s::bigint[],
        %(results)s::jsonb[], %(errors)s::jsonb[],
        %(tracebacks)s::text[], %(fingerprints)s::text[],
        %(failures)s::int[], %(delays)s::float8[], %(terminal)s::boolean[],
        %(done)s::bigint[], %(totals)s::bigint[], %(units)s::text[]
    ) AS e (attempt_id, outcome, state, event, began_us, ended_us, result, error,
            traceback, fingerprint, failures, delay_seconds, is_terminal, done, total,
            unit)
), settled AS (
    UPDATE jobs_attempt a
    SET outcome = e.outcome, is_billable = true, settled_us = e.ended_us - e.began_us,
        started_at = a.started_at + e.began_us * interval '1 microsecond',
        finished_at = a.started_at + e.ended_us * interval '1 microsecond',
        error = e.error, traceback = e.traceback
    FROM ended e, clock
    WHERE a.id = e.attempt_id AND COALESCE(a.outcome, '') = ''
      AND a.lease_expires_at > clock.now
    RETURNING a.id AS attempt_id, a.tenant_id, a.job_id, a.settled_us, a.started_at,
              a.finished_at, e.state, e.event, e.began_us, e.result, e.error,
              e.fingerprint, e.failures, e.delay_seconds, e.is_terminal, e.done,
              e.total, e.unit
), moved AS (
    UPDATE jobs_job j
    SET state = s.state, event = s.event, result = s.result, error = s.error,
        fingerprint = s.fingerprint, failed_count = j.failed_count + s.failures,
        progress_done = COALESCE(s.done, j.progress_done),
        progress_total = COALESCE(s.total, j.progress_total),
        progress_unit = COALESCE(s.unit, j.progress_unit),
        started_at = CASE
            WHEN j.started_at = s.started_at - s.began_us * interval '1 microsecond'
            THEN s.started_at ELSE j.started_at END,
        run_after = COALESCE(
            s.finished_at + s.delay_seconds * interval '1 second', j.run_after),
        finished_at = CASE WHEN s.is_terminal THEN s.finished_at END
    FROM settled s
    WHERE j.id = s.job_id AND COALESCE(j.state, '') = ANY(%(from)s)
    RETURNING j.id, j.tenant_id, s.attempt_id, s.is_terminal
), used AS (
    INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id)
    SELECT tenant_id, 'attempt:' || attempt_id, 'worker_us', settled_us, job_id
    FROM settled
    UNION ALL
    SELECT tenant_id, 'job:' || id || ':jobs', 'jobs', 1, id
    FROM moved WHERE is_terminal
    ON CONFLICT DO NOTHING
)
SELECT attempt_id FROM moved
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How an attempt ended, and when: microseconds since it was claimed."""

    attempt_id: int
    event: Event
    outcome: Outcome
    began_us: int
    ended_us: int
    #: As JSON: what cannot be written must fail its own attempt, not this statement.
    result: str | None = None
    progress: Checkpoint | None = None
    failure: Failure | None = None
    retry_in_seconds: float | None = None
    #: Why it gave its slot back, for the log of events.
    why: str = ""


def succeeded(
    assignment: Assignment,
    result: dict[str, Any],
    *,
    progress: Checkpoint | None = None,
    began_us: int,
    ended_us: int,
) -> Settlement:
    """Return the settlement of an attempt that did its job.

    Raises TypeError or ValueError for a result that is not JSON the ledger can keep.
    """
    return Settlement(
        attempt_id=assignment.attempt_id,
        event=Event.FINISHED,
        outcome=Outcome.SUCCEEDED,
        began_us=began_us,
        ended_us=ended_us,
        result=to_json(result),
        progress=progress,
    )


def yielded(
    assignment: Assignment, *, why: str = "", began_us: int, ended_us: int
) -> Settlement:
    """Return the settlement of an attempt that gave its slot back."""
    return Settlement(
        why=why,
        attempt_id=assignment.attempt_id,
        event=Event.YIELDED,
        outcome=Outcome.YIELDED,
        began_us=began_us,
        ended_us=ended_us,
    )


def cancelled(assignment: Assignment, *, began_us: int, ended_us: int) -> Settlement:
    """Return the settlement of an attempt that was stopped on request."""
    return Settlement(
        attempt_id=assignment.attempt_id,
        event=Event.CANCELLED,
        outcome=Outcome.CANCELLED,
        began_us=began_us,
        ended_us=ended_us,
    )


def failed(
    assignment: Assignment,
    failure: Failure,
    *,
    retry_in_seconds: float | None,
    began_us: int,
    ended_us: int,
) -> Settlement:
    """Return the settlement of a failed attempt; without a delay the job is dead."""
    return Settlement(
        attempt_id=assignment.attempt_id,
        event=Event.BURIED if retry_in_seconds is None else Event.FAILED,
        outcome=Outcome.FAILED,
        began_us=began_us,
        ended_us=ended_us,
        failure=failure,
        retry_in_seconds=retry_in_seconds,
    )


def settle(settlements: Sequence[Settlement]) -> set[int]:
    """End the attempts and move their jobs; returns the attempts that were still ours.

    An attempt that is missing lost its lease: its end was written by somebody else.
    """
    failures = [s.failure for s in settlements]
    last = [s.progress for s in settlements]
    values = {
        "from": [State.RUNNING.value],
        "attempts": [s.attempt_id for s in settlements],
        "outcomes": [s.outcome.value for s in settlements],
        "states": [target(s.event).value for s in settlements],
        "events": [s.event.value for s in settlements],
        "terminal": [target(s.event) in TERMINAL_STATES for s in settlements],
        "began": [s.began_us for s in settlements],
        "ended": [s.ended_us for s in settlements],
        "results": [s.result for s in settlements],
        "errors": [to_json(f.error) if f else None for f in failures],
        "tracebacks": [f.traceback if f else "" for f in failures],
        "fingerprints": [f.fingerprint if f else "" for f in failures],
        "failures": [int(f is not None) for f in failures],
        "delays": [s.retry_in_seconds for s in settlements],
        "done": [p.done if p else None for p in last],
        "totals": [p.total if p else None for p in last],
        "units": [p.unit if p else None for p in last],
    }
    return {attempt_id for (attempt_id,) in rows_by_key(_SETTLE, values)}


# The rest of a bundle was claimed but not begun: it costs nothing and spends nothing.
_HAND_BACK = """
WITH settled AS (
    UPDATE jobs_attempt a
    SET outcome = %(outcome)s, is_billable = false, settled_us = 0,
        started_at = NULL, finished_at = clock_timestamp()
    WHERE a.id = ANY(%(attempts)s) AND COALESCE(a.outcome, '') = ''
    RETURNING a.job_id, a.number
)
UPDATE jobs_job j
SET state = %(to)s, event = %(event)s,
    started_at = CASE WHEN s.number > 1 THEN j.started_at END
FROM settled s WHERE j.id = s.job_id AND COALESCE(j.state, '') = ANY(%(from)s)
RETURNING j.id
"""


def hand_back(attempt_ids: Collection[int]) -> int:
    """Queue again the jobs of claimed attempts that were not begun."""
    values = {
        "attempts": list(attempt_ids),
        "outcome": Outcome.YIELDED.value,
        **move(Event.YIELDED),
    }
    return len(rows_by_key(_HAND_BACK, values))
