"""The screens of Celery's results: of maintenance and schedules, never of jobs."""

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString
from django_celery_results.models import GroupResult, TaskResult
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeDateTimeFilter

from tenants.adminkit import ReadOnlyAdmin, code_block, pill
from tenants.wording import between

admin.site.unregister(TaskResult)
admin.site.unregister(GroupResult)

_TONES = {"SUCCESS": "succeeded", "FAILURE": "dead", "STARTED": "running"}


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin):
    """What maintenance did, newest first."""

    list_display = (
        *("task_name", "status_pill", "periodic_task_name", "result", "took"),
        *("worker", "date_done"),
    )
    list_filter = (
        ("status", ChoicesCheckboxFilter),
        ("date_done", RangeDateTimeFilter),
    )
    search_fields = ("task_id__exact", "task_name__exact")
    search_help_text = "A task's id or name, whole"
    fields = (
        *("task_id", "task_name", "periodic_task_name", "status_pill", "worker"),
        *("task_args", "task_kwargs", "result_text", "date_created", "date_started"),
        *("date_done", "traceback_text"),
    )

    @admin.display(description="Status")
    def status_pill(self, row: TaskResult) -> SafeString:
        """Return the status as a coloured label."""
        return pill(row.status.lower(), _TONES.get(row.status, "queued"))

    @admin.display(description="Took")
    def took(self, row: Any) -> str:
        """Return how long it took."""
        return between(row.date_started or row.date_created, row.date_done)

    @admin.display(description="Result")
    def result_text(self, row: TaskResult) -> SafeString:
        """Return the result as it is stored."""
        return code_block(row.result or "")

    @admin.display(description="Traceback")
    def traceback_text(self, row: TaskResult) -> SafeString:
        """Return the traceback as it was."""
        return code_block(row.traceback or "")


@admin.register(GroupResult)
class GroupResultAdmin(ReadOnlyAdmin):
    """Results of groups of tasks."""

    list_display = ("group_id", "date_created", "date_done")
    fields = ("group_id", "date_created", "date_done", "result")
