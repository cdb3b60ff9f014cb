"""The Celery tasks: thin shells around one call each."""

from typing import Any

from celery import Task, shared_task
from django.db import connection
from django.utils import timezone

from jobs import runner, services
from jobs.wake import wake_dispatcher


@shared_task(name="jobs.tasks.run_attempt", bind=True, ignore_result=True)
def run_attempt(self: Task[Any, Any], /, *, attempt_ids: list[int], **_: Any) -> None:
    """Run the attempts that a message names; their end is in the ledger."""
    connection.close_if_unusable_or_obsolete()
    worker = str(self.request.hostname)
    runner.run(attempt_ids=attempt_ids, worker=worker)
    wake_dispatcher()


@shared_task(name="jobs.tasks.housekeeping")
def housekeeping() -> dict[str, int]:
    """Remove what only piles up; the counts are kept as the task's result."""
    return services.forget_stale_workers(now=timezone.now())
