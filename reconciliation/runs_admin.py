"""The screens of runs: what each compared, by which terms, and what it found."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    RangeDateTimeFilter,
)

from jobs import timeline
from jobs.models import Job
from jobs.switches import NotAcceptingError
from reconciliation import run_tables
from reconciliation.matching import Terms
from reconciliation.measures import match_rate, mismatch_total, percent_text
from reconciliation.models import Profile, Run
from reconciliation.orders import run_order
from reconciliation.periods import days_of, period_of
from reconciliation.terms import terms_json
from tenants.adminkit import (
    DialogForm,
    ReadOnlyAdmin,
    after_dialog,
    change_url,
    dialog_action,
    link_action,
    moment,
    pill,
    row_link,
    subtle,
)
from tenants.wording import age, between

_TONES: Final = {"running": "running", "done": "succeeded", "failed": "dead"}


class ConfirmForm(DialogForm):
    """Asks nothing but a yes."""


def _table(render: Callable[[Run], SafeString], title: str) -> Callable[..., Any]:
    @admin.display(description=title)
    def column(_: Any, run: Run) -> SafeString:
        return render(run)

    return column


def _count(name: str, title: str) -> Callable[..., Any]:
    @admin.display(description=title)
    def column(_: Any, run: Run) -> str:
        return f"{run.counts[name]:,}" if name in run.counts else "–"

    return column


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Comparisons, newest first."""

    list_display = (
        *("id", "tenant", "profile_name", "period", "mode_pill", "state_pill"),
        *("progress", "rate", "found", "new_count", "closed_count", "took"),
        "created",
    )
    list_select_related = ("tenant", "profile", "job")
    list_filter = (
        ("state", ChoicesCheckboxFilter),
        ("mode", ChoicesCheckboxFilter),
        "is_dry",
        ("tenant", AutocompleteSelectFilter),
        ("profile", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("tenant__slug", "profile__name")
    search_help_text = "A tenant, or a profile's name"
    actions_detail: ClassVar = ["run_again", "see_mismatches", "see_open_rows"]
    change_form_template = "admin/reconciliation/run/change_form.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("tenant", "profile_link"),
                    ("period", "mode_pill"),
                    ("state_pill", "progress"),
                    ("began", "ended"),
                    ("took", "as_of_text"),
                    ("job_link", "previous_link"),
                )
            },
        ),
        (
            "What it counted",
            {
                "fields": (
                    ("rate", "found"),
                    ("new_count", "closed_count"),
                    "counts_table",
                    "mismatches_table",
                )
            },
        ),
        ("The terms it went by", {"fields": ("terms_table",)}),
        ("What it read", {"fields": ("files_table",)}),
    )
    began = moment("created_at", "Began")
    ended = moment("finished_at", "Ended")
    as_of_text = moment("as_of", "Payments pend as of")
    new_count = _count("found", "New")
    closed_count = _count("closed", "Closed")
    counts_table = _table(run_tables.counts_table, "Rows")
    mismatches_table = _table(run_tables.mismatches_table, "Mismatches told")
    terms_table = _table(run_tables.terms_table, "Terms")
    files_table = _table(run_tables.files_table, "Files")

    def get_urls(self) -> list[URLPattern]:
        """Add the page of the rows that do not plainly match."""
        view = self.admin_site.admin_view(partial(_open_rows_page, self))
        name = "reconciliation_run_open_rows"
        return [path("<int:run_id>/open/", view, name=name), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Let the page refresh itself while the run goes on."""
        run = kwargs.get("obj")
        context["is_going_on"] = run is not None and run.state == Run.State.RUNNING
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Buttons ----------------------------------------------------------------------

    def has_run_permission(self, request: HttpRequest, _: Any = None) -> bool:
        """Return whether the user may have a profile run."""
        return request.user.has_perm("reconciliation.run_profile")

    @dialog_action(
        description="Run again",
        text="Compares the same days anew: by the profile as it is now, or, if this "
        "was a dry run, dry and by the same rules.",
        form=ConfirmForm,
        permissions=["run"],
        icon="replay",
    )
    def run_again(
        self, request: HttpRequest, form: Any, object_id: str
    ) -> HttpResponse:
        """Order a run of the same period, and go to its job."""
        run = get_object_or_404(Run, pk=object_id)
        terms = run_tables.terms_of_run(run)
        if run.is_dry and terms is None:
            text = "The rules that it tried are not to be read any more."
            self.message_user(request, text, messages.ERROR)
            return after_dialog(change_url(Run, run.pk))
        try:
            job = run_order(
                profile=run.profile,
                starts_at=run.period_starts_at,
                ends_at=run.period_ends_at,
                now=timezone.now(),
                rules=terms_json(terms)["rules"] if terms and run.is_dry else None,
            )
        except NotAcceptingError as error:
            self.message_user(request, str(error), messages.ERROR)
            return after_dialog(change_url(Run, run.pk))
        self.message_user(request, "A run is ordered.", messages.SUCCESS)
        return after_dialog(change_url(Job, job.pk))

    @link_action(description="Mismatches", permissions=["view"], icon="difference")
    def see_mismatches(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the mismatches of the run's days, in whichever state."""
        run = get_object_or_404(Run, pk=object_id)
        return HttpResponseRedirect(run_tables.mismatches_url(run))

    @link_action(description="Open rows", permissions=["view"], icon="table_rows")
    def see_open_rows(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the rows that do not plainly match."""
        url = reverse("admin:reconciliation_run_open_rows", args=[int(object_id)])
        return HttpResponseRedirect(url)

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Profile")
    def profile_name(self, run: Run) -> str:
        """Return the profile's name."""
        return run.profile.name

    @admin.display(description="Profile")
    def profile_link(self, run: Run) -> SafeString:
        """Return a link to the profile."""
        return row_link(Profile, run.profile_id, run.profile.name)

    @admin.display(description="Period")
    def period(self, run: Run) -> SafeString:
        """Return the days, as the terms tell them."""
        text = period_text(run, run_tables.terms_of_run(run))
        return format_html('<span class="dtq-nowrap">{}</span>', text)

    @admin.display(description="Mode")
    def mode_pill(self, run: Run) -> SafeString:
        """Return whether it looked at everything, and whether it only counted."""
        if run.is_dry:
            return pill("dry", "info")
        return pill(run.mode, "queued")

    @admin.display(description="State")
    def state_pill(self, run: Run) -> SafeString:
        """Return the state as a coloured label."""
        return pill(run.state, _TONES[run.state])

    @admin.display(description="Progress")
    def progress(self, run: Run) -> SafeString:
        """Return how far its job is."""
        if run.job is None or run.state != Run.State.RUNNING:
            return subtle("–")
        percent = timeline.progress_percent(run.job)
        text = timeline.progress_text(run.job) or run.job.state
        if percent is None:
            return subtle(text)
        return format_html(
            '<span class="dtq-progress" title="{}"><i style="width: {}%"></i></span>'
            '<span class="dtq-subtle">{}%</span>',
            text,
            percent,
            percent,
        )

    @admin.display(description="Match rate")
    def rate(self, run: Run) -> SafeString:
        """Return the part of its rows that match, if it looked at all of its period."""
        text = percent_text(match_rate(run.counts) if run.is_whole else None)
        return format_html('<span class="dtq-nowrap">{}</span>', text)

    @admin.display(description="Mismatches")
    def found(self, run: Run) -> str:
        """Return how many mismatches it told, if it looked at all of its period."""
        is_told = run.is_whole and run.counts
        return f"{mismatch_total(run.counts):,}" if is_told else "–"

    @admin.display(description="Took")
    def took(self, run: Run) -> str:
        """Return how long it took, or takes so far."""
        if run.finished_at is None and run.state != Run.State.RUNNING:
            return "–"
        return between(run.created_at, run.finished_at or timezone.now())

    @admin.display(description="Began")
    def created(self, run: Run) -> SafeString:
        """Return when it began."""
        return subtle(age(run.created_at, now=timezone.now()))

    @admin.display(description="Job")
    def job_link(self, run: Run) -> SafeString:
        """Return a link to its job, unless that was pruned."""
        if run.job_id is None:
            return subtle("pruned")
        return row_link(Job, run.job_id, run.job_id)

    @admin.display(description="Run before it")
    def previous_link(self, run: Run) -> SafeString:
        """Return a link to the run whose findings it began with."""
        if run.previous_id is None:
            return subtle("–")
        return row_link(Run, run.previous_id, f"run {run.previous_id}")


def period_text(run: Run, terms: Terms | None) -> str:
    """Return a run's days, or its moments if it is of parts of days."""
    period = run.period_starts_at, run.period_ends_at
    if terms is None:
        return _moments_text(*period)
    first, last = days_of(terms, *period)
    if period_of(terms, first, last) != period:
        return _moments_text(*(moment.astimezone(terms.zone) for moment in period))
    if first == last:
        return first.isoformat()
    return f"{first.isoformat()} – {last.isoformat()}"


def _moments_text(starts: datetime, ends: datetime) -> str:
    day = "" if starts.date() == ends.date() else "%Y-%m-%d "
    return f"{starts:%Y-%m-%d %H:%M} – {ends.strftime(day + '%H:%M')}"


def _open_rows_page(screen: Any, request: HttpRequest, run_id: int) -> HttpResponse:
    """Show a page of the rows that a run wrote down."""
    if not screen.has_view_permission(request):
        raise PermissionDenied
    run = get_object_or_404(Run.objects.select_related("profile"), pk=run_id)
    after = request.GET.get("after", "0")
    is_number = after.isascii() and after.isdigit() and len(after) < 19
    rows, following = run_tables.open_rows(run, after=int(after) if is_number else 0)
    context = {
        **screen.admin_site.each_context(request),
        "title": f"Open rows of run {run.pk}",
        "opts": screen.opts,
        "run": run,
        "run_url": change_url(Run, run.pk),
        "period": period_text(run, run_tables.terms_of_run(run)),
        "rows": rows,
        "following": following,
        "is_first": after == "0",
    }
    return TemplateResponse(request, "admin/reconciliation/run/open_rows.html", context)
