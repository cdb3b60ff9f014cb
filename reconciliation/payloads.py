"""What the payload of a reconciliation may be."""

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.fields import MomentField, StrictCharField
from jobs.payloads import PayloadInput
from reconciliation.matching import Key, Rule, Shape
from reconciliation.payload_checks import known_profile, period_errors, period_texts
from reconciliation.terms import NotARuleError, rule_from_json, rule_json

_DECIMAL: Final = {"type": "string", "format": "decimal"}
_PARTS: Final[dict[str, dict[str, Any]]] = {
    "key": {"type": "string", "enum": [key.value for key in Key]},
    "shape": {"type": "string", "enum": [shape.value for shape in Shape]},
    "amount": {**_DECIMAL, "description": "How far amounts may be apart."},
    "percent": {**_DECIMAL, "description": "The same, in percent of our amount."},
    "days": {"type": "integer", "description": "How many days apart rows may be."},
    "is_business_days": {
        "type": "boolean",
        "description": "Whether only Monday to Friday count as days.",
    },
    "is_less_fee": {
        "type": "boolean",
        "description": "Whether theirs comes less the profile's fee.",
    },
    "is_confirmed": {
        "type": "boolean",
        "description": "Whether nobody has to look at what it matches.",
    },
}
_USUAL: Final = rule_json(Rule())


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {**part, "default": _USUAL[name]} for name, part in _PARTS.items()
        },
    }
)
class RuleField(serializers.Field[dict[str, Any], Any, Any, Any]):
    """A rule; parts that it leaves out are as usual."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the whole rule as JSON."""
        try:
            return rule_json(rule_from_json(data))
        except NotARuleError as error:
            flaw = [serializers.ErrorDetail(error.text, "unknown_rule")]
            place = error.field or "non_field_errors"
            raise serializers.ValidationError({place: flaw}) from None


class ReconcilePayload(PayloadInput):
    """A profile, a period; `now` in the context refuses a period to come."""

    payload_fields = ("profile", "starts_at", "ends_at", "rules")

    profile = StrictCharField(help_text="The name of one of the tenant's profiles.")
    starts_at = MomentField(
        help_text="Where the period begins: ISO 8601 with an offset."
    )
    ends_at = MomentField(help_text="Where it ends; this moment is not part of it.")
    rules = serializers.ListField(
        child=RuleField(),
        required=False,
        allow_empty=False,
        error_messages={"empty": "Give one rule at least, or leave rules out."},
        help_text="Rules to try in the place of the profile's own: the run is dry "
        "then, it counts and changes nothing.",
    )

    def validate_profile(self, value: str) -> str:
        """Refuse a name that no profile of the tenant has."""
        return known_profile(self.context["tenant"], value)

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
