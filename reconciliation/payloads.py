"""What the payload of a reconciliation may be."""

from typing import Any

from rest_framework import serializers

from jobs.fields import MomentField, StrictCharField
from jobs.payloads import PayloadInput
from reconciliation.payload_checks import known_profile, period_errors, period_texts
from reconciliation.terms import NotARuleError, rule_from_json


class ReconcilePayload(PayloadInput):
    """A profile, a period; `now` in the context refuses a period to come."""

    payload_fields = ("profile", "starts_at", "ends_at", "rules")

    profile = StrictCharField(help_text="The name of one of the tenant's profiles.")
    starts_at = MomentField(
        help_text="Where the period begins: ISO 8601 with an offset."
    )
    ends_at = MomentField(help_text="Where it ends; this moment is not part of it.")
    rules = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        help_text="Rules to try in the place of the profile's own: the run is dry "
        "then, it counts and changes nothing.",
    )

    def validate_profile(self, value: str) -> str:
        """Refuse a name that no profile of the tenant has."""
        return known_profile(self.context["tenant"], value)

    def validate_rules(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse what is no rule."""
        for rule in value:
            try:
                rule_from_json(rule)
            except NotARuleError as error:
                text = str(error)
                raise serializers.ValidationError(text, code="unknown_rule") from None
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a period that is none, or to come."""
        now = self.context.get("now")
        errors = period_errors(attrs, now=now, purpose="compare")
        if errors:
            raise serializers.ValidationError(errors)
        return attrs

    def payload(self) -> dict[str, Any]:
        """Return what the handler reads: moments as texts."""
        values = super().payload()
        return {**values, **period_texts(values)}
