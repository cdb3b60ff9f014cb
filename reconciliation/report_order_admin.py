"""The page on which staff order a report."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from ingestion.profiles import source_names
from jobs.payloads import PayloadError
from jobs.switches import NotAcceptingError
from reconciliation.lifecycle import State
from reconciliation.models import Profile, Reconciliation, Report
from reconciliation.orders import report_order
from reconciliation.report_payloads import (
    DIRECTIONS,
    FILTERS,
    STATUSES,
    AmountField,
    read_report,
)
from tenants.models import Tenant
from tenants.scoping import tenant_scope
from tenants.selectors import UnknownTenantError, tenant_get

#: Tenants that are offered while one types; any other may be typed all the same.
MOST_OFFERED: Final = 500
LABELS: Final[Mapping[str, str]] = {
    "tenant": "Tenant",
    "what": "Rows",
    "starts_at": "From",
    "ends_at": "Until",
    "account_id": "Account",
    "amount_min": "Least amount",
    "amount_max": "Greatest amount",
    "file_id": "File number",
    "mismatch_type": "Type",
}
#: Names that reasons give to other inputs.
_OTHER_INPUT: Final = re.compile(r"\b(starts_at|ends_at|amount_min|amount_max)\b")
_CHOICES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "status": [(status, status) for status in STATUSES],
    "direction": list(DIRECTIONS.items()),
    "mismatch_type": [
        (value, value.replace("_", " ")) for value in Reconciliation.MismatchType.values
    ],
    "state": [(state.value, state.value) for state in State],
}
_HINTS: Final[Mapping[str, str]] = {
    "account_id": "Whole, as the file gave it",
    "amount_min": "Like 1000.00",
    "currency": "Like INR",
    "meter": "Like rows, bytes, jobs or worker_us",
    "kind": "Like ingest",
}
_WRONG_TIME: Final = "Choose a date and a time."
#: Reasons that speak of JSON, and what a person who types into a form is told.
_TO_PEOPLE: Final[Mapping[str, str]] = {
    str(AmountField.default_error_messages["invalid_amount"]): (
        "Give an amount like 1000.00."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One filter on the page."""

    name: str
    label: str
    value: str
    choices: Sequence[tuple[str, str]]
    hint: str
    offered: Sequence[str]


class TenantForm(forms.Form):
    """Asks for the tenant as the forms of the admin do."""

    tenant: Any = forms.ModelChoiceField(queryset=None, to_field_name="slug")

    def __init__(self, screen: Any, *, slug: str) -> None:
        super().__init__(initial={"tenant": slug})
        field: Any = self.fields["tenant"]
        column = Report._meta.get_field("tenant")
        field.widget = AutocompleteSelect(column, screen.admin_site)
        field.queryset = Tenant.objects.all()


def may_order(request: HttpRequest) -> bool:
    """Return whether the user may order and download reports."""
    return request.user.has_perm("reconciliation.download_report")


def order(screen: Any, request: HttpRequest) -> HttpResponse:
    """Show the form, or enqueue the report and go to the list."""
    if not may_order(request):
        raise PermissionDenied
    now = timezone.now()
    if request.method != "POST":
        return _page(screen, request, _first_values(request, now), [])
    typed = {name: str(value).strip() for name, value in request.POST.items()}
    try:
        report = _order(typed, now)
    except UnknownTenantError as error:
        flaws = [("tenant", str(error))]
    except NotAcceptingError as error:
        flaws = [("tenant", str(error))]
    except PayloadError as error:
        flaws = [(path.rpartition("/")[2], text) for path, text in error.flaws()]
    else:
        text = f"The report of {report.what} of {report.tenant_id} is ordered."
        screen.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:reconciliation_report_changelist"))
    return _page(screen, request, typed, flaws, status=HTTPStatus.BAD_REQUEST)


def _order(typed: Mapping[str, str], now: datetime) -> Report:
    """Enqueue what was typed.

    Raises UnknownTenantError, NotAcceptingError or PayloadError.
    """
    tenant = typed.get("tenant", "")
    tenant_get(slug=tenant)
    payload = read_report(tenant=tenant, payload=_payload(typed), now=now)
    with tenant_scope(tenant):
        job = report_order(tenant_id=tenant, payload=payload, now=now)
        report: Report = Report.objects.get(job=job)
    return report


def _payload(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the payload that was meant; raises PayloadError for what is no time."""
    what = typed.get("what", "")
    filters: dict[str, Any] = {
        name: value
        for name in FILTERS.get(what, ())
        if (value := typed.get(f"{what}-{name}"))
    }
    number = filters.get("file_id", "")
    if number.isascii() and number.isdigit() and len(number) < 20:
        filters["file_id"] = int(number)
    period = {name: _moment(typed, name) for name in ("starts_at", "ends_at")}
    return {"what": what, **period, "filters": filters}


def _moment(typed: Mapping[str, str], name: str) -> str:
    try:
        moment = datetime.fromisoformat(typed.get(name, ""))
        aware = moment if moment.tzinfo else timezone.make_aware(moment)
        return aware.isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise PayloadError({name: [_WRONG_TIME]}) from None


def _first_values(request: HttpRequest, now: datetime) -> dict[str, str]:
    """Return what the form begins with: yesterday, and what the address says."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0)
    return {
        "what": Report.What.TRANSACTIONS.value,
        "starts_at": f"{midnight - timedelta(days=1):%Y-%m-%dT%H:%M}",
        "ends_at": f"{midnight:%Y-%m-%dT%H:%M}",
        **request.GET.dict(),
    }


def _page(
    screen: Any,
    request: HttpRequest,
    typed: Mapping[str, str],
    flaws: Sequence[tuple[str, str]],
    *,
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    slugs = Tenant.objects.order_by("slug").values_list("slug", flat=True)
    # Its list is that of the screen of tenants; who may not see that types a name.
    is_list = request.user.has_perm("tenants.view_tenant")
    slug = typed.get("tenant", "")
    context = {
        **screen.admin_site.each_context(request),
        "title": "Order a report",
        "opts": screen.opts,
        "typed": typed,
        "flaws": [(label_of(name), _as_labelled(text)) for name, text in flaws],
        "tenant_form": TenantForm(screen, slug=slug) if is_list else None,
        "tenants": list(slugs[:MOST_OFFERED]),
        "groups": [(what, _inputs(what, typed)) for what in FILTERS],
        "zone": timezone.get_current_timezone_name(),
    }
    template = "admin/reconciliation/report/order.html"
    return render(request, template, context, status=status)


def _inputs(what: str, typed: Mapping[str, str]) -> list[Input]:
    return [
        Input(
            name=f"{what}-{name}",
            label=label_of(name),
            value=typed.get(f"{what}-{name}", ""),
            choices=_CHOICES.get(name, ()),
            hint=_HINTS.get(name, ""),
            offered=_offered(name),
        )
        for name in FILTERS[what]
    ]


def _offered(name: str) -> Sequence[str]:
    if name == "source":
        return list(source_names())
    if name == "profile":
        names = Profile.objects.order_by("name").values_list("name", flat=True)
        return list(names.distinct()[:MOST_OFFERED])
    return ()


def label_of(name: str) -> str:
    """Return what people call a filter."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def _as_labelled(text: str) -> str:
    """Return a reason with the inputs that it names called as they are on the page."""
    told = _TO_PEOPLE.get(text, text)
    return _OTHER_INPUT.sub(lambda found: f"“{LABELS[found[0]]}”", told)
