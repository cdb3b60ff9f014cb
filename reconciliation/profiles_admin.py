"""The screens of profiles: a form with the rules, runs at once, and trials."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from jobs.models import Job
from jobs.switches import NotAcceptingError
from reconciliation.models import Match, Profile, Reconciliation, Run, Schedule
from reconciliation.old_terms_admin import tell_of_old_days
from reconciliation.orders import run_order
from reconciliation.profile_forms_admin import PeriodForm, ProfileForm
from reconciliation.rules_admin import RuleInline
from reconciliation.terms import rules_of
from reconciliation.trials_admin import may_run, tried, try_rules
from reconciliation.wording import days_words, rule_words
from tenants.adminkit import (
    ModelAdmin,
    after_dialog,
    change_url,
    dialog_action,
    link_action,
    log_change,
    row_link,
    subtle,
)
from tenants.wording import age

#: Inputs that change nothing of what a run finds.
_NO_TERMS: Final = frozenset({"name", "needs_approval"})


@admin.register(Profile)
class ProfileAdmin(ModelAdmin):
    """What of a tenant is compared with what, and how."""

    form = ProfileForm
    inlines = (RuleInline,)
    list_display = ("name", "tenant", "sides", "rule_total", "last_run")
    list_filter = (("tenant", AutocompleteSelectFilter),)
    list_filter_submit = True
    search_fields = ("name", "tenant__slug")
    search_help_text = "A name, or a tenant"
    ordering = ("tenant", "name")
    sortable_by = ("name", "tenant")
    autocomplete_fields = ("tenant",)
    readonly_fields = ("in_words",)
    warn_unsaved_form = True
    actions_detail: ClassVar = ["run_now", "try_rules", "see_runs", "see_mismatches"]
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("tenant", "name"),
                    ("internal_sources", "external_sources"),
                    "in_words",
                )
            },
        ),
        ("Days", {"fields": (("time_zone", "cutoff"), "stale_after_hours")}),
        (
            "Fee, and what is resolved by itself",
            {
                "fields": (
                    ("fee_percent", "fee_fixed"),
                    "closes_up_to",
                    ("closes_fees", "needs_approval"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Profile]:
        """Read with each profile how many rules it has, and its last run."""
        runs = Run.objects.filter(profile=OuterRef("pk"), is_dry=False)
        last = runs.order_by("-id")
        rows: QuerySet[Profile] = super().get_queryset(request)
        return rows.annotate(
            rule_count=Count("rules"),
            last_run_id=Subquery(last.values("id")[:1]),
            last_run_at=Subquery(last.values("created_at")[:1]),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep whose it is: its runs and mismatches are that tenant's."""
        return ("tenant", "in_words") if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the words out of the form of a new profile."""
        if obj:
            return self.fieldsets
        title, options = self.fieldsets[0]
        fields = tuple(each for each in options["fields"] if each != "in_words")
        return ((title, {**options, "fields": fields}), *self.fieldsets[1:])

    def save_formset(
        self, request: HttpRequest, form: Any, formset: Any, change: bool
    ) -> None:
        """Write the rules anew, in their order: there are no other inlines."""
        formset.save(commit=False)  # the history tells what was added and changed
        if formset.has_changed():
            formset.rewrite()

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Any, change: bool
    ) -> None:
        """Tell of what stands by the terms as they were, once all are written."""
        super().save_related(request, form, formsets, change)
        changed = {*form.changed_data} - _NO_TERMS
        if change and (changed or any(each.has_changed() for each in formsets)):
            tell_of_old_days(self, request, form.instance)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count what keeps a profile, instead of listing it: it may be very much."""
        profiles = list(objs)
        counts = {"profiles": len(profiles)}
        return [str(each) for each in profiles], counts, set(), _keeping(profiles)

    # --- Runs and trials --------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the form of a trial, and what one counted."""
        wrap, name = self.admin_site.admin_view, "reconciliation_profile"
        return [
            path(
                "<int:profile_id>/try/",
                wrap(partial(try_rules, self)),
                name=f"{name}_try",
            ),
            path(
                "<int:profile_id>/tried/<uuid:job_id>/",
                wrap(partial(tried, self)),
                name=f"{name}_tried",
            ),
            *super().get_urls(),
        ]

    def has_run_permission(self, request: HttpRequest, _: Any = None) -> bool:
        """Return whether the user may have a profile run."""
        return may_run(request)

    @dialog_action(
        description="Run now",
        text="Compares the rows of these days, as the profile tells days. What is "
        "found is put among the mismatches.",
        form=PeriodForm,
        permissions=["run"],
        icon="play_arrow",
    )
    def run_now(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Order a run, and go to its job."""
        profile = get_object_or_404(Profile, pk=object_id)
        starts_at, ends_at = form.cleaned_data["period"]
        try:
            job = run_order(
                profile=profile,
                starts_at=starts_at,
                ends_at=ends_at,
                now=timezone.now(),
            )
        except NotAcceptingError as error:
            self.message_user(request, str(error), messages.ERROR)
            return after_dialog(change_url(Profile, profile.pk))
        days = days_words(form.cleaned_data["first"], form.cleaned_data["last"])
        rows = Profile.objects.filter(pk=profile.pk)
        log_change(request, rows, f"Ordered a run of {days}.")
        self.message_user(request, f"A run of {days} is ordered.", messages.SUCCESS)
        return after_dialog(change_url(Job, job.pk))

    # Short words: five buttons stand beside the title.
    @link_action(description="Try rules", permissions=["run"], icon="science")
    def try_rules(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the form of a trial."""
        url = reverse("admin:reconciliation_profile_try", args=[object_id])
        return HttpResponseRedirect(url)

    @link_action(description="Runs", permissions=["view"], icon="history")
    def see_runs(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the profile's runs."""
        url = reverse("admin:reconciliation_run_changelist")
        return HttpResponseRedirect(f"{url}?profile__id__exact={int(object_id)}")

    @link_action(description="Mismatches", permissions=["view"], icon="difference")
    def see_mismatches(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the profile's mismatches."""
        url = reverse("admin:reconciliation_reconciliation_changelist")
        return HttpResponseRedirect(f"{url}?profile__id__exact={int(object_id)}")

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Compares")
    def sides(self, profile: Profile) -> str:
        """Return what is compared with what."""
        ours, theirs = profile.internal_sources, profile.external_sources
        return f"{', '.join(ours)} ↔ {', '.join(theirs)}"

    @admin.display(description="Rules")
    def rule_total(self, profile: Any) -> int:
        """Return how many rules it has."""
        return int(profile.rule_count)

    @admin.display(description="Last run")
    def last_run(self, profile: Any) -> SafeString:
        """Return when it ran last, as a link."""
        if profile.last_run_id is None:
            return subtle("never")
        when = age(profile.last_run_at, now=timezone.now())
        return row_link(Run, profile.last_run_id, when)

    @admin.display(description="Rules in words")
    def in_words(self, profile: Profile) -> SafeString:
        """Return the rules as they are saved, in words."""
        rules = rules_of(profile)
        if not rules:
            return subtle("It has no rule yet: it cannot run.")
        lines = format_html_join("", "<li>{}</li>", ((rule_words(r),) for r in rules))
        return format_html('<ol class="dtq-rules">{}</ol>', lines)


def _keeping(profiles: Sequence[Profile]) -> list[str]:
    """Return how much of each kind there is that no profile is deleted with."""
    told = []
    for model in (Schedule, Run, Reconciliation, Match):
        count = model.objects.filter(profile__in=profiles).count()
        names = model._meta
        noun = names.verbose_name if count == 1 else names.verbose_name_plural
        told += [f"{count:,} {noun}"] if count else []
    return told
