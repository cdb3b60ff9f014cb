"""The screens of django-celery-beat, in the theme's form."""

from typing import Any

from django.contrib import admin
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


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BaseClockedScheduleAdmin, ModelAdmin):  # type: ignore[misc]
    """Single times."""


@admin.register(IntervalSchedule, SolarSchedule)
class PlainScheduleAdmin(ModelAdmin):
    """Intervals, and the sun's times."""
