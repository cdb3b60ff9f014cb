"""Ends attempts that took longer than they may, as failures that say so.

The parent of a worker's children calls it when the pool has killed one at the hard
limit, and a child calls it about itself before it ends itself. Either may be late, or
both may come: the attempt is settled once.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from fairshare.backoff import delay_seconds
from jobs import errors, handlers, ledger
from jobs.errors import RetryableError
from jobs.handlers import Assignment
from jobs.ledger import Settlement
from jobs.lifecycle import Event
from jobs.statements import rows
from tenants.scoping import all_tenants

TIME_LIMIT: Final = "time_limit"
STEP_TIMEOUT: Final = "step_timeout"

_AT_WORK = """
SELECT a.id, a.job_id, j.tenant_id, j.kind, j.failed_count, j.max_attempts,
       GREATEST(0, extract(epoch FROM clock_timestamp() - a.started_at)
                   * 1000000)::bigint, a.started_at
FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id
WHERE a.id = ANY(%(attempts)s) AND a.outcome IS NULL AND a.started_at IS NOT NULL
ORDER BY a.id
"""
_OF_WORKER = """
SELECT id FROM jobs_attempt
WHERE id = ANY(%(attempts)s) AND outcome IS NULL AND worker = %(worker)s
  AND started_at IS NOT NULL AND NOT id = ANY(%(at_work)s)
"""


@dataclass(frozen=True, slots=True)
class _AtWork:
    assignment: Assignment
    failed_count: int
    max_attempts: int
    elapsed_us: int

    def settlement(self, error: RetryableError) -> Settlement:
        """Return how the attempt ends: as a failure that counts like any other."""
        failures = self.failed_count + 1
        delay = None
        if failures < self.max_attempts:
            delay = delay_seconds(
                failures,
                jitter=random.random(),  # noqa: S311
                backoff=handlers.backoff(self.assignment.kind),
            )
        return ledger.failed(
            self.assignment,
            errors.describe(error),
            retry_in_seconds=delay,
            began_us=0,
            ended_us=self.elapsed_us,
        )


def end_overdue(*, attempt_ids: Sequence[int], code: str) -> list[UUID]:
    """End the attempts at work as failed, with TIME_LIMIT or STEP_TIMEOUT as the code.

    The little time that their bundle had taken before counts as theirs. Returns the
    jobs that were moved. Raises django.db.Error.
    """
    with all_tenants(reason="attempts that took too long"):
        found = rows(_AT_WORK, {"attempts": list(attempt_ids)})
        return [
            attempt.assignment.job_id
            for attempt in (_at_work(*row) for row in found)
            if _end(attempt, code)
        ]


def hand_back_of_worker(
    *, worker: str, attempt_ids: Sequence[int], at_work: Sequence[int]
) -> int:
    """Queue again, unspent, what a killed child had claimed and not begun."""
    values = {
        "attempts": list(attempt_ids),
        "worker": worker,
        "at_work": list(at_work),
    }
    with all_tenants(reason="hand back the rest of a killed child"):
        return ledger.hand_back([row[0] for row in rows(_OF_WORKER, values)])


def _end(attempt: _AtWork, code: str) -> bool:
    settlement = attempt.settlement(_error(code, attempt.assignment.kind))
    is_ours = attempt.assignment.attempt_id in ledger.settle([settlement])
    if is_ours and settlement.event is Event.BURIED:
        handlers.end_unfinished(attempt.assignment.kind, attempt.assignment.job_id)
    return is_ours


def _error(code: str, kind: str) -> RetryableError:
    if code == STEP_TIMEOUT:
        seconds = settings.STEP_TIMEOUT_SECONDS
        return RetryableError(
            code,
            f"One step took longer than STEP_TIMEOUT_SECONDS ({seconds} s) and was "
            "stopped. Look for what it waits for, or make its steps smaller.",
        )
    seconds = handlers.time_limit_seconds(kind)
    return RetryableError(
        code,
        f"The attempt took longer than the time limit of its kind ({seconds} s) and "
        "was stopped. Look for a loop or a call that never returns; if the work is "
        "that long, make its steps smaller or raise time_limit_seconds.",
    )


def _at_work(
    attempt_id: int,
    job_id: UUID,
    tenant: str,
    kind: str,
    failed_count: int,
    max_attempts: int,
    elapsed_us: int,
    started_at: Any,
) -> _AtWork:
    assignment = Assignment(
        job_id=job_id,
        tenant=tenant,
        attempt_id=attempt_id,
        kind=kind,
        payload={},
        checkpoint=None,
        now=started_at,
    )
    return _AtWork(assignment, failed_count, max_attempts, elapsed_us)
