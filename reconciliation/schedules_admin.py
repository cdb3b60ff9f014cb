"""The screens of schedules: when they run next, and what became of each time."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.enums import ActionVariant

from jobs.models import Job
from jobs.switches import NotAcceptingError
from reconciliation.crontab_words import in_words
from reconciliation.crontabs import CrontabError
from reconciliation.models import Schedule, Slot
from reconciliation.schedule_forms import NAMES, ScheduleForm
from reconciliation.schedule_tables import (
    HISTORY,
    UPCOMING,
    history_table,
    jobs_there,
    outcome_pill,
    upcoming_table,
    wall,
)
from reconciliation.schedules import (
    crontab,
    last_slots,
    run_now,
    schedule_delete,
    schedule_pause,
    schedule_resume,
    schedule_save,
)
from reconciliation.slots import next_slot
from tenants.adminkit import (
    ChangeList,
    DialogForm,
    ModelAdmin,
    after_dialog,
    change_url,
    dialog_action,
    log_change,
    pill,
    row_link,
    subtle,
    two_lines,
)
from tenants.wording import age


class ConfirmForm(DialogForm):
    """Asks nothing but a yes."""


class ScheduleChangeList(ChangeList):
    """Reads the last slots of the schedules on the page in one statement."""

    def get_results(self, request: HttpRequest) -> None:
        """Attach `last` to each schedule shown."""
        super().get_results(request)
        schedules = list(self.result_list)
        last = last_slots(schedules)
        there = jobs_there(last.values())
        for schedule in schedules:
            schedule.last = slot = last.get(schedule.pk)
            schedule.has_job = slot is not None and slot.job_id in there
        self.result_list = schedules


@admin.register(Schedule)
class ScheduleAdmin(ModelAdmin):
    """When profiles run and reports are written by themselves."""

    form = ScheduleForm
    list_display = (
        *("name", "is_on", "next_run", "last_slot", "tenant", "what", "short_words"),
    )
    list_select_related = ("tenant", "profile", "task__crontab")
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("task__enabled", admin.BooleanFieldListFilter),
    )
    list_filter_submit = True
    search_fields = ("name", "tenant__slug", "profile__name")
    search_help_text = "A name, a tenant, or a profile"
    sortable_by = ("name", "tenant")
    ordering = ("tenant", "name")
    autocomplete_fields = ("tenant",)
    warn_unsaved_form = True
    compressed_fields = False  # labels above the inputs: there are many
    readonly_fields = ("is_on", "words", "upcoming", "history")
    actions_detail: ClassVar = ["run", "pause", "resume"]
    fieldsets = (
        (None, {"fields": (("name", "tenant", "is_on"),)}),
        (
            "What it runs",
            {
                "fields": (
                    ("profile", "report_what"),
                    "report_filters",
                    ("covers", "missed"),
                )
            },
        ),
        (
            "When",
            {"fields": (("preset", "zone"), NAMES[:2], NAMES[2:])},
        ),
        ("Next times", {"fields": ("words", "upcoming")}),
        ("What became of its times", {"fields": ("history",)}),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the list that knows the last slots."""
        return ScheduleChangeList

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form; many of its inputs are no fields of the row."""
        kwargs["fields"] = ("name", "tenant", "profile", "covers", "missed")
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show no times that are not there yet, and no inputs to who may not write."""
        if obj is None:
            first = (None, {"fields": (("name", "tenant"),)})
            return (first, *self.fieldsets[1:3])
        if self.has_change_permission(request, obj):
            return self.fieldsets
        shown = (("name", "tenant", "is_on"), ("what", "covers", "missed"))
        return ((None, {"fields": shown}), *self.fieldsets[3:])

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep whose it is."""
        if obj is None:
            return ()
        return (*self.readonly_fields, "tenant", "what")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Read what every page says of a schedule along with it."""
        rows = super().get_queryset(request)
        return rows.select_related(*self.list_select_related)

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Save it with its crontab and its task of beat."""
        cron = form.cleaned_data["cron"]
        schedule_save(schedule=obj, cron=cron, now=timezone.now())

    # --- Deletion ---------------------------------------------------------------------

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count the slots that go with a schedule, instead of listing them."""
        schedules = list(objs)
        slots = Slot.objects.filter(schedule__in=schedules).count()
        counts = {"schedules": len(schedules), "past times": slots}
        return [str(each) for each in schedules], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete it with its task of beat; its jobs stay."""
        schedule_delete(schedule=obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Delete each with its task of beat."""
        for schedule in queryset:
            schedule_delete(schedule=schedule)

    # --- Run now, pause, resume -------------------------------------------------------

    def has_run_permission(self, request: HttpRequest, _: Any = None) -> bool:
        """Return whether the user may run schedules at once."""
        return request.user.has_perm("reconciliation.run_profile")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer the one of pause and resume that changes something."""
        is_on = Schedule.objects.filter(pk=object_id, task__enabled=True).exists()
        other = "_resume" if is_on else "_pause"
        actions = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [each for each in actions if not each.action_name.endswith(other)]

    @dialog_action(
        description="Run now",
        text="Orders what it would if it were due now. Its own times stay as they are.",
        form=ConfirmForm,
        permissions=["run"],
        icon="bolt",
    )
    def run(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Order what the schedule would now."""
        schedule = get_object_or_404(Schedule, pk=object_id)
        try:
            job = run_now(schedule=schedule, now=timezone.now())
        except NotAcceptingError as error:
            self.message_user(request, str(error), messages.ERROR)
            return after_dialog(change_url(Schedule, object_id))
        text = format_html("Ordered: {}", row_link(Job, job.pk, job.pk))
        log_change(request, self._row(object_id), f"Run now: job {job.pk}.")
        self.message_user(request, text, messages.SUCCESS)
        return after_dialog(change_url(Schedule, object_id))

    @dialog_action(
        description="Pause",
        text="Lets none of its times run until it is resumed. Those of the pause are "
        "not made up for. Jobs that were ordered go on.",
        form=ConfirmForm,
        permissions=["change"],
        icon="pause",
        variant=ActionVariant.WARNING,
    )
    def pause(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Let none of its times run."""
        schedule = get_object_or_404(Schedule, pk=object_id)
        schedule_pause(schedule=schedule)
        return self._done(request, object_id, "Paused.")

    @dialog_action(
        description="Resume",
        text="Lets its times run from now on; those of the pause are not made up for.",
        form=ConfirmForm,
        permissions=["change"],
        icon="play_arrow",
        variant=ActionVariant.SUCCESS,
    )
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Let its times run again."""
        schedule = get_object_or_404(Schedule, pk=object_id)
        schedule_resume(schedule=schedule, now=timezone.now())
        return self._done(request, object_id, "Resumed.")

    def _done(self, request: HttpRequest, object_id: str, said: str) -> HttpResponse:
        log_change(request, self._row(object_id), said)
        self.message_user(request, said, messages.SUCCESS)
        return after_dialog(change_url(Schedule, object_id))

    def _row(self, object_id: str) -> Any:
        return Schedule.objects.filter(pk=object_id)

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Runs")
    def what(self, schedule: Schedule) -> str:
        """Return what it runs."""
        if schedule.profile is not None:
            return str(schedule.profile.name)
        return f"report of {(schedule.report or {}).get('what')}"

    @admin.display(description="When")
    def words(self, schedule: Schedule) -> str | SafeString:
        """Return its times in words, or else the next of them."""
        return _words(schedule, timezone.now())

    @admin.display(description="When")
    def short_words(self, schedule: Schedule) -> str | SafeString:
        """Return its times in words, or else as they are written."""
        return _words(schedule, None)

    @admin.display(description="Next")
    def next_run(self, schedule: Schedule) -> str | SafeString:
        """Return when it is due next, by its own clock."""
        if not schedule.task.enabled:
            return subtle("–")
        now = timezone.now()
        try:
            due_at = next_slot(crontab(schedule), now)
        except CrontabError:
            return subtle("–")
        if due_at is None:
            return subtle("never")
        return two_lines(wall(schedule, due_at), age(due_at, now=now))

    @admin.display(description="Last")
    def last_slot(self, schedule: Any) -> str | SafeString:
        """Return what became of its latest time."""
        slot: Slot | None = schedule.last
        if slot is None:
            return subtle("–")
        outcome = outcome_pill(slot, has_job=schedule.has_job)
        return two_lines(outcome, age(slot.due_at, now=timezone.now()))

    @admin.display(description="State", ordering="task__enabled")
    def is_on(self, schedule: Schedule) -> SafeString:
        """Return whether its times run."""
        if schedule.task.enabled:
            return pill("on", "succeeded")
        return pill("paused", "paused")

    @admin.display(description=f"Next {UPCOMING} times")
    def upcoming(self, schedule: Schedule) -> str:
        """Return when it is due next, and which days each time is about."""
        return upcoming_table(schedule, now=timezone.now())

    @admin.display(description=f"Latest {HISTORY}")
    def history(self, schedule: Schedule) -> str:
        """Return what became of its latest times."""
        return history_table(schedule)


def _words(schedule: Schedule, after: datetime | None) -> str | SafeString:
    try:
        return in_words(crontab(schedule), after)
    except CrontabError as error:
        return pill(f"unreadable: {error}", "dead")
