"""The screen of dead letters: what died, of what, and the way back."""

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    DropdownFilter,
    TextFilter,
)

from jobs import dead_letters, edit_admin
from jobs.decisions_admin import DECISIONS, decide
from jobs.job_admin import JobScreens, KindFilter
from jobs.lifecycle import State
from jobs.models import DeadLetter, Job
from tenants.adminkit import change_url
from tenants.wording import age


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


class DecisionFilter(DropdownFilter):  # type: ignore[misc]
    """Shows what nobody has decided about, or what was discarded."""

    title = "decision"
    parameter_name = "decision"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return what there is beside the undecided ones."""
        return [("discarded", "discarded")]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the undecided ones, unless the discarded ones are asked for."""
        return rows.filter(discarded_at__isnull=self.value() != "discarded")


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
        DecisionFilter,
    )
    list_before_template = "admin/jobs/deadletter/groups.html"
    actions = ["retry_selected", "discard_selected", "restore_selected"]

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
        return DECISIONS["retry"].is_open_to(request)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may discard dead letters, and restore them."""
        return DECISIONS["discard"].is_open_to(request)

    # --- Pages ------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that ask before they do it."""
        wrap = self.admin_site.admin_view
        pages = [
            page
            for name in DECISIONS
            for page in (
                path(
                    f"{name}/",
                    wrap(partial(self.decide_all, name=name)),
                    name=f"jobs_deadletter_{name}_all",
                ),
                path(
                    f"<uuid:job_id>/{name}/",
                    wrap(partial(self.decide_one, name=name)),
                    name=f"jobs_deadletter_{name}_one",
                ),
            )
        ]
        edit = path(
            "<uuid:job_id>/edit/", wrap(self.edit_one), name="jobs_deadletter_edit_one"
        )
        return [*pages, edit, *super().get_urls()]

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
            context["may_discard"] = self.has_discard_permission(request)
            context["is_discarded"] = request.GET.get("decision") == "discarded"
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
            context["may_edit"] = edit_admin.may_edit(request)
            may = self.has_discard_permission(request)
            context["may_discard"] = may and obj.discarded_at is None
            context["may_restore"] = may and obj.discarded_at is not None
        return super().render_change_form(request, context, add, change, form_url, obj)

    # --- Decisions --------------------------------------------------------------------

    @admin.action(description="Retry selected", permissions=["retry"])
    def retry_selected(
        self, request: HttpRequest, rows: QuerySet[DeadLetter]
    ) -> HttpResponse:
        """Retry the chosen jobs, after a page that counts them."""
        return self._decide_selected(request, rows, "retry")

    @admin.action(description="Discard selected", permissions=["discard"])
    def discard_selected(
        self, request: HttpRequest, rows: QuerySet[DeadLetter]
    ) -> HttpResponse:
        """Leave the chosen jobs dead, after a page that asks why."""
        return self._decide_selected(request, rows, "discard")

    @admin.action(description="Restore selected", permissions=["discard"])
    def restore_selected(
        self, request: HttpRequest, rows: QuerySet[DeadLetter]
    ) -> HttpResponse:
        """Put the chosen jobs back on the list, after a page that counts them."""
        return self._decide_selected(request, rows, "restore")

    def _decide_selected(
        self, request: HttpRequest, rows: QuerySet[DeadLetter], name: str
    ) -> HttpResponse:
        post = request.POST
        chosen = post.getlist(ACTION_CHECKBOX_NAME)
        hidden = [(ACTION_CHECKBOX_NAME, pk) for pk in chosen]
        hidden += [("action", f"{name}_selected")]
        hidden += [("select_across", post.get("select_across", "0"))]
        back = request.get_full_path()
        return decide(self, request, rows, DECISIONS[name], hidden, back=back)

    def decide_all(self, request: HttpRequest, *, name: str) -> HttpResponse:
        """Decide about every job that the filters of the list let through."""
        back = reverse("admin:jobs_deadletter_changelist")
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            text = "The filter is not one of this list, so nothing was done."
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(back)
        return decide(self, request, rows, DECISIONS[name], [], back=back)

    def decide_one(
        self, request: HttpRequest, job_id: UUID, *, name: str
    ) -> HttpResponse:
        """Decide about one job from its page. Raises Http404."""
        get_object_or_404(DeadLetter, pk=job_id)
        rows = dead_letters.dead().filter(pk=job_id)
        may_see_job = request.user.has_perm("jobs.view_job")
        back = change_url(Job if may_see_job else DeadLetter, job_id)
        return decide(self, request, rows, DECISIONS[name], [], back=back)

    def edit_one(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        """Retry one job with another payload."""
        return edit_admin.edit(self, request, job_id)

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
