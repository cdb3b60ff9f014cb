"""The form of a schedule: when, what, and for which days."""

import json
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.conf import settings
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from jobs import strict_json
from jobs.payloads import PayloadError
from jobs.strict_json import StrictJSONError
from reconciliation.crontabs import FIELDS, Crontab, crontab_of, faults_of
from reconciliation.models import Report, Schedule
from reconciliation.report_payloads import FILTERS, read_filters
from reconciliation.slots import ever_comes

NAMES: Final = tuple(name for name, *_ in FIELDS)
PRESETS: Final = {
    "": "the five inputs",
    "*/15 * * * *": "every 15 minutes",
    "0 * * * *": "every hour",
    "0 6 * * *": "every day at 06:00",
    "0 6 * * 1-5": "Monday to Friday at 06:00",
    "0 6 * * 1": "every Monday at 06:00",
    "0 6 1 * *": "on day 1 of every month at 06:00",
}
_NEW: Final = "0 6 * * *"
_MOST_NAME: Final = 100
#: What beat's table takes of the shortest field.
_MOST_FIELD: Final = 64
_HELP: Final = {
    "minute": "0 to 59. All fields: * is all, */15 every fifteenth, 1-5, 1,15",
    "hour": "0 to 23. With * it goes with real time, else with the clock on the wall.",
    "day_of_month": "1 to 31. Both days have to fit, if both are given.",
    "month_of_year": "1 to 12, or jan to dec",
    "day_of_week": "0 to 6, Sunday is 0; or sun to sat",
}
_NEVER: Final = "No day is like that: it would never run."
_NO_OBJECT: Final = "Give an object: names with values."
_NOTHING_TO_FILTER: Final = "Filters are those of a report: choose one, or drop them."
_NAMES_OF_FILTERS: Final = " ".join(
    f"{what.capitalize()}: {', '.join(names)}." for what, names in FILTERS.items()
)
_ONE_OF_BOTH: Final = "Choose either a profile or a report."


def _text(label: str, help_text: str = "", **options: Any) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget()
    return forms.CharField(label=label, help_text=help_text, widget=widget, **options)


class FiltersField(forms.Field):
    """Filters as JSON, or nothing; the report's own rules say what they may be."""

    def to_python(self, value: Any) -> dict[str, Any] | None:
        """Return the names with their values."""
        text = str(value or "").strip()
        if not text:
            return None
        try:
            found = strict_json.loads(text)
        except StrictJSONError as error:
            raise forms.ValidationError(f"Give valid JSON. {error.detail}") from None
        if not isinstance(found, dict):
            raise forms.ValidationError(_NO_OBJECT)
        return found

    def prepare_value(self, value: Any) -> Any:
        """Return what the input shows: what was typed stays as it is."""
        if isinstance(value, dict):
            return json.dumps(value, ensure_ascii=False)
        return value


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A schedule with the times of its crontab, which are a row of beat's."""

    name = _text("Name", max_length=_MOST_NAME)
    report_what = forms.ChoiceField(
        label="or a report of",
        required=False,
        choices=[("", "---------"), *Report.What.choices],
        widget=UnfoldAdminSelectWidget(),
    )
    report_filters = FiltersField(
        label="Filters of the report",
        required=False,
        help_text='JSON, such as {"status": "FAILED", "amount_min": "1000.00"}; empty '
        f"for all rows. {_NAMES_OF_FILTERS}",
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 3, "class": "dtq-mono", "spellcheck": "false"}
        ),
    )
    preset = forms.ChoiceField(
        label="Times are those of",
        required=False,
        choices=list(PRESETS.items()),
        help_text="Any other choice goes before the five inputs.",
        widget=UnfoldAdminSelectWidget(),
    )
    minute, hour, day_of_month, month_of_year, day_of_week = (
        _text(label, _HELP[name], required=False, max_length=_MOST_FIELD)
        for name, label, *_ in FIELDS
    )
    zone = forms.ChoiceField(
        label="Time zone",
        choices=lambda: [(zone, zone) for zone in sorted(available_timezones())],
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        schedule: Schedule | None = kwargs.get("instance")
        kwargs["initial"] = {**initial_of(schedule), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        profiles: Any = self.fields.get("profile")
        if schedule is not None and profiles is not None:
            own = profiles.queryset.filter(tenant_id=schedule.tenant_id)
            profiles.queryset = own

    def clean(self) -> dict[str, Any]:
        """Return the values with the crontab as `cron`, and say all that is wrong."""
        values = super().clean() or self.cleaned_data
        tenant_id = self._tenant_id(values)
        self._check_name(values, tenant_id)
        self._check_what(values, tenant_id)
        values["cron"] = self._cron(values)
        return values

    def _tenant_id(self, values: dict[str, Any]) -> str | None:
        tenant = values.get("tenant")
        return self.instance.tenant_id if tenant is None else str(tenant.pk)

    def _check_name(self, values: dict[str, Any], tenant_id: str | None) -> None:
        same = Schedule.objects.filter(tenant_id=tenant_id, name=values.get("name"))
        if same.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "The tenant has a schedule of this name already.")

    def _check_what(self, values: dict[str, Any], tenant_id: str | None) -> None:
        profile, what = values.get("profile"), values.get("report_what")
        if "profile" in self.errors or "report_what" in self.errors:
            return
        if (profile is None) == (not what):
            self.add_error("profile", _ONE_OF_BOTH)
        if profile is not None and tenant_id not in (None, profile.tenant_id):
            self.add_error("profile", f"This profile is of {profile.tenant_id}.")
        filters = self._filters(what, values.get("report_filters") or {}, tenant_id)
        self.instance.report = {"what": what, "filters": filters} if what else None

    def _filters(
        self, what: str | None, filters: dict[str, Any], tenant_id: str | None
    ) -> dict[str, Any]:
        """Return the filters; what the report would be refused for is told now."""
        if filters and not what:
            self.add_error("report_filters", _NOTHING_TO_FILTER)
        if not what or tenant_id is None:
            return filters
        try:
            return read_filters(tenant=tenant_id, what=what, filters=filters)
        except PayloadError as error:
            self.add_error("report_filters", error.lines())
            return filters

    def _cron(self, values: dict[str, Any]) -> Crontab | None:
        fields = {name: values.get(name, "") for name in NAMES}
        if values.get("preset"):
            fields = dict(zip(NAMES, values["preset"].split(), strict=True))
        for each in faults_of(fields):
            if each.field not in self.errors:  # else nothing is left of what was typed
                text = f"{each.reason[0].upper()}{each.reason[1:]}."
                self.add_error(each.field, text)
        if not values.get("zone") or any(name in self.errors for name in NAMES):
            return None
        cron = crontab_of(**fields, zone=ZoneInfo(values["zone"]))
        if not ever_comes(cron):
            self.add_error("day_of_month", _NEVER)
        return cron


def initial_of(schedule: Schedule | None) -> dict[str, Any]:
    """Return what the inputs that are no fields of the row begin with."""
    if schedule is None or schedule.pk is None:
        texts, zone = _NEW.split(), settings.TIME_ZONE
    else:
        row = schedule.task.crontab
        texts, zone = [getattr(row, name) for name in NAMES], str(row.timezone)
    report = (schedule and schedule.report) or {}
    return {
        **dict(zip(NAMES, texts, strict=True)),
        "zone": zone,
        "report_what": report.get("what", ""),
        "report_filters": report.get("filters") or None,
    }
