"""What the payload of a reconciliation may be."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from jobs.fields import MomentField, StrictCharField
from jobs.payloads import PayloadInput
from reconciliation.models import Profile
from reconciliation.terms import NotARuleError, rule_from_json
from tenants.scoping import tenant_scope


class PeriodMomentField(MomentField):
    """A moment, which a payload keeps as text."""

    def to_internal_value(self, value: Any) -> Any:
        """Return the moment in ISO 8601 form."""
        return super().to_internal_value(value).isoformat()

    def to_representation(self, value: Any) -> Any:
        """Return it as it is."""
        return value


class ReconcilePayload(PayloadInput):
    """A profile, the period to compare, and perhaps rules to try."""

    payload_fields = ("profile", "period_starts_at", "period_ends_at", "rules")

    profile = StrictCharField(help_text="Name of a profile of the tenant.")
    period_starts_at = PeriodMomentField(
        help_text="First moment of the period: ISO 8601 with an offset."
    )
    period_ends_at = PeriodMomentField(help_text="First moment behind the period.")
    rules = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        help_text="Rules to try in the place of the profile's: the run is dry then, "
        "it counts and changes nothing.",
    )

    def validate_profile(self, value: str) -> str:
        """Refuse a profile that the tenant does not have."""
        with tenant_scope(self.context["tenant"]):
            if not Profile.objects.filter(name=value).exists():
                text = f"There is no profile {value!r}."
                raise serializers.ValidationError(text, code="unknown_profile")
        return value

    def validate_rules(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse what is no rule."""
        for rule in value:
            try:
                rule_from_json(rule)
            except NotARuleError as error:
                raise serializers.ValidationError(
                    str(error), code="unknown_rule"
                ) from None
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a period that ends before it starts."""
        starts, ends = attrs["period_starts_at"], attrs["period_ends_at"]
        if datetime.fromisoformat(starts) >= datetime.fromisoformat(ends):
            text = "The period ends before it starts."
            raise serializers.ValidationError({"period_ends_at": [text]})
        return attrs
