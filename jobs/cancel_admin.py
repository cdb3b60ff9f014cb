"""How the admin cancels jobs: after a page that says what will happen."""

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from jobs.cancelling import MOST, jobs_cancel
from jobs.lifecycle import TERMINAL_STATES, State
from jobs.models import Job
from tenants.acting import acting
from tenants.adminkit import change_url, log_change

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
    jobs = list(rows.exclude(state__in=TERMINAL_STATES).order_by("id")[:MOST])
    if not jobs:
        screen.message_user(request, "They are over already.", messages.WARNING)
        return None
    if "confirmed" not in request.POST:
        return _ask(screen, request, jobs, hidden)
    why = request.POST.get("reason", "").strip()
    log_change(request, rows, f"Cancelled. {why}".strip())
    with acting(why=why):
        moved = jobs_cancel(job_ids=[job.pk for job in jobs])
    at_work = sum(ended.state == State.RUNNING for ended in moved)
    words = f"{len(moved) - at_work:,} job(s) cancelled"
    if at_work:
        words += f"; {at_work:,} at work end at their next checkpoint"
    screen.message_user(request, f"{words}.", messages.SUCCESS)
    return None


def _ask(
    screen: Any,
    request: HttpRequest,
    jobs: list[Job],
    hidden: list[tuple[str, str]],
) -> HttpResponse:
    at_work = sum(job.state == State.RUNNING for job in jobs)
    running = ""
    if at_work:
        who = "It is" if len(jobs) == 1 else f"{at_work:,} of them are"
        running = f" {who} at work; that ends at the next checkpoint, and what was done"
        running += " until then stays."
    context = {
        **screen.admin_site.each_context(request),
        "title": "Cancel jobs",
        "opts": screen.opts,
        "question": f"Cancel {len(jobs):,} job(s)? A cancelled job does not come back."
        f"{running}",
        "rows": [
            (f"{job.kind} of {job.tenant_id} · {job.state}", change_url(job, job.pk))
            for job in jobs[:PREVIEWED]
        ],
        "more_rows": max(0, len(jobs) - PREVIEWED),
        "hidden": hidden,
        "asks_reason": True,
        "is_danger": True,
        "submit_text": f"Cancel {len(jobs):,} job(s)",
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)
