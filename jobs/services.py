"""Writes to the ledger that people and producers ask for."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from jobs import handlers
from jobs.lifecycle import Event, State, sources, target
from jobs.models import Job, Priority, Worker
from jobs.wake import wake_dispatcher
from tenants.scoping import current_scope

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
) -> Job:
    """Write a job, and wake the dispatcher once it is committed.

    Raises handlers.UnknownKindError.
    """
    known = handlers.get(kind)
    is_due = run_after is None or run_after <= now
    job: Job = Job.objects.create(
        tenant_id=tenant_id,
        kind=kind,
        payload=payload,
        priority=priority,
        state=State.QUEUED if is_due else State.SCHEDULED,
        run_after=now if run_after is None else run_after,
        max_attempts=max_attempts or known.max_attempts,
    )
    transaction.on_commit(wake_dispatcher)
    return job


def jobs_revive(*, job_ids: Iterable[UUID]) -> int:
    """Queue dead jobs again with all their attempts; returns how many were dead.

    A revived job resumes at its last checkpoint.
    """
    current_scope()
    revived = Job.objects.filter(
        id__in=list(job_ids), state__in=sources(Event.REVIVED)
    ).update(
        state=target(Event.REVIVED),
        failed_count=0,
        lost_count=0,
        finished_at=None,
        # It is due from now on: its wait counts from the retry.
        run_after=Now(),
        error=None,
        fingerprint="",
    )
    if revived:
        transaction.on_commit(wake_dispatcher)
    return revived


def forget_stale_workers(*, now: datetime) -> dict[str, int]:
    """Remove the rows of workers that were killed and never came back."""
    stale = Worker.objects.filter(last_seen_at__lt=now - STALE_WORKER_AGE)
    removed, _ = stale.delete()
    return {"stale_workers": removed}
