"""Gives a dead job another payload and tries it again, in one transaction.

A job whose payload changes starts from the beginning: its checkpoint says how far the
old payload was worked through, and handlers trust it. What cannot be begun anew keeps
its payload (`Kind.why_fixed`). The payload that was enqueued is kept.

Who edits and why come from `tenants.acting.acting` around the call. Callers open the
scope.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models.functions import Coalesce

from jobs import handlers
from jobs.deciding import jobs_revive
from jobs.handlers import JSONDict, UnknownKindError
from jobs.lifecycle import Event, State, sources
from jobs.models import Job
from jobs.selectors import UnknownJobError
from tenants.acting import acting, current_act
from tenants.scoping import current_scope

_ABSENT: Final = object()


class NotDeadError(Exception):
    """The job is not dead, or has died again since it was looked at."""

    def __init__(self, state: State) -> None:
        dead = state is State.DEAD
        said = "has died once more" if dead else f"is {state}, not dead"
        super().__init__(f"The job {said}. Nothing was changed.")
        self.state = state


class PayloadFixedError(Exception):
    """The job has to keep its payload; the text says why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What another payload makes of a dead job."""

    job: Job
    payload: JSONDict
    #: Names of the fields that differ. None: it is a plain retry, which resumes.
    changed: tuple[str, ...]


def why_fixed(job: Job) -> str:
    """Return why a dead job has to keep its payload, or ""."""
    try:
        _rules_of(job)
    except PayloadFixedError as error:
        return str(error)
    return handlers.why_fixed(job.kind, job.pk)


def edit_of(*, job: Job, payload: JSONDict) -> Edit:
    """Return what the payload would make of a job; changes nothing.

    Raises NotDeadError, PayloadError for what the job's kind does not allow, and
    PayloadFixedError for another payload than the job has to keep.
    """
    if job.state not in sources(Event.EDITED):
        raise NotDeadError(State(job.state))
    checked = _rules_of(job)(job.tenant_id, payload)
    changed = _changed(job.payload, checked)
    reason = handlers.why_fixed(job.kind, job.pk) if changed else ""
    if reason:
        raise PayloadFixedError(reason)
    return Edit(job, checked, changed)


def job_edit_and_revive(
    *, job_id: UUID, payload: JSONDict, seen_attempts: int | None = None
) -> Edit:
    """Give a dead job the payload and queue it again; returns what has changed.

    With `seen_attempts` only if it has made no attempt since it had so many. Raises
    UnknownJobError, and what `edit_of` does.
    """
    current_scope()
    # Whoever retries it at the same time waits here, and finds it queued.
    job = Job.objects.select_for_update().filter(pk=job_id).first()
    if job is None:
        raise UnknownJobError(f"There is no job {job_id}.")
    edit = edit_of(job=job, payload=payload)
    if seen_attempts not in (None, job.attempt_count):
        raise NotDeadError(State(job.state))
    if edit.changed:
        _write(edit)
    jobs_revive(job_ids=[job_id])
    return edit


def _write(edit: Edit) -> None:
    names, why = ", ".join(edit.changed), current_act().why
    with acting(why=f"{names} changed: {why}" if why else f"{names} changed"):
        Job.objects.filter(pk=edit.job.pk, state__in=sources(Event.EDITED)).update(
            event=Event.EDITED,
            original_payload=Coalesce("original_payload", "payload"),
            payload=edit.payload,
            # It was that of the old payload, too.
            size=None,
            checkpoint=None,
            progress_done=0,
            progress_total=None,
            progress_unit="",
        )
    handlers.edited(edit.job.kind, edit.job.pk)


def _rules_of(job: Job) -> Callable[[str, JSONDict], JSONDict]:
    """Return what the payloads of the job's kind are checked with.

    Raises PayloadFixedError where nothing can check them.
    """
    try:
        check = handlers.get(job.kind).check_payload
    except UnknownKindError:
        check = None
    if check is None:
        text = f"Nothing here can check payloads of the kind {job.kind!r}."
        raise PayloadFixedError(text)
    return check


def _changed(before: JSONDict, after: JSONDict) -> tuple[str, ...]:
    names = sorted({*before, *after})
    return tuple(
        name for name in names if before.get(name, _ABSENT) != after.get(name, _ABSENT)
    )
