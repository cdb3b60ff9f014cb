"""What the payload of a reconciliation may be."""

from typing import Any

from rest_framework import serializers

from jobs.fields import MomentField, StrictCharField
from jobs.payloads import PayloadInput
from reconciliation.models import Profile
from reconciliation.terms import NotARuleError, rule_from_json
from tenants.scoping import tenant_scope

_moment = MomentField().to_representation


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
        with tenant_scope(self.context["tenant"]):
            if not Profile.objects.filter(name=value).exists():
                raise serializers.ValidationError(
                    f"There is no profile {value!r}.", code="unknown_profile"
                )
        return value

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
        now, starts = self.context.get("now"), attrs["starts_at"]
        if attrs["ends_at"] <= starts:
            raise _error("ends_at", "ends_early", "It has to be after starts_at.")
        if now is not None and starts > max(now, attrs.get("run_after") or now):
            text = "The period is still to come, so there is nothing to compare."
            raise _error("starts_at", "in_future", text)
        return attrs

    def payload(self) -> dict[str, Any]:
        """Return what the handler reads: moments as texts."""
        values = super().payload()
        return values | {
            name: _moment(values[name]) for name in ("starts_at", "ends_at")
        }


def _error(field: str, code: str, text: str) -> serializers.ValidationError:
    detail = serializers.ErrorDetail(text, code)
    return serializers.ValidationError({field: [detail]})
