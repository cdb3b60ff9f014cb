"""The form of a profile, and the question before a run."""

from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Final
from zoneinfo import available_timezones

from django import forms
from django.db.models import UniqueConstraint
from django.http import Http404
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextInputWidget,
)

from ingestion.profiles import source_names
from reconciliation.checked_forms import TellingForm
from reconciliation.models import Profile
from reconciliation.periods import period_of
from reconciliation.terms import faults_of_settings, terms_of
from tenants.adminkit import DialogForm
from tenants.scoping import tenant_scope

MOST_DAYS: Final = 366


def sources_of(tenant: str) -> list[str]:
    """Return the names of all sources of a tenant."""
    with tenant_scope(tenant):
        return source_names()


class SourcesField(forms.MultipleChoiceField):
    """Some of the sources that there are."""

    widget = UnfoldAdminSelect2MultipleWidget


class ProfileForm(TellingForm):
    """What is compared with what; the rules are a table of their own."""

    internal_sources = SourcesField(
        required=False, help_text="What our own books say: a ledger."
    )
    external_sources = SourcesField(
        required=False, help_text="What banks and networks say."
    )
    time_zone = forms.ChoiceField(
        choices=lambda: [(name, name) for name in sorted(available_timezones())],
        initial="Asia/Kolkata",
        widget=UnfoldAdminSelect2Widget,
        help_text="By whose clock days are told.",
    )

    class Meta:
        model = Profile
        # The tenant comes with the request: its choices are read within a scope.
        fields: ClassVar = [
            *("name", "cutoff", "fee_percent", "fee_fixed", "stale_after_hours"),
            *("closes_up_to", "closes_fees", "needs_approval"),
        ]
        labels: ClassVar = {
            "cutoff": "Cut-off",
            "fee_percent": "Fee, percent",
            "fee_fixed": "Fee, fixed",
            "stale_after_hours": "Pending for at most, hours",
            "closes_up_to": "Rounding up to",
            "closes_fees": "Fees by themselves",
        }
        widgets: ClassVar = {
            "name": UnfoldAdminTextInputWidget(),
            "fee_percent": UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
            "fee_fixed": UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
            "closes_up_to": UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
            "stale_after_hours": UnfoldAdminIntegerFieldWidget(),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = self._offered()
        for field in ("internal_sources", "external_sources"):
            if field in self.fields:
                self._offer(field, known)

    def _offered(self) -> list[str]:
        """Return the tenant's sources, or all as long as there is no tenant."""
        tenant = self.instance.tenant_id
        return sources_of(tenant) if tenant else source_names()

    def _offer(self, field: str, known: list[str]) -> None:
        """Offer what there is, and what was chosen once, to be told if it is gone."""
        chosen = getattr(self.instance, field) or []
        names = sorted({*known, *chosen})
        made: Any = self.fields[field]
        made.choices = [(name, name) for name in names]
        self.initial.setdefault(field, chosen)

    def _post_clean(self) -> None:
        """Make the profile, and tell what is wrong with it at the field."""
        super()._post_clean()
        if self.errors or not self.instance.tenant_id:
            return
        known = sources_of(self.instance.tenant_id)
        for field, text in faults_of_settings(self.instance, known=known):
            self.add_error(field if field in self.fields else None, text)
        for constraint in Profile._meta.constraints:
            if isinstance(constraint, UniqueConstraint):
                self._check_once(constraint)

    def _check_once(self, constraint: UniqueConstraint) -> None:
        """Look whether the name is taken; the tenant counts even if it is not asked."""
        try:
            constraint.validate(Profile, self.instance)
        except forms.ValidationError:
            self.add_error("name", "The tenant has a profile of this name.")


def day_input() -> UnfoldAdminTextInputWidget:
    """Return an input for a day."""
    return UnfoldAdminTextInputWidget(attrs={"type": "date"})


class PeriodForm(DialogForm):
    """Asks for the days that a run looks at."""

    #: The profile's, as the theme tells it to its dialogs.
    object_id: str

    # The browser's own calendar: the admin's is not started within a dialog.
    first = forms.DateField(label="From day", widget=day_input())
    last = forms.DateField(label="To day", widget=day_input())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            self.profile = Profile.objects.get(pk=self.object_id)
        except (Profile.DoesNotExist, ValueError):
            raise Http404 from None
        day = yesterday(self.profile, now=timezone.now())
        self.initial = {"first": day, "last": day, **self.initial}

    def clean(self) -> dict[str, Any]:
        """Return the days; they are over or have begun, and not too many."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = values.get("first"), values.get("last")
        if first is None or last is None:
            return values
        try:
            period = period_checked(self.profile, first, last, now=timezone.now())
        except forms.ValidationError as error:
            self.add_error("last", error)  # a dialog shows no errors but its fields'
        else:
            values["period"] = period
        return values


def yesterday(profile: Profile, *, now: datetime) -> date:
    """Return the last day that is over, as the profile tells days."""
    return terms_of(profile, ()).day(now) - timedelta(days=1)


def period_checked(
    profile: Profile, first: date, last: date, *, now: datetime
) -> tuple[datetime, datetime]:
    """Return when these days of a profile begin and end.

    Raises ValidationError for days to come, or too many of them.
    """
    terms = terms_of(profile, ())
    if last < first:
        raise forms.ValidationError("The last day is before the first one.")
    if last > terms.day(now):
        text = f"{last:%Y-%m-%d} is still to come, in {profile.time_zone}."
        raise forms.ValidationError(text)
    if (last - first).days >= MOST_DAYS:
        raise forms.ValidationError(f"At most {MOST_DAYS} days.")
    return period_of(terms, first, last)
