"""The screen of dead letters: what died, of what, and the way back."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, TextFilter

from jobs import dead_letters
from jobs.job_admin import JobScreens, KindFilter
from jobs.lifecycle import State
from jobs.models import DeadLetter, Job
from jobs.services import jobs_revive
from tenants.adminkit import change_url, log_change
from tenants.wording import age

#: Jobs named on the page that asks; the rest is counted.
PREVIEWED = 10


class FingerprintFilter(TextFilter):  # type: ignore[misc]
    """Keeps one group of failures."""

    title = "fingerprint"
    parameter_name = "fingerprint"

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Match the fingerprint exactly."""
        return rows.filter(fingerprint=self.value()) if self.value() else rows


class ErrorCodeFilter(TextFilter):  # type: ignore[misc]
    """Keeps one error code."""

    title = "error code"
    parameter_name = "code"

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Match the code exactly."""
        return rows.filter(error__code=self.value()) if self.value() else rows


@admin.register(DeadLetter)
class DeadLetterAdmin(JobScreens):
    """Jobs that a person has to decide about."""

    list_display = (
        *("short_id", "tenant", "kind", "reason", "fingerprint_link"),
        *("attempts", "first_seen", "died"),
    )
    list_filter = (
        ErrorCodeFilter,
        FingerprintFilter,
        ("tenant", AutocompleteSelectFilter),
        KindFilter,
    )
    list_before_template = "admin/jobs/deadletter/groups.html"
    actions = ["retry_selected"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """Return only jobs that are dead."""
        return dead_letters.dead()

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Find the job even after its revival, so that its page does not vanish."""
        try:
            return DeadLetter.objects.filter(pk=UUID(object_id)).first()
        except ValueError:
            return None

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may retry dead letters."""
        return request.user.has_perm("jobs.retry_deadletter")

    # --- Pages ------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that ask before they retry."""
        wrap = self.admin_site.admin_view
        return [
            path("retry/", wrap(self.retry_all), name="jobs_deadletter_retry_all"),
            path(
                "<uuid:job_id>/retry/",
                wrap(self.retry_one),
                name="jobs_deadletter_retry_one",
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the groups above the list, from the list as it is filtered."""
        try:
            response = super().changelist_view(request, extra_context)
        except ValidationError as error:  # an id that is none
            raise BadRequest from error
        context = getattr(response, "context_data", None)
        if context and "cl" in context:
            now = timezone.now()
            context["may_retry"] = self.has_retry_permission(request)
            context["groups"] = [
                (group, age(group.first_at, now=now), age(group.last_at, now=now))
                for group in dead_letters.groups(context["cl"].queryset)
            ]
        return response

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        """Offer the retry on the job's page."""
        if obj is not None and obj.state == State.DEAD:
            context["may_retry"] = self.has_retry_permission(request)
        return super().render_change_form(request, context, add, change, form_url, obj)

    # --- Retry ------------------------------------------------------------------------

    @admin.action(description="Retry selected", permissions=["retry"])
    def retry_selected(
        self, request: HttpRequest, rows: QuerySet[DeadLetter]
    ) -> HttpResponse:
        """Retry the chosen jobs, after a page that counts them."""
        post = request.POST
        chosen = post.getlist(ACTION_CHECKBOX_NAME)
        hidden = [(ACTION_CHECKBOX_NAME, pk) for pk in chosen]
        hidden += [("action", "retry_selected")]
        hidden += [("select_across", post.get("select_across", "0"))]
        return self._retry(request, rows, hidden, back=request.get_full_path())

    def retry_all(self, request: HttpRequest) -> HttpResponse:
        """Retry every job that the filters of the list let through."""
        back = reverse("admin:jobs_deadletter_changelist")
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            text = "The filter is not one of this list, so nothing was retried."
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(back)
        return self._retry(request, rows, [], back=back)

    def retry_one(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        """Retry one job from its page."""
        rows = dead_letters.dead().filter(pk=job_id)
        return self._retry(request, rows, [], back=change_url(Job, job_id))

    def _retry(
        self,
        request: HttpRequest,
        rows: QuerySet[DeadLetter],
        hidden: list[tuple[str, str]],
        *,
        back: str,
    ) -> HttpResponse:
        if not self.has_retry_permission(request):
            raise PermissionDenied
        if "confirmed" not in request.POST:
            return self._ask(request, rows, hidden)
        ids = list(rows.order_by().values_list("pk", flat=True))
        log_change(request, DeadLetter.objects.filter(pk__in=ids), "Retried.")
        revived = jobs_revive(job_ids=ids)
        self.message_user(
            request, f"{revived:,} dead letter(s) queued again.", messages.SUCCESS
        )
        return HttpResponseRedirect(back)

    def _ask(
        self,
        request: HttpRequest,
        rows: QuerySet[DeadLetter],
        hidden: list[tuple[str, str]],
    ) -> HttpResponse:
        total = rows.order_by().count()
        shown = rows.order_by("-id")[:PREVIEWED]
        context = {
            **self.admin_site.each_context(request),
            "title": "Retry dead letters",
            "opts": self.opts,
            "question": f"Queue {total:,} dead letter(s) again? Each gets all its "
            "attempts back and resumes at its last checkpoint.",
            "rows": [
                (
                    f"{job.kind} of {job.tenant_id} · {(job.error or {}).get('code')}",
                    change_url(job, job.pk),
                )
                for job in shown
            ],
            "more_rows": max(0, total - PREVIEWED),
            "hidden": hidden,
            "submit_text": f"Retry {total:,} job(s)",
        }
        return TemplateResponse(request, "admin/confirm_action.html", context)

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Reason")
    def reason(self, job: DeadLetter) -> SafeString:
        """Return the error's code and message."""
        error = job.error or {}
        return format_html(
            '<span class="dtq-mono dtq-bad">{}</span><br>'
            '<span class="dtq-subtle dtq-clip" title="{}">{}</span>',
            error.get("code", "–"),
            error.get("message", ""),
            error.get("message", ""),
        )

    @admin.display(description="Fingerprint")
    def fingerprint_link(self, job: DeadLetter) -> SafeString:
        """Return a link to the group."""
        return format_html(
            '<a class="dtq-link dtq-mono" href="?fingerprint={}">{}</a>',
            job.fingerprint,
            job.fingerprint[:8],
        )

    @admin.display(description="Attempts")
    def attempts(self, job: DeadLetter) -> str:
        """Return how many attempts failed, and how many lost their worker."""
        counts = {"failed": job.failed_count, "lost": job.lost_count}
        return ", ".join(f"{n} {word}" for word, n in counts.items() if n) or "none"

    @admin.display(description="Created")
    def first_seen(self, job: DeadLetter) -> str:
        """Return when the job came."""
        return age(job.created_at, now=timezone.now())

    @admin.display(description="Died")
    def died(self, job: DeadLetter) -> str:
        """Return when the job died."""
        return age(job.finished_at, now=timezone.now())
