"""How the admin cancels jobs: after a page that says what will happen."""

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from jobs.cancelling import MOST, jobs_cancel
from jobs.lifecycle import TERMINAL_STATES, State
from jobs.models import Job
from jobs.sweeps import Ended
from tenants.acting import acting
from tenants.adminkit import change_url, log_change
from tenants.models import line_of

#: Jobs named on the page that asks; the rest is counted.
PREVIEWED: Final = 10


def may_cancel(request: HttpRequest) -> bool:
    """Return whether the user may cancel jobs."""
    return request.user.has_perm("jobs.cancel_job")


def cancel(
    screen: Any,
    request: HttpRequest,
    rows: QuerySet[Job],
    hidden: list[tuple[str, str]],
    *,
    back: str = "",
) -> HttpResponse | None:
    """Ask, and then cancel those of the jobs that are not over; None when it is done.

    `back` is where a page that has nothing to ask leads.
    """
    if not may_cancel(request):
        raise PermissionDenied
    meant = rows.exclude(state__in=TERMINAL_STATES)
    jobs = list(meant.order_by("id")[:MOST])
    if not jobs:
        screen.message_user(request, "They are over already.", messages.WARNING)
        return None
    left = meant.count() - len(jobs) if len(jobs) == MOST else 0
    if "confirmed" not in request.POST:
        return _ask(screen, request, jobs, left, hidden)
    try:
        why = line_of("reason", request.POST.get("reason", ""))
    except ValidationError as error:
        screen.message_user(request, " ".join(error.messages), messages.ERROR)
        return _ask(screen, request, jobs, left, hidden)
    ids = [job.pk for job in jobs]
    log_change(request, Job.objects.filter(pk__in=ids), f"Cancelled. {why}".strip())
    with acting(why=why):
        moved = jobs_cancel(job_ids=ids)
    said = _said(moved, left)
    screen.message_user(request, said, messages.WARNING if left else messages.SUCCESS)
    return None


def _said(moved: list[Ended], left: int) -> str:
    at_work = sum(ended.state == State.RUNNING for ended in moved)
    words = f"{len(moved) - at_work:,} job(s) cancelled"
    if at_work:
        words += f"; {at_work:,} at work end at their next checkpoint"
    if left:
        words += f"; {left:,} more are not cancelled: select them again"
    return f"{words}."


def _ask(
    screen: Any,
    request: HttpRequest,
    jobs: list[Job],
    left: int,
    hidden: list[tuple[str, str]],
) -> HttpResponse:
    at_work = sum(job.state == State.RUNNING for job in jobs)
    running = ""
    if at_work:
        who = "It is" if len(jobs) == 1 else f"{at_work:,} of them are"
        running = f" {who} at work; that ends at the next checkpoint, and what was done"
        running += " until then stays."
    which = f"{len(jobs):,} job(s)"
    if left:
        which = f"the first {len(jobs):,} of {len(jobs) + left:,} jobs"
    context = {
        **screen.admin_site.each_context(request),
        "title": "Cancel jobs",
        "opts": screen.opts,
        "question": f"Cancel {which}? A cancelled job does not come back.{running}",
        "rows": [
            (f"{job.kind} of {job.tenant_id} · {job.state}", change_url(job, job.pk))
            for job in jobs[:PREVIEWED]
        ],
        "more_rows": max(0, len(jobs) + left - PREVIEWED),
        "hidden": hidden,
        "asks_reason": True,
        "is_danger": True,
        "submit_text": f"Cancel {len(jobs):,} job(s)",
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)
