"""Writes to the ledger that people and producers ask for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import transaction

from jobs import handlers, switches
from jobs.lifecycle import State
from jobs.models import Job, Priority, Worker, new_job_id
from jobs.statements import rows, to_json
from jobs.wake import wake_dispatcher_soon

STALE_WORKER_AGE = timedelta(hours=1)


def job_enqueue(
    *,
    tenant_id: str,
    kind: str,
    payload: handlers.JSONDict,
    now: datetime,
    priority: Priority = Priority.NORMAL,
    run_after: datetime | None = None,
    max_attempts: int | None = None,
    size: int | None = None,
) -> Job:
    """Write a job, and wake the dispatcher once it is committed.

    `size` is what it has to work through, in bytes: a hint for the cost, if known.
    Raises handlers.UnknownKindError or switches.NotAcceptingError.
    """
    known = handlers.get(kind)
    switches.check_accepting(tenant=tenant_id, kind=kind)
    job: Job = Job.objects.create(
        tenant_id=tenant_id,
        kind=kind,
        payload=payload,
        priority=priority,
        state=State.QUEUED if _is_due(run_after, now) else State.SCHEDULED,
        run_after=now if run_after is None else run_after,
        max_attempts=max_attempts or known.max_attempts,
        size=size,
    )
    transaction.on_commit(partial(wake_dispatcher_soon, tenant_id))
    return job


_ENQUEUE = """
INSERT INTO jobs_job (id, tenant_id, kind, payload, priority, state, run_after,
                      max_attempts)
SELECT id, %(tenant)s, %(kind)s, payload, %(priority)s, %(state)s, %(run_after)s,
       %(max_attempts)s
FROM unnest(%(ids)s::uuid[], %(payloads)s::jsonb[]) AS j (id, payload)
RETURNING id
"""


def jobs_enqueue(
    *,
    tenant_id: str,
    kind: str,
    payloads: Sequence[handlers.JSONDict],
    now: datetime,
    priority: Priority = Priority.NORMAL,
    run_after: datetime | None = None,
    max_attempts: int | None = None,
) -> list[UUID]:
    """Write many jobs of one kind in one statement; returns their ids in order.

    Raises handlers.UnknownKindError or switches.NotAcceptingError.
    """
    switches.check_accepting(tenant=tenant_id, kind=kind)
    ids = [new_job_id() for _ in payloads]
    # Ids drawn within a millisecond are in no order of their own.
    ids.sort()
    rows(
        _ENQUEUE,
        {
            "tenant": tenant_id,
            "kind": kind,
            "priority": priority,
            "state": State.QUEUED if _is_due(run_after, now) else State.SCHEDULED,
            "run_after": now if run_after is None else run_after,
            "max_attempts": max_attempts or handlers.get(kind).max_attempts,
            "ids": [str(job_id) for job_id in ids],
            "payloads": [to_json(payload) for payload in payloads],
        },
    )
    transaction.on_commit(partial(wake_dispatcher_soon, tenant_id))
    return ids


def _is_due(run_after: datetime | None, now: datetime) -> bool:
    return run_after is None or run_after <= now


def forget_stale_workers(*, now: datetime) -> dict[str, int]:
    """Remove the rows of workers that were killed and never came back."""
    stale = Worker.objects.filter(last_seen_at__lt=now - STALE_WORKER_AGE)
    removed, _ = stale.delete()
    return {"stale_workers": removed}
