"""The screens of jobs: the list, and the page that tells one job's story."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)

from fairshare.explain import WaitsFor, in_words, percent
from jobs import cancel_admin, handlers, timeline
from jobs.models import Attempt, DeadLetter, Job, JobEvent
from jobs.waits import Wait, is_waiting, wait_of
from tenants.adminkit import ReadOnlyAdmin, change_url, json_block, pill, subtle
from tenants.wording import age

#: Newest entries of its log that a job's page shows.
MOST_EVENTS: Final = 200


class KindFilter(DropdownFilter):  # type: ignore[misc]
    """Offers the registered kinds: reading the used ones would scan the table."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return every kind this process knows."""
        return [(name, name) for name in handlers.names()]

    def queryset(self, request: HttpRequest, rows: QuerySet[Job]) -> QuerySet[Job]:
        """Keep the jobs of the chosen kind."""
        kind = self.value()
        return rows.filter(kind=kind) if kind else rows


def job_search(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Return the one job of that id, or a tenant's jobs: both by an index."""
    term = term.strip()
    if not term:
        return rows
    try:
        return rows.filter(pk=UUID(term))
    except ValueError:
        return rows.filter(tenant_id=term)


class JobScreens(ReadOnlyAdmin):
    """What the lists and pages of jobs and of dead letters share."""

    search_fields = ("id", "tenant_id")
    search_help_text = "A job's id, or a tenant"
    list_select_related = ("tenant",)
    change_form_template = "admin/jobs/job/change_form.html"
    fields = ("id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by id or by tenant, exactly."""
        return job_search(queryset, search_term), False

    def get_urls(self) -> list[URLPattern]:
        """Add the part of the page that refreshes itself."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_live"
        live = self.admin_site.admin_view(self.live_view)
        return [path("<uuid:job_id>/live/", live, name=name), *super().get_urls()]

    def live_view(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        """Return the moving part of one job's page."""
        job = get_object_or_404(self.get_queryset(request), pk=job_id)
        if not self.has_view_permission(request, job):
            return HttpResponse(status=403)
        return render(request, "admin/jobs/job/live.html", self._story(job))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        """Tell the job's story instead of showing a form."""
        if obj is not None:
            context.update(self._story(obj), title=f"{obj.kind} of {obj.tenant_id}")
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _story(self, job: Job) -> dict[str, Any]:
        now = timezone.now()
        attempts = list(Attempt.objects.filter(job=job).order_by("number"))
        events = list(JobEvent.objects.filter(job=job).order_by("-id")[:MOST_EVENTS])
        return {
            "events": events[::-1],
            "has_more_events": len(events) == MOST_EVENTS,
            "job": job,
            "now": now,
            "is_over": timeline.is_over(job),
            "live_url": f"admin:{self.opts.app_label}_{self.opts.model_name}_live",
            "state": pill(job.state, job.state),
            "created": age(job.created_at, now=now),
            "finished": age(job.finished_at, now=now) if job.finished_at else "",
            "waited": timeline.waited(job, now=now),
            "ran": timeline.worked(attempts, now=now),
            "percent": timeline.progress_percent(job),
            "progress": timeline.progress_text(job),
            "beginning": timeline.beginning(job, now=now),
            "steps": timeline.steps(attempts, _retries(job), now=now),
            "ending": timeline.ending(job, now=now),
            "why": _why(job, now) if is_waiting(job) else None,
            "payload": json_block(job.payload),
            "is_edited": job.original_payload is not None,
            "enqueued_payload": json_block(job.original_payload),
            "result": json_block(job.result),
            "checkpoint": json_block(job.checkpoint),
            "error_details": json_block(job.error),
            # The app that ingests comes later than this one, so it is not imported.
            "ingested_file": getattr(job, "ingested_file", None)
            or getattr(job, "quarantined_file", None),
        }

    @admin.display(description="State")
    def state_pill(self, job: Job) -> SafeString:
        """Return the state as a coloured label."""
        return pill(job.state, job.state)

    @admin.display(description="Job")
    def short_id(self, job: Job) -> SafeString:
        """Return the end of the id, which tells jobs of one moment apart."""
        return format_html(
            '<span class="dtq-mono" title="{}">…{}</span>', job.pk, str(job.pk)[-12:]
        )

    @admin.display(description="Error")
    def error_code(self, job: Job) -> SafeString:
        """Return the stable code of the last error, with its message on hover."""
        if not job.error:
            return subtle("–")
        message = job.error.get("message", "")
        code = job.error.get("code", "")
        return format_html(
            '<span class="dtq-mono dtq-bad" title="{}">{}</span>', message, code
        )


@dataclass(frozen=True, slots=True)
class _Why:
    """The panel that says why a job waits: its label, its sentence, its figures."""

    label: str
    tone: str
    sentence: str
    remedy: str
    is_of_tenant: bool  # whether the tenant's page is the place for it
    figures: list[tuple[str, str, str]]  # name, value, what it means
    as_of: str


#: What a person can do about it; {pool} is the tenant's.
_REMEDIES: Final = {
    None: "See that a dispatcher runs: manage.py dispatch",
    WaitsFor.PAUSED: "Resume it on the page of the tenant",
    WaitsFor.SWITCH: "Turn it on: Switches in the menu, or manage.py switch",
    WaitsFor.NO_WORKERS: "Start one: manage.py worker --pool {pool}",
    WaitsFor.CAP: "The cap is on the page of the tenant",
    WaitsFor.RATE: "The rate is on the page of the tenant",
}
_BY_WEIGHT: Final = "part of the pool, by weight"
_ENTITLED: Final[dict[WaitsFor | None, str]] = {
    WaitsFor.CAP: "by weight alone; its cap keeps it below that"
}
_SECOND: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_LOUD: Final = {
    WaitsFor.PAUSED: "paused",
    WaitsFor.SWITCH: "paused",
    WaitsFor.NO_WORKERS: "dead",
    None: "dead",
}


def _why(job: Job, now: datetime) -> _Why:
    wait = wait_of(job, now=now)
    name = wait.waits_for
    return _Why(
        label="unknown" if name is None else name.replace("_", " "),
        tone=_LOUD.get(name, "queued"),
        sentence=wait.for_staff,
        remedy=_REMEDIES.get(name, "").format(pool=wait.pool),
        is_of_tenant=name in (WaitsFor.PAUSED, WaitsFor.CAP, WaitsFor.RATE),
        figures=_figures(wait, now),
        as_of="" if wait.as_of is None else age(wait.as_of, now=now),
    )


def _figures(wait: Wait, now: datetime) -> list[tuple[str, str, str]]:
    counted = f"{wait.jobs_ahead:,}{'+' if wait.is_more_ahead else ''}"
    window = in_words(wait.window_us)
    found = [
        ("Jobs ahead", counted, "older ones of its tenant and priority"),
        (
            "Work ahead",
            in_words(wait.work_ahead_us),
            "worker time they should take",
        ),
        ("Entitled", _part(wait.entitled), _ENTITLED.get(wait.waits_for, _BY_WEIGHT)),
        ("Received", _part(wait.received), f"of all its slots' time, last {window}"),
    ]
    if wait.opens_at is not None:
        moment = f"{timezone.localtime(wait.opens_at):%H:%M:%S}"
        found.insert(0, ("Opens", _left(wait.opens_at - now), moment))
    if wait.starts_within_us is not None:
        most = in_words(wait.starts_within_us, at_most=True)
        return [*found, ("Starts within", most, "the worst case, by the rule")]
    return [*found, ("Starts within", "no bound", wait.no_bound or "")]


def _left(span: timedelta) -> str:
    """Return how long until a moment, in the words of the sentence beside it."""
    return f"in {in_words(round(span / _MICROSECOND))}" if span > _SECOND else "now"


def _part(part: float | None) -> str:
    return "–" if part is None else percent(part)


def _retries(job: Job) -> list[tuple[datetime, str]]:
    """Return when dead letters of this job were retried, and by whom."""
    kind = ContentType.objects.get_for_model(DeadLetter, for_concrete_model=False)
    entries = LogEntry.objects.filter(content_type=kind, object_id=str(job.pk))
    return list(
        entries.order_by("action_time").values_list("action_time", "user__username")
    )


@admin.register(Job)
class JobAdmin(JobScreens):
    """Every job, newest first."""

    list_display = (
        *("short_id", "state_pill", "kind", "tenant", "priority", "progress_bar"),
        *("created", "waited", "ran", "error_code"),
    )
    list_filter = (
        ("state", ChoicesCheckboxFilter),
        ("tenant", AutocompleteSelectFilter),
        KindFilter,
        ("priority", ChoicesCheckboxFilter),
        ("created_at", RangeDateTimeFilter),
    )
    actions = ("cancel_selected",)

    def get_urls(self) -> list[URLPattern]:
        """Add the page that asks before it cancels."""
        view = self.admin_site.admin_view(self.cancel_one)
        name = "jobs_job_cancel_one"
        return [path("<uuid:job_id>/cancel/", view, name=name), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Offer to cancel a job that is not over."""
        job = kwargs.get("obj")
        if job is not None and not timeline.is_over(job):
            context["may_cancel"] = cancel_admin.may_cancel(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel jobs."""
        return cancel_admin.may_cancel(request)

    @admin.action(description="Cancel selected", permissions=["cancel"])
    def cancel_selected(
        self, request: HttpRequest, rows: QuerySet[Job]
    ) -> HttpResponse | None:
        """Cancel the chosen jobs, after a page that counts them."""
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        hidden = [(ACTION_CHECKBOX_NAME, pk) for pk in chosen]
        hidden += [("action", "cancel_selected")]
        hidden += [("select_across", request.POST.get("select_across", "0"))]
        return cancel_admin.cancel(
            self, request, Job.objects.filter(pk__in=rows.values("pk")), hidden
        )

    def cancel_one(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        """Cancel one job from its page. Raises Http404."""
        get_object_or_404(Job, pk=job_id)
        back = change_url(Job, job_id)
        answer = cancel_admin.cancel(
            self, request, Job.objects.filter(pk=job_id), [], back=back
        )
        return answer or HttpResponseRedirect(back)

    @admin.display(description="Progress")
    def progress_bar(self, job: Job) -> SafeString:
        """Return a bar where the total is known, and the numbers."""
        text = timeline.progress_text(job)
        percent = timeline.progress_percent(job)
        if percent is None:
            return subtle(text or "–")
        return format_html(
            '<span class="dtq-progress" title="{}"><i style="width: {}%"></i></span>'
            '<span class="dtq-subtle">{}%</span>',
            text,
            percent,
            percent,
        )

    @admin.display(description="Created")
    def created(self, job: Job) -> SafeString:
        """Return the job's age."""
        moment = timezone.localtime(job.created_at).isoformat(" ", "seconds")
        text = age(job.created_at, now=timezone.now())
        return format_html('<span title="{}">{}</span>', moment, text)

    @admin.display(description="Waited")
    def waited(self, job: Job) -> str:
        """Return how long it waited for its first dispatch."""
        return timeline.waited(job, now=timezone.now()) or "–"

    @admin.display(description="Ran")
    def ran(self, job: Job) -> str:
        """Return how long it ran."""
        return timeline.ran(job, now=timezone.now()) or "–"
