"""Changed rules tried on a past day: a form, what a dry run counts, and saving them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSingleDateWidget

from jobs import timeline
from jobs.models import Job
from jobs.switches import NotAcceptingError
from reconciliation.matching import Rule
from reconciliation.measures import Counts, compared, match_rate, percent_text
from reconciliation.models import MatchRule, Profile, Run
from reconciliation.old_terms_admin import tell_of_old_days
from reconciliation.orders import RECONCILE, run_order
from reconciliation.periods import days_of
from reconciliation.profile_forms_admin import period_checked
from reconciliation.rules_admin import RuleInline, rule_values, rules_rewrite
from reconciliation.terms import (
    NotARuleError,
    faults_of_rules,
    rule_from_json,
    rule_json,
    rules_of,
    terms_of,
)
from reconciliation.wording import rule_words
from tenants.adminkit import ModelAdmin, change_url, log_change


def may_run(request: HttpRequest) -> bool:
    """Return whether the user may have a profile run."""
    return request.user.has_perm("reconciliation.run_profile")


def may_save(request: HttpRequest) -> bool:
    """Return whether the user may change the rules of profiles."""
    return request.user.has_perm("reconciliation.change_profile")


class TrialForm(forms.ModelForm):  # type: ignore[type-arg]
    """Asks for the day; the rules are a table of their own."""

    day = forms.DateField(
        label="Day",
        widget=UnfoldAdminSingleDateWidget,
        help_text="One that a run has looked at already, so that there is something "
        "to compare with.",
    )

    class Meta:
        model = Profile
        fields: ClassVar[list[str]] = []

    def clean_day(self) -> tuple[datetime, datetime]:
        """Return when the day begins and when it ends."""
        day = self.cleaned_data["day"]
        return period_checked(self.instance, day, day, now=timezone.now())


class TrialRules(RuleInline):
    """The rules to be tried: who may run a profile may try others."""

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """Show as many rows as there are rules to begin with."""
        return 0 if request.method == "POST" else len(_beginning(request, obj))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the right to run profiles."""
        return may_run(request)

    has_add_permission = has_view_permission
    has_change_permission = has_view_permission
    has_delete_permission = has_view_permission


def _beginning(request: HttpRequest, profile: Profile) -> Sequence[Rule]:
    """Return the rules that the form begins with: those of a trial, or its own."""
    tried = request.GET.get("job", "")
    try:
        return _tried_rules(_tried_job(profile, UUID(tried)))
    except (ValueError, Http404):
        return rules_of(profile)


class TrialAdmin(ModelAdmin):
    """The form of a trial; nothing of the profile is saved."""

    form = TrialForm
    fields = ("day",)
    inlines = (TrialRules,)
    change_form_template = "admin/reconciliation/profile/try.html"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the right to run profiles."""
        return may_run(request)

    has_view_permission = has_change_permission

    def get_formset_kwargs(
        self, request: HttpRequest, obj: Any, inline: Any, prefix: str
    ) -> dict[str, Any]:
        """Begin with rules that are no rows: none is changed here."""
        made = super().get_formset_kwargs(request, obj, inline, prefix)
        rules = [] if request.method == "POST" else _beginning(request, obj)
        initial = [
            {"place": place, **rule_values(rule)}
            for place, rule in enumerate(rules, start=1)
        ]
        return {**made, "queryset": MatchRule.objects.none(), "initial": initial}

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, which begins with the day of the address."""
        made = super().get_form(request, obj, change, **kwargs)
        day = request.GET.get("day", "")

        class Dated(made):  # type: ignore[misc,valid-type]
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.initial["day"] = day

        return Dated

    def save_model(self, request: Any, obj: Any, form: Any, change: Any) -> None:
        """Save nothing."""

    def save_related(self, request: Any, form: Any, formsets: Any, change: Any) -> None:
        """Order a dry run, in the place of saving."""
        starts_at, ends_at = form.cleaned_data["day"]
        try:
            request.tried = run_order(
                profile=form.instance,
                starts_at=starts_at,
                ends_at=ends_at,
                now=timezone.now(),
                rules=[rule_json(rule) for rule in formsets[0].rules],
            )
        except NotAcceptingError as error:
            self.message_user(request, str(error), messages.ERROR)

    def construct_change_message(self, *_: Any, **__: Any) -> list[Any]:
        """Tell nothing: nothing is changed."""
        return []

    def log_change(self, *_: Any) -> Any:
        """Write nothing into the profile's history."""
        return None

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Go to what the run counts."""
        job = getattr(request, "tried", None)
        if job is None:
            return HttpResponseRedirect(request.get_full_path())
        url = reverse("admin:reconciliation_profile_tried", args=[obj.pk, job.pk])
        return HttpResponseRedirect(url)


def try_rules(screen: Any, request: HttpRequest, profile_id: int) -> HttpResponse:
    """Show the form, or order a dry run."""
    if not may_run(request):
        raise PermissionDenied
    get_object_or_404(Profile, pk=profile_id)
    trial = TrialAdmin(Profile, screen.admin_site)
    context = {"title": "Try changed rules on a past day", "subtitle": None}
    return trial.changeform_view(request, str(profile_id), extra_context=context)


# --- What it counted ------------------------------------------------------------------


def tried(
    screen: Any, request: HttpRequest, profile_id: int, job_id: UUID
) -> HttpResponse:
    """Show what a dry run counted beside the last run of the day, or save its rules."""
    may_see = request.user.has_perm("reconciliation.view_run") or may_run(request)
    if not may_see:
        raise PermissionDenied
    profile = get_object_or_404(Profile, pk=profile_id)
    job = _tried_job(profile, job_id)
    if request.method == "POST":
        return _save(screen, request, profile, job)
    rules = _tried_rules(job)
    dry = Run.objects.filter(job=job, is_dry=True).first()
    context = {
        **screen.admin_site.each_context(request),
        "title": "Tried rules",
        "opts": screen.opts,
        "profile": profile,
        "profile_url": change_url(profile, profile.pk),
        "job": job,
        "job_url": change_url(Job, job.pk),
        "is_over": timeline.is_over(job),
        "percent": timeline.progress_percent(job),
        "progress": timeline.progress_text(job),
        "words": [rule_words(rule) for rule in rules],
        "is_as_saved": tuple(rules) == rules_of(profile),
        "may_save": may_save(request),
        "may_run": may_run(request),
        **_period(profile, job),
        **_comparison(dry),
    }
    template = "admin/reconciliation/profile/tried.html"
    return TemplateResponse(request, template, context)


def _tried_job(profile: Profile, job_id: UUID) -> Job:
    """Return the job of a dry run of this profile. Raises Http404."""
    jobs = Job.objects.filter(tenant_id=profile.tenant_id, kind=RECONCILE)
    found: Job = get_object_or_404(jobs, pk=job_id)
    payload = found.payload
    if payload.get("profile") != profile.name or "rules" not in payload:
        raise Http404
    return found


def _tried_rules(job: Job) -> tuple[Rule, ...]:
    try:
        return tuple(rule_from_json(rule) for rule in job.payload["rules"])
    except NotARuleError:
        raise Http404 from None


def _period(profile: Profile, job: Job) -> dict[str, Any]:
    """Return the day that was tried, for the page."""
    names = ("starts_at", "ends_at")
    starts_at, ends_at = (datetime.fromisoformat(job.payload[name]) for name in names)
    first, _ = days_of(terms_of(profile, ()), starts_at, ends_at)
    query = f"?day={first.isoformat()}&job={job.pk}"
    again = reverse("admin:reconciliation_profile_try", args=[profile.pk])
    return {"day": first, "again_url": f"{again}{query}"}


def _comparison(dry: Run | None) -> dict[str, Any]:
    """Return the figures of a dry run that is done, and of the run to compare with."""
    if dry is None or dry.state != Run.State.DONE:
        return {"dry": dry, "is_done": False}
    before = last_applied(dry)
    old = before.counts if before else {}
    return {
        "dry": dry,
        "is_done": True,
        "before": before,
        "before_url": before and change_url(Run, before.pk),
        "rows": _lines(old, dry.counts),
    }


def _lines(old: Counts, new: Counts) -> list[tuple[str, str, str, str, bool]]:
    """Return the lines of the table: title, before, after, change, whether it is one.

    Before a first run there is nothing that anything could have changed from.
    """
    before, after = match_rate(old), match_rate(new)
    points = _points(before, after)
    first = (percent_text(before), percent_text(after), points, before != after)
    lines = [("Match rate", *first)]
    for row in compared(old, new):
        told = (f"{row.before:,}", f"{row.after:,}", signed(row.change))
        lines.append((row.title.capitalize(), *told, row.change != 0))
    if old:
        return lines
    return [(title, "–", after, "–", False) for title, _, after, _, _ in lines]


def signed(number: int) -> str:
    """Return a difference with its sign, and nothing for none."""
    return f"{number:+,}".replace("-", "−") if number else ""


def _points(before: float | None, after: float | None) -> str:
    """Return a difference of rates in points of percent, and nothing for none."""
    if before is None or after is None:
        return "–"
    if before == after:
        return ""
    points = round(100 * (after - before), 2) + 0.0
    return f"{points:+.2f}".replace("-", "−")


def last_applied(run: Run) -> Run | None:
    """Return the latest run over the same period that was applied, and was whole."""
    runs = Run.objects.filter(
        profile_id=run.profile_id,
        period_starts_at=run.period_starts_at,
        period_ends_at=run.period_ends_at,
        is_dry=False,
        mode=Run.Mode.FULL,
        state=Run.State.DONE,
    )
    found: Run | None = runs.order_by("-id").first()
    return found


def _save(
    screen: Any, request: HttpRequest, profile: Profile, job: Job
) -> HttpResponse:
    """Put the rules that were tried in the place of the profile's."""
    if not may_save(request):
        raise PermissionDenied
    rules = _tried_rules(job)
    faults = faults_of_rules(profile, rules)
    if faults:
        text = "; ".join(f"{field}: {said}" for field, said in faults)
        screen.message_user(request, f"Not saved. {text}", messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())
    rules_rewrite(profile, rules)
    rows = Profile.objects.filter(pk=profile.pk)
    log_change(request, rows, f"Saved the rules that job {job.pk} tried.")
    screen.message_user(request, "The rules are saved.", messages.SUCCESS)
    tell_of_old_days(screen, request, profile)
    return HttpResponseRedirect(change_url(profile, profile.pk))
