"""The rules of a profile as a table in its form, or in that of a trial."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
)

from reconciliation.checked_forms import TellingForm
from reconciliation.matching import Key, Rule, Shape
from reconciliation.models import MatchRule, Profile
from reconciliation.terms import faults_of_rules, rule_of
from reconciliation.wording import KEYS, SHAPES

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[Any, Any]
    _FormSet = BaseInlineFormSet[Any, Any, Any]
else:
    from unfold.admin import TabularInline

    _FormSet = BaseInlineFormSet

FIELDS: Final = (
    *("place", "key", "shape", "amount", "percent", "days"),
    *("is_business_days", "is_less_fee", "is_confirmed"),
)
LABELS: Final = {
    "place": "No.",
    "key": "Same",
    "amount": "Amount ±",
    "percent": "Percent ±",
    "days": "Days ±",
    "is_business_days": "Business",
    "is_less_fee": "Less fee",
    "is_confirmed": "Confirmed",
}
HELP: Final = {
    "place": "Rules are tried in the order of these numbers.",
    "amount": "How far amounts may be apart: whichever of amount and percent allows "
    "more.",
    "percent": "Of our amount.",
    "days": "How many days apart.",
    "is_business_days": "Only Monday to Friday count.",
    "is_less_fee": "Theirs comes less the profile's fee.",
    "is_confirmed": "Off: a person has to look at what it matches.",
}
_LAST: Final = 10**9


def number(width: str) -> UnfoldAdminDecimalFieldWidget:
    """Return an input for a number with a fraction, so wide."""
    return UnfoldAdminDecimalFieldWidget(
        attrs={"class": width, "step": "any", "min": "0"}
    )


class RuleForm(TellingForm):
    """One rule."""

    place = forms.IntegerField(
        label="No.",
        required=False,
        min_value=0,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"class": "dtq-narrow"}),
        help_text=HELP["place"],
    )
    key = forms.ChoiceField(
        label="Same",
        choices=[(key.value, KEYS[key]) for key in Key],
        initial=Key.REFERENCE.value,
        widget=UnfoldAdminSelectWidget,
    )
    shape = forms.ChoiceField(
        choices=[(shape.value, SHAPES[shape]) for shape in Shape],
        initial=Shape.ONE_TO_ONE.value,
        widget=UnfoldAdminSelectWidget,
    )

    class Meta:
        model = MatchRule
        fields = FIELDS
        labels = LABELS
        help_texts = HELP
        widgets: ClassVar = {
            "amount": number("dtq-money"),
            "percent": number("dtq-money"),
            "days": UnfoldAdminIntegerFieldWidget(attrs={"class": "dtq-narrow"}),
        }

    def has_changed(self) -> bool:
        """Return whether it is to be kept: a new rule with the defaults is one, too."""
        return self.instance.pk is None or super().has_changed()


class RuleFormSet(_FormSet):
    """The rules of a profile; what is wrong with them is told at each."""

    instance: Profile

    def validate_unique(self) -> None:
        """Leave places alone: they are given anew."""

    def get_ordered(self) -> list[RuleForm]:
        """Return the forms that are kept, in the order of their numbers."""
        kept = [form for form in self.forms if form not in self.deleted_forms]
        return sorted(kept, key=_number)

    @property
    def rules(self) -> list[Rule]:
        """Return the rules as they were given, in their order; the forms are valid."""
        return [rule_of(form.instance) for form in self.get_ordered()]

    def clean(self) -> None:
        """Tell what is wrong with each rule, beside it."""
        super().clean()
        if any(self.errors):
            return
        forms_in_order = self.get_ordered()
        for field, text in faults_of_rules(self.instance, self.rules):
            _, _, rest = field.partition(".")
            place, _, name = rest.partition(".")
            if not place:
                raise forms.ValidationError(text)
            said = text if name else f"{text[:1].upper()}{text[1:]}."
            forms_in_order[int(place) - 1].add_error(name or None, said)

    def rewrite(self) -> None:
        """Put these rules in the place of the profile's; places count from 1."""
        rules_rewrite(self.instance, self.rules)


def _number(form: RuleForm) -> int:
    place = form.cleaned_data.get("place")
    return _LAST if place is None else int(place)


def rules_rewrite(profile: Profile, rules: Sequence[Rule]) -> None:
    """Put rules in the place of a profile's.

    Nothing refers to the row of a rule, and places could not be swapped one by one.
    """
    profile.rules.all().delete()
    MatchRule.objects.bulk_create(
        rule_row(profile, rule, place) for place, rule in enumerate(rules, start=1)
    )


def rule_row(profile: Profile, rule: Rule, place: int) -> MatchRule:
    """Return a row, not yet saved, for a rule."""
    return MatchRule(
        tenant_id=profile.tenant_id, profile=profile, place=place, **rule_values(rule)
    )


def rule_values(rule: Rule) -> dict[str, Any]:
    """Return a rule as the values of its row and of its form."""
    return {
        "key": rule.key.value,
        "shape": rule.shape.value,
        "amount": rule.amount,
        "percent": rule.percent,
        "days": rule.days,
        "is_business_days": rule.is_business_days,
        "is_less_fee": rule.is_less_fee,
        "is_confirmed": rule.is_confirmed,
    }


class RuleInline(TabularInline):
    """The rules in their order; they are moved by their numbers, or by hand."""

    model = MatchRule
    form = RuleForm
    formset = RuleFormSet
    fields = FIELDS
    ordering = ("place",)
    ordering_field = "place"
    extra = 0
    hide_title = True
    verbose_name = "rule"
    verbose_name_plural = "Rules, in the order in which they are tried"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """Begin a new profile with a first rule."""
        return 0 if obj else 1

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Let the form's own fields and widgets stand."""
        widget = RuleForm.Meta.widgets.get(db_field.name)
        if widget is not None:
            kwargs["widget"] = widget
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    # Rules are a part of their profile: who may change one may change the other.

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the right to see profiles."""
        return _may(request, "view") or _may(request, "change")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the right to add profiles or to change them."""
        return _may(request, "add" if obj is None else "change")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the right to change profiles."""
        return _may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the right to change profiles."""
        return _may(request, "change")


def _may(request: HttpRequest, verb: str) -> bool:
    return request.user.has_perm(f"reconciliation.{verb}_profile")
