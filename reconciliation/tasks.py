"""The Celery tasks of schedules: thin shells around one call each."""

from celery import shared_task
from django.utils import timezone

from jobs.statements import look_after_connection
from reconciliation import schedules


@shared_task(name=schedules.WAKE)
def wake_schedule(schedule_id: int) -> dict[str, int]:
    """Decide the slots of one schedule that are due; beat sends it at its times."""
    look_after_connection()
    return schedules.decide(schedule_id=schedule_id, now=timezone.now())


@shared_task(name="reconciliation.tasks.decide_schedules")
def decide_schedules() -> dict[str, int]:
    """Decide every slot that is due; each minute, in case that a wake was lost."""
    look_after_connection()
    return schedules.decide_due(now=timezone.now())
