"""What the page of a schedule shows: its next times, and what became of the last."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.models import Job
from reconciliation.crontabs import CrontabError
from reconciliation.models import Schedule, Slot
from reconciliation.schedules import crontab, period
from reconciliation.slots import next_slots
from tenants.adminkit import pill, row_link
from tenants.wording import age

UPCOMING: Final = 5
HISTORY: Final = 50
_TONES: Final = {"enqueued": "succeeded", "skipped": "paused", "refused": "dead"}
_WHY: Final = {"enqueued": "–", "skipped": "Missed", "refused": "–"}


def upcoming_table(schedule: Schedule, *, now: datetime) -> str:
    """Return when it is due next, and which days each time is about."""
    if not schedule.task.enabled:
        return _table("upcoming", [], [], "It is paused.")
    try:
        due = next_slots(crontab(schedule), now, UPCOMING)
    except CrontabError:
        due = []
    rows = [
        (wall(schedule, slot), age(slot, now=now), *_period(schedule, slot))
        for slot in due
    ]
    heads = ["Time", "", "Covers from", "to"]
    return _table("upcoming", heads, rows, "It never comes.")


def history_table(schedule: Schedule) -> str:
    """Return what became of its latest times."""
    slots = list(Slot.objects.filter(schedule=schedule).order_by("-due_at")[:HISTORY])
    there = jobs_there(slots)
    rows = [
        (
            wall(schedule, slot.due_at),
            outcome_pill(slot, has_job=slot.job_id in there),
            slot.text or _WHY[slot.outcome],
        )
        for slot in slots
    ]
    heads = ["Time", "What became of it", "Why"]
    return _table("history", heads, rows, "None has come yet.", breakable=(2,))


def jobs_there(slots: Iterable[Slot]) -> set[UUID]:
    """Return which of their jobs are kept still."""
    ids = [slot.job_id for slot in slots if slot.job_id is not None]
    return set(Job.objects.filter(pk__in=ids).values_list("pk", flat=True))


def outcome_pill(slot: Slot, *, has_job: bool) -> SafeString:
    """Return what became of a slot; it leads to its job, unless that was pruned."""
    label = pill(slot.outcome, _TONES[slot.outcome])
    if slot.job_id is None or not has_job:
        return label
    return format_html("{} {}", label, row_link(Job, slot.job_id, "its job"))


def wall(schedule: Schedule, moment: datetime) -> str:
    """Return what the schedule's own clock shows at a moment."""
    row = schedule.task.crontab
    zone = timezone.get_current_timezone() if row is None else row.timezone
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _period(schedule: Schedule, due_at: datetime) -> list[str]:
    return [wall(schedule, moment) for moment in period(schedule, due_at)]


def _table(
    name: str,
    heads: list[str],
    rows: list[tuple[Any, ...]],
    empty: str,
    breakable: tuple[int, ...] = (),
) -> str:
    context = {
        "name": name,
        "heads": heads,
        "rows": rows,
        "breakable": breakable,
        "empty": empty,
    }
    return render_to_string("admin/ingestion/table.html", context)
