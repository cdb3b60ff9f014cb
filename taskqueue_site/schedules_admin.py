"""The screens of django-celery-beat, in the theme's form."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django_celery_beat.admin import ClockedScheduleAdmin as BaseClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BaseCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BasePeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from reconciliation.schedules import WAKE
from tenants.adminkit import ModelAdmin, pill
from tenants.wording import age

for model in (
    *(ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask),
    SolarSchedule,
):
    admin.site.unregister(model)


class ThemedTaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]
    """The choice of registered tasks, in the theme's form."""


class ThemedPeriodicTaskForm(PeriodicTaskForm):  # type: ignore[misc]
    """The form of a schedule, with the theme's widgets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = ThemedTaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BasePeriodicTaskAdmin, ModelAdmin):  # type: ignore[misc]
    """What beat sends when."""

    form = ThemedPeriodicTaskForm
    # The package's own template has an inline script, which the policy forbids.
    change_form_template = "admin/change_form.html"
    date_hierarchy = None
    list_display = ("name", "is_enabled", "task", "scheduler", "last_run", "one_off")
    list_filter = ("enabled", "one_off")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for what the screen of schedules keeps."""
        may = super().has_change_permission(request, obj)
        return bool(may and (obj is None or obj.task != WAKE))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for what the screen of schedules keeps."""
        may = super().has_delete_permission(request, obj)
        return bool(may and (obj is None or obj.task != WAKE))

    @admin.action(description="Enable selected tasks", permissions=["change"])
    def enable_tasks(self, request: HttpRequest, queryset: Any) -> None:
        """Let beat send them."""
        super().enable_tasks(request, self._own(request, queryset))

    @admin.action(description="Disable selected tasks", permissions=["change"])
    def disable_tasks(self, request: HttpRequest, queryset: Any) -> None:
        """Let beat send them no more."""
        super().disable_tasks(request, self._own(request, queryset))

    @admin.action(description="Toggle selected tasks", permissions=["change"])
    def toggle_tasks(self, request: HttpRequest, queryset: Any) -> None:
        """Turn each on that is off, and the other way round."""
        super().toggle_tasks(request, self._own(request, queryset))

    def _own(self, request: HttpRequest, queryset: Any) -> Any:
        """Leave out what the screen of schedules keeps, and say so."""
        if queryset.filter(task=WAKE).exists():
            text = "Those of schedules are paused and resumed on their own screen."
            self.message_user(request, text, messages.WARNING)
        return queryset.exclude(task=WAKE)

    @admin.display(description="Enabled", ordering="enabled")
    def is_enabled(self, row: PeriodicTask) -> SafeString:
        """Return whether beat sends it."""
        return pill("on", "succeeded") if row.enabled else pill("off", "paused")

    @admin.display(description="Last sent", ordering="last_run_at")
    def last_run(self, row: PeriodicTask) -> str:
        """Return when beat last sent it."""
        return age(row.last_run_at, now=timezone.now())


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BaseCrontabScheduleAdmin, ModelAdmin):  # type: ignore[misc]
    """Times as cron writes them."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for what the screen of schedules keeps."""
        may = super().has_change_permission(request, obj)
        return bool(may and not _is_of_schedule(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for what the screen of schedules keeps."""
        may = super().has_delete_permission(request, obj)
        return bool(may and not _is_of_schedule(obj))


def _is_of_schedule(row: CrontabSchedule | None) -> bool:
    return row is not None and row.periodictask_set.filter(task=WAKE).exists()


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BaseClockedScheduleAdmin, ModelAdmin):  # type: ignore[misc]
    """Single times."""


@admin.register(IntervalSchedule, SolarSchedule)
class PlainScheduleAdmin(ModelAdmin):
    """Intervals, and the sun's times."""
