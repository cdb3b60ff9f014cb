"""The Celery tasks: thin shells around one call each."""

from typing import Any

from celery import Task, shared_task
from celery.exceptions import Reject
from celery.signals import worker_process_shutdown
from django.utils import timezone

from jobs import draining, runner, services
from jobs.settling import Beside
from jobs.statements import look_after_connection
from jobs.wake import wake_dispatcher

_settler = Beside()


@shared_task(name="jobs.tasks.run_attempt", bind=True, ignore_result=True)
def run_attempt(self: Task[Any, Any], /, *, attempt_ids: list[int], **_: Any) -> None:
    """Run the attempts that a message names; their ends are written beside the next.

    A worker that is about to stop begins nothing: another one gets the message.
    """
    if draining.is_on():
        raise Reject(draining.WHY, requeue=True)
    look_after_connection()
    worker = str(self.request.hostname)
    if not runner.run(attempt_ids=attempt_ids, worker=worker, settler=_settler):
        wake_dispatcher()


@worker_process_shutdown.connect
def _write_the_rest(**_: Any) -> None:
    """Leave no settlement unwritten when a child of a worker ends in peace."""
    _settler.close()


@shared_task(name="jobs.tasks.housekeeping")
def housekeeping() -> dict[str, int]:
    """Remove what only piles up; the counts are kept as the task's result."""
    return services.forget_stale_workers(now=timezone.now())
