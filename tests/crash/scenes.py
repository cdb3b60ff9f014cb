"""What a process is at when it is struck: an attempt, a dispatch, a sweep."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery
from django.conf import settings
from django.db import connection

from jobs import ledger, runner, sweeps
from jobs.broker import Publisher
from jobs.dispatcher import WORKER_FRESH_SECONDS, Dispatcher
from jobs.errors import describe
from jobs.lifecycle import TERMINAL_STATES
from jobs.models import Job
from jobs.settling import Beside
from tenants.scoping import all_tenants, apart
from tests.arrange import LEASE, dispatch, fail, lead, reread, start

#: More rounds than a job needs after one disturbance.
_MOST_ROUNDS: Final = 5

# What time alone would do, of one job that nobody looks after.
_TIME_PASSES: Final = (
    "UPDATE jobs_attempt SET lease_expires_at = clock_timestamp() - interval '1 second'"
    " WHERE job_id = %s AND outcome IS NULL AND lease_expires_at IS NOT NULL",
    "UPDATE jobs_attempt SET dispatched_at = dispatched_at - interval '1 hour'"
    " WHERE job_id = %s AND outcome IS NULL AND started_at IS NULL",
    "UPDATE jobs_job SET run_after = clock_timestamp() - interval '1 second'"
    " WHERE id = %s AND state IN ('scheduled', 'retryable')",
)


def let_time_pass(job: Job) -> None:
    """Let every deadline of the job come."""
    with all_tenants(reason="test"), connection.cursor() as cursor:
        for statement in _TIME_PASSES:
            cursor.execute(statement, [job.pk])


def sweep() -> None:
    """Sweep as the leading dispatcher does; it publishes nothing."""
    publisher = Publisher(Celery("test", set_as_current=False))
    Dispatcher(holder="test", publisher=publisher)._sweep(0)


def recover(job: Job) -> None:
    """Let time pass, sweep and dispatch until the job has ended, or give up."""
    for _ in range(_MOST_ROUNDS):
        if reread(job).state in TERMINAL_STATES:
            return
        let_time_pass(job)
        sweep()
        if reread(job).state == "queued":
            runner.run(attempt_ids=[dispatch(job)], worker="w2")


@dataclass(frozen=True, slots=True)
class Scene:
    """How far a job is brought beforehand, and what is done with it then."""

    #: Brings a queued job to where the scene begins; returns what it is about.
    prepare: Callable[[Job], Any]
    act: Callable[[Any], None]


def _attempt_at_once(attempt_id: int) -> None:
    runner.run(attempt_ids=[attempt_id], worker="w1")


def _attempt_beside(attempt_id: int) -> None:
    settler = Beside()
    runner.run(attempt_ids=[attempt_id], worker="w1", settler=settler)
    settler.close()


#: An attempt from its claim to its end, by who writes that end.
ATTEMPTS: Final[Mapping[str, Scene]] = {
    "settled at once": Scene(dispatch, _attempt_at_once),
    "settled beside": Scene(dispatch, _attempt_beside),
}


def _picked(job: Job) -> tuple[int, str]:
    return lead(), str(job.pk)


def _dispatch(picked: tuple[int, str]) -> None:
    term, job_id = picked
    with apart(reason="test"):
        ledger.dispatch(
            lease=(*LEASE, term), pool="shared", picks=[ledger.Pick(job_id, 1000, 1000)]
        )


def _vanished(job: Job) -> int:
    attempt_id = dispatch(job)
    start(attempt_id)
    let_time_pass(job)
    return attempt_id


def _never_started(job: Job) -> int:
    attempt_id = dispatch(job)
    let_time_pass(job)
    return attempt_id


def _due(job: Job) -> None:
    assignment = start(dispatch(job)).assignment
    with all_tenants(reason="test"):
        fail(assignment, describe(RuntimeError()), retry_in_seconds=0)


def _lose_expired(_: Any) -> None:
    with all_tenants(reason="test"):
        sweeps.lose_expired(max_losses=settings.MAX_LOSSES)


def _replace_not_started(_: Any) -> None:
    with all_tenants(reason="test"):
        sweeps.replace_not_started(
            timeout_seconds=settings.START_TIMEOUT_SECONDS,
            fresh_seconds=WORKER_FRESH_SECONDS,
        )


def _queue_due(_: Any) -> None:
    with all_tenants(reason="test"):
        sweeps.queue_due()


def _claimed(job: Job) -> int:
    attempt_id = dispatch(job)
    start(attempt_id)
    return attempt_id


def _hand_back(attempt_id: int) -> None:
    with all_tenants(reason="test"):
        ledger.hand_back([attempt_id])


#: The steps of the dispatcher, and what else moves a job that is not at work.
STEPS: Final[Mapping[str, Scene]] = {
    "dispatch": Scene(_picked, _dispatch),
    "lose_expired": Scene(_vanished, _lose_expired),
    "replace_not_started": Scene(_never_started, _replace_not_started),
    "queue_due": Scene(_due, _queue_due),
    "hand_back": Scene(_claimed, _hand_back),
    "the whole sweep": Scene(_vanished, lambda _: sweep()),
}
