"""What the payload of a report may be: which rows, of what time, filtered by what."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from rest_framework import serializers

from ingestion.models import IngestedFile
from ingestion.profiles import dialect_for
from ingestion.sources.registry import UnknownSourceError
from jobs.fields import (
    MomentField,
    NameField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
)
from jobs.payloads import PayloadError, PayloadInput, checked_by
from reconciliation.lifecycle import State
from reconciliation.models import Reconciliation, Report
from reconciliation.payload_checks import known_profile, period_errors, period_texts
from tenants.scoping import tenant_scope

#: Longer than a year with what is compared with it.
MOST_DAYS: Final = 400
STATUSES: Final = ("SUCCESS", "FAILED", "PENDING", "REVERSED")
DIRECTIONS: Final = {"C": "credit", "D": "debit"}
#: The filters of each kind of report.
FILTERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        Report.What.TRANSACTIONS.value: (
            *("source", "status", "direction", "currency", "account_id"),
            *("amount_min", "amount_max", "file_id"),
        ),
        Report.What.MISMATCHES.value: ("profile", "mismatch_type", "state", "currency"),
        Report.What.USAGE.value: ("meter", "kind"),
    }
)
_AMOUNT: Final = re.compile(r"[0-9]{1,16}(\.[0-9]{1,2})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_MOST_CHARACTERS: Final = 200


class AmountField(StrictCharField):
    """An amount as text, so that nothing is rounded on the way."""

    default_error_messages = {"invalid_amount": 'Give an amount as text, like "12.50".'}

    def to_internal_value(self, data: Any) -> str:
        """Return the text."""
        if not isinstance(data, str) or not _AMOUNT.fullmatch(data):
            self.fail("invalid_amount")
        return data


class CurrencyField(StrictCharField):
    """The code of a currency."""

    default_error_messages = {"invalid_currency": "Give three letters, like INR."}

    def to_internal_value(self, data: Any) -> str:
        """Return the code."""
        text = super().to_internal_value(data)
        if not _CURRENCY.fullmatch(text):
            self.fail("invalid_currency")
        return text


def _text(help_text: str) -> StrictCharField:
    return StrictCharField(
        required=False, max_length=_MOST_CHARACTERS, help_text=help_text
    )


def _has_files(tenant: str, source: str) -> bool:
    """Return whether the tenant has files of a source: its dialect may be gone."""
    with tenant_scope(tenant):
        return bool(IngestedFile.objects.filter(source=source).exists())


class ReportFilters(StrictSerializer):
    """What rows must have; all that are given have to hold."""

    default_error_messages = {"invalid": "The filters must be a JSON object."}

    source = _text("Transactions: their format or dialect.")  # type: ignore[assignment] # a field, not its source
    status = NameField(
        choices=STATUSES, required=False, help_text="Transactions: their status."
    )
    direction = NameField(
        choices=list(DIRECTIONS),
        required=False,
        help_text="Transactions: credit or debit.",
    )
    currency = CurrencyField(
        required=False, help_text="Transactions and mismatches: their currency."
    )
    account_id = _text("Transactions: their account, whole as the file gave it.")
    amount_min = AmountField(
        required=False, help_text="Transactions: the least amount, as text."
    )
    amount_max = AmountField(
        required=False, help_text="Transactions: the greatest amount, as text."
    )
    file_id = StrictIntegerField(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        help_text="Transactions: the file that brought them.",
    )
    profile = _text("Mismatches: the name of their profile.")
    mismatch_type = NameField(
        choices=Reconciliation.MismatchType.values,
        required=False,
        help_text="Mismatches: their type.",
    )
    state = NameField(
        choices=[state.value for state in State],
        required=False,
        help_text="Mismatches: where they stand while the report is written.",
    )
    meter = _text("Usage: what was counted, as `rows` or `worker_us`.")
    kind = _text("Usage: the kind of its job, as long as that is kept.")

    def validate_source(self, value: str) -> str:
        """Refuse a name that no source of the tenant has, and none of its files had."""
        tenant = self.context["tenant"]
        try:
            dialect_for(tenant=tenant, name=value)
        except UnknownSourceError as error:
            if not _has_files(tenant, value):
                text = str(error)
                raise serializers.ValidationError(text, code="unknown_source") from None
        return value

    def validate_profile(self, value: str) -> str:
        """Refuse a name that no profile of the tenant has."""
        return known_profile(self.context["tenant"], value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a range of amounts in which there is none."""
        least, most = attrs.get("amount_min"), attrs.get("amount_max")
        if least is not None and most is not None and Decimal(least) > Decimal(most):
            text = "It is below amount_min, so nothing is between."
            raise serializers.ValidationError(
                {"amount_max": [serializers.ErrorDetail(text, "empty_range")]}
            )
        return attrs


class ReportPayload(PayloadInput):
    """Rows of a period, as CSV; `now` in the context refuses a period to come."""

    payload_fields = ("what", "starts_at", "ends_at", "filters")

    what = NameField(choices=Report.What.values, help_text="Which rows.")
    starts_at = MomentField(
        help_text="Where the period begins: ISO 8601 with an offset. Transactions go "
        "by their own time, mismatches by their day, usage by when it was counted."
    )
    ends_at = MomentField(
        help_text="Where it ends; this moment is not part of it. At most "
        f"{MOST_DAYS} days later."
    )
    filters = ReportFilters(
        required=False, help_text="Which of the rows; without it: all."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a period that is none, too long or to come, and foreign filters."""
        period = period_errors(
            attrs,
            now=self.context.get("now"),
            purpose="report",
            most_days=MOST_DAYS,
        )
        errors = {**period, **_of_filters(attrs)}
        if errors:
            raise serializers.ValidationError(errors)
        return attrs

    def payload(self) -> dict[str, Any]:
        """Return what the handler reads: moments as texts, filters if there are any."""
        values = super().payload()
        filters = dict(values.get("filters", {}))
        return {**values, **period_texts(values), "filters": filters}


#: Returns a tenant's payload as the handler reads it; raises PayloadError.
check_report = checked_by(ReportPayload)


def read_report(
    *, tenant: str, payload: dict[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the payload of a report that is ordered now, as its handler reads it.

    Raises PayloadError.
    """
    found = ReportPayload(data=payload, context={"tenant": tenant, "now": now})
    if not found.is_valid():
        raise PayloadError(found.errors)
    return found.payload()


def read_filters(*, tenant: str, what: str, filters: Any) -> dict[str, Any]:
    """Return filters as the payload of a report has them, which is ordered later.

    Raises PayloadError.
    """
    found = ReportFilters(data=filters, context={"tenant": tenant})
    if not found.is_valid():
        raise PayloadError(found.errors)
    values = dict(found.validated_data)
    foreign = _of_filters({"what": what, "filters": values})
    if foreign:
        raise PayloadError(foreign["filters"])
    return values


def _of_filters(attrs: dict[str, Any]) -> dict[str, Any]:
    known = FILTERS[attrs["what"]]
    foreign = [name for name in attrs.get("filters", {}) if name not in known]
    text = f"Reports of {attrs['what']} are filtered by {', '.join(known)}."
    errors = {
        name: [serializers.ErrorDetail(text, "foreign_filter")] for name in foreign
    }
    return {"filters": errors} if errors else {}
