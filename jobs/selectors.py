"""Reads of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from jobs.lifecycle import State
from jobs.models import Attempt, Job


class UnknownJobError(LookupError):
    """No job in view has this id."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and whether older ones follow."""

    jobs: Sequence[Job]
    has_more: bool


def job_get(*, job_id: UUID) -> Job:
    """Return a job with its attempts, in two queries.

    Raises UnknownJobError.
    """
    job = _with_attempts(Job.objects.filter(id=job_id)).first()
    if job is None:
        raise UnknownJobError(f"There is no job {job_id}.")
    return job


def job_page(
    *,
    limit: int,
    state: State | None = None,
    kind: str | None = None,
    before: UUID | None = None,
) -> Page:
    """Return the newest jobs that were enqueued before the job `before`.

    Two queries whatever the limit: ids sort by arrival, so a page starts where the one
    before it ended even while jobs are added.
    """
    rows = Job.objects.order_by("-id")
    if state is not None:
        rows = rows.filter(state=state)
    if state in (State.DISPATCHED, State.RUNNING):
        # The few live attempts lead to these jobs; no index on the state does.
        rows = rows.filter(attempts__outcome=None)
    if kind is not None:
        rows = rows.filter(kind=kind)
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(_with_attempts(rows)[: limit + 1])
    return Page(jobs=found[:limit], has_more=len(found) > limit)


def _with_attempts(rows: QuerySet[Job]) -> QuerySet[Job]:
    attempts = Attempt.objects.order_by("number").defer("traceback", "error")
    # A payload or a checkpoint may be large, and nobody is shown them here.
    return rows.defer("payload", "original_payload", "checkpoint").prefetch_related(
        Prefetch("attempts", queryset=attempts)
    )
