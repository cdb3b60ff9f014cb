"""How the admin edits a dead job's payload: type, look at what changes, confirm."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from jobs.editing import (
    Edit,
    NotDeadError,
    PayloadFixedError,
    edit_of,
    job_edit_and_revive,
    why_fixed,
)
from jobs.handlers import JSONDict
from jobs.lifecycle import State
from jobs.models import DeadLetter, Job
from jobs.payloads import PayloadError, payload_of
from tenants.acting import acting
from tenants.adminkit import change_url, json_block, log_change
from tenants.models import check_line

TEMPLATE: Final = "admin/jobs/deadletter/edit.html"
#: Lines of the field that is typed into, at least and at most.
LINES: Final = (8, 28)
_NO_REASON: Final = ("Why", "Say it in one line: it is kept in the job's log.")


def may_edit(request: HttpRequest) -> bool:
    """Return whether the user may edit payloads, which is no use without a retry."""
    return request.user.has_perms(["jobs.edit_deadletter", "jobs.retry_deadletter"])


@dataclass(frozen=True, slots=True)
class _Draft:
    """What was typed so far."""

    text: str
    why: str
    #: Attempts that the job had when its payload was shown first.
    seen: int

    @classmethod
    def of(cls, request: HttpRequest, job: Job) -> Self:
        """Return what came with the form, or the payload as it is."""
        if request.method != "POST":
            text = json.dumps(job.payload, indent=2, ensure_ascii=False)
            return cls(text, "", job.attempt_count)
        seen = request.POST.get("seen", "")
        if not (seen.isascii() and seen.isdigit() and len(seen) < 10):
            raise BadRequest("The form does not say which attempt it is about.")
        why = " ".join(request.POST.get("reason", "").split())
        return cls(request.POST.get("payload", ""), why, int(seen))

    @property
    def lines(self) -> int:
        """Return how high the field is."""
        least, most = LINES
        return min(max(least, self.text.count("\n") + 2), most)


def edit(screen: Any, request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show the payload to be edited, then what would change, and then do it."""
    if not may_edit(request):
        raise PermissionDenied
    job = get_object_or_404(Job, pk=job_id)
    draft = _Draft.of(request, job)
    try:
        if job.state != State.DEAD or draft.seen != job.attempt_count:
            raise NotDeadError(State(job.state))
        return _answer(screen, request, job, draft)
    except NotDeadError as error:
        text = f"{error} Its log says who did what."
        screen.message_user(request, text, messages.WARNING)
    return HttpResponseRedirect(change_url(Job, job_id))


def _answer(screen: Any, request: HttpRequest, job: Job, draft: _Draft) -> HttpResponse:
    """Return the page that comes next. Raises NotDeadError."""
    if request.method != "POST" or "_again" in request.POST:
        return _page(screen, request, job, draft, fixed=why_fixed(job))
    try:
        payload = payload_of(draft.text)
        check_line("Why", draft.why)
        if not draft.why:
            return _page(screen, request, job, draft, flaws=[_NO_REASON])
        if "_confirmed" in request.POST:
            return _apply(screen, request, job, payload, draft)
        found = edit_of(job=job, payload=payload)
    except ValidationError as error:
        flaws = [("Why", " ".join(error.messages))]
        return _page(screen, request, job, draft, flaws=flaws)
    except PayloadError as error:
        return _page(screen, request, job, draft, flaws=error.flaws())
    except PayloadFixedError as error:
        return _page(screen, request, job, draft, fixed=str(error))
    return _page(screen, request, job, draft, edit=found)


def _apply(
    screen: Any, request: HttpRequest, job: Job, payload: JSONDict, draft: _Draft
) -> HttpResponse:
    with acting(why=draft.why):
        done = job_edit_and_revive(
            job_id=job.pk, payload=payload, seen_attempts=draft.seen
        )
    names = ", ".join(done.changed)
    noted = f"Payload edited ({names}) and retried." if names else "Retried."
    log_change(request, DeadLetter.objects.filter(pk=job.pk), f"{noted} {draft.why}")
    said = f"from the beginning; changed: {names}" if names else "as it was"
    screen.message_user(request, f"Queued again {said}.")
    return HttpResponseRedirect(change_url(Job, job.pk))


def _page(
    screen: Any,
    request: HttpRequest,
    job: Job,
    draft: _Draft,
    *,
    flaws: Sequence[tuple[str, str]] = (),
    fixed: str = "",
    edit: Edit | None = None,
) -> HttpResponse:
    context = {
        **screen.admin_site.each_context(request),
        "title": "Edit and retry",
        "opts": screen.opts,
        "job": job,
        "job_url": change_url(job, job.pk),
        "draft": draft,
        "flaws": flaws,
        "fixed": fixed,
        "edit": edit,
        "rows": [] if edit is None else _rows(job, edit),
        "is_edited": job.original_payload is not None,
        "enqueued_payload": json_block(job.original_payload),
    }
    return TemplateResponse(request, TEMPLATE, context)


def _rows(job: Job, edit: Edit) -> list[tuple[str, str, str]]:
    """Return each field that changes, as it was and as it will be."""
    return [
        (name, _shown(job.payload, name), _shown(edit.payload, name))
        for name in edit.changed
    ]


def _shown(payload: JSONDict, name: str) -> str:
    return json.dumps(payload[name], ensure_ascii=False) if name in payload else "–"
