"""Ends jobs on request: what waits at once, what runs at its next checkpoint.

The lock on an attempt comes before the lock on its job, as everywhere in the ledger. An
attempt that is being started is passed over: its worker finds the request when it has
the job, and the sweep finds what fell in between. Callers open the scope.
"""

from collections.abc import Collection
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from jobs import handlers
from jobs.lifecycle import WAITING_STATES, Event, Outcome, State, target
from jobs.statements import rows
from jobs.sweeps import Ended
from jobs.wake import wake_dispatcher_soon

_CANCEL = """
WITH clock AS (
    SELECT clock_timestamp() AS now
), asked AS (
    SELECT id FROM jobs_job WHERE finished_at IS NULL AND {condition}
    ORDER BY id LIMIT %(most)s
), ended AS (
    UPDATE jobs_attempt a
    SET outcome = %(outcome)s, finished_at = clock.now, settled_us = 0,
        is_billable = false
    FROM clock, (
        SELECT a.id FROM jobs_attempt a JOIN asked ON asked.id = a.job_id
        WHERE a.outcome IS NULL AND a.started_at IS NULL
        ORDER BY a.id FOR UPDATE OF a SKIP LOCKED
    ) AS unstarted
    WHERE a.id = unstarted.id
    RETURNING a.job_id
), found AS (
    SELECT asked.id, ended.job_id IS NOT NULL AS is_taken_back, clock.now
    FROM clock, asked LEFT JOIN ended ON ended.job_id = asked.id
), moved AS (
    UPDATE jobs_job j
    SET state = CASE WHEN f.is_taken_back OR j.state = ANY(%(waiting)s) THEN %(to)s
                     ELSE j.state END,
        event = CASE WHEN f.is_taken_back OR j.state = ANY(%(waiting)s) THEN %(event)s
                     WHEN j.state = %(running)s THEN %(requested)s ELSE j.event END,
        finished_at = CASE WHEN f.is_taken_back OR j.state = ANY(%(waiting)s)
                           THEN f.now END,
        cancel_requested_at = COALESCE(j.cancel_requested_at, f.now)
    FROM found f
    WHERE j.id = f.id AND j.finished_at IS NULL
      AND (j.state <> %(running)s OR j.cancel_requested_at IS NULL)
    RETURNING j.id, j.tenant_id, j.kind, j.state
), used AS (
    INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id)
    SELECT tenant_id, 'job:' || id || ':jobs', 'jobs', 1, id
    FROM moved WHERE state = %(to)s
    ON CONFLICT DO NOTHING
)
SELECT id, tenant_id, kind, state FROM moved
"""

_BY_ID: Final = "id = ANY(%(jobs)s::uuid[])"
# A running job is told at its next checkpoint.
_LEFT_OVER: Final = "cancel_requested_at IS NOT NULL AND state <> %(running)s"
#: Jobs of one statement.
MOST: Final = 500


def _cancel(condition: str, **values: Any) -> list[Ended]:
    values |= {
        "most": MOST,
        "outcome": Outcome.CANCELLED.value,
        "waiting": sorted(WAITING_STATES),
        "running": State.RUNNING.value,
        "event": Event.CANCELLED.value,
        "requested": Event.CANCEL_REQUESTED.value,
        "to": target(Event.CANCELLED).value,
    }
    moved = [Ended(*row) for row in rows(_CANCEL.format(condition=condition), values)]
    for ended in moved:
        if ended.state == State.CANCELLED:
            handlers.end_unfinished(ended.kind, ended.job_id)
    return moved


def jobs_cancel(*, job_ids: Collection[UUID]) -> list[Ended]:
    """Cancel jobs, at most `MOST`; returns those that it changed, and to which state.

    A job that waited is cancelled. One that runs is still `running`, and ends at its
    next checkpoint; if it succeeds or dies before, it does. What is over stays as it
    is, and so does what was asked for before.
    """
    moved = _cancel(_BY_ID, jobs=[str(job_id) for job_id in job_ids])
    if moved:
        tenants = {ended.tenant for ended in moved}
        transaction.on_commit(partial(wake_dispatcher_soon, *tenants))
    return moved


def cancel_left_over() -> list[Ended]:
    """Cancel jobs that were to be cancelled while they ran, and wait again."""
    return _cancel(_LEFT_OVER)
