"""What the payloads of this package have in common: a period, and a profile's name."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from rest_framework import serializers

from jobs.fields import MomentField
from reconciliation.models import Profile
from tenants.scoping import tenant_scope

Errors = dict[str, list[serializers.ErrorDetail]]
#: How many profiles a refusal names.
MOST_SHOWN: Final = 10
_PERIOD: Final = ("starts_at", "ends_at")
_moment = MomentField().to_representation


def period_errors(
    attrs: Mapping[str, Any],
    *,
    now: datetime | None,
    purpose: str,
    most_days: int | None = None,
) -> Errors:
    """Return what is wrong with a period: it is none, too long, or to come at `now`.

    A job that is to run later may be about what will have been by then.
    """
    starts, ends = (attrs[name] for name in _PERIOD)
    if ends <= starts:
        return _error("ends_at", "ends_early", "It has to be after starts_at.")
    if most_days is not None and ends - starts > timedelta(days=most_days):
        text = f"It covers {most_days} days at most."
        return _error("ends_at", "too_long", text)
    if now is not None and starts > max(now, attrs.get("run_after") or now):
        text = f"The period is still to come, so there is nothing to {purpose}."
        return _error("starts_at", "in_future", text)
    return {}


def period_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the moments of a period as a handler reads them."""
    return {name: _moment(values[name]) for name in _PERIOD}


def known_profile(tenant: str, name: str) -> str:
    """Return the name; raises ValidationError unless a profile of the tenant has it."""
    with tenant_scope(tenant):
        if not Profile.objects.filter(name=name).exists():
            raise serializers.ValidationError(no_profile(name), code="unknown_profile")
    return name


def no_profile(name: str) -> str:
    """Return that there is no such profile, and which ones the scope in force has."""
    names = Profile.objects.order_by("name").values_list("name", flat=True)
    if not names:
        return f"There is no profile {name!r}, nor any other: make one in the admin."
    shown = ", ".join(names[:MOST_SHOWN])
    more = len(names) - MOST_SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return f"There is no profile {name!r}; there are: {shown}{rest}."


def _error(field: str, code: str, text: str) -> Errors:
    return {field: [serializers.ErrorDetail(text, code)]}
