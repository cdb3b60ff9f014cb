"""What a person decides about dead jobs: try again, leave it at that, or think again.

Who decides and why come from `tenants.acting.acting` around the call. Callers open the
scope.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from jobs.lifecycle import Event, sources, target
from jobs.models import Job
from jobs.wake import wake_dispatcher_soon
from tenants.scoping import current_scope


def jobs_revive(*, job_ids: Iterable[UUID]) -> int:
    """Queue dead jobs again with all their attempts; returns how many were dead.

    A revived job resumes at its last checkpoint.
    """
    dead = _of(Event.REVIVED, job_ids)
    tenants = list(dead.values_list("tenant_id", flat=True).distinct())
    revived = dead.update(
        state=target(Event.REVIVED),
        event=Event.REVIVED,
        cancel_requested_at=None,
        discarded_at=None,
        failed_count=0,
        lost_count=0,
        innocent_count=0,
        finished_at=None,
        # It is due from now on: its wait counts from the retry.
        run_after=Now(),
        error=None,
        fingerprint="",
    )
    if revived:
        transaction.on_commit(partial(wake_dispatcher_soon, *tenants))
    return revived


def jobs_discard(*, job_ids: Iterable[UUID]) -> int:
    """Leave dead jobs dead; returns how many nobody had decided about before.

    They leave the list of dead letters, and may be pruned in time.
    """
    undecided = _of(Event.DISCARDED, job_ids).filter(discarded_at=None)
    return undecided.update(event=Event.DISCARDED, discarded_at=Now())


def jobs_restore(*, job_ids: Iterable[UUID]) -> int:
    """Put discarded jobs back among the dead letters; returns how many there were."""
    discarded = _of(Event.RESTORED, job_ids).exclude(discarded_at=None)
    return discarded.update(event=Event.RESTORED, discarded_at=None)


def _of(event: Event, job_ids: Iterable[UUID]) -> "QuerySet[Any]":
    """Return those of the jobs to which the event may happen."""
    current_scope()
    return Job.objects.filter(id__in=list(job_ids), state__in=sources(event))
