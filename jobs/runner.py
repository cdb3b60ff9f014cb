"""Runs one attempt: start, steps, end.

Each step's effects, its checkpoint and the fence share one transaction. Whatever goes
wrong ends the attempt in the ledger; an attempt that cannot even write its end is left
to the sweep.
"""

import logging
import random
from collections.abc import Generator
from typing import Any

from django.conf import settings
from django.db import Error, connection

from fairshare.backoff import delay_seconds
from jobs import errors, handlers, ledger
from jobs.errors import JobError
from jobs.handlers import Assignment, Checkpoint, Step
from jobs.lease import LeaseKeeper
from jobs.ledger import AttemptSupersededError, Claim
from tenants.scoping import all_tenants, tenant_scope

logger = logging.getLogger(__name__)

_keeper = LeaseKeeper(
    lease_seconds=settings.LEASE_SECONDS,
    step_timeout_seconds=settings.STEP_TIMEOUT_SECONDS,
)


def run(*, attempt_id: int, worker: str) -> bool:
    """Run an attempt to its end; False when it was stale and nothing was done."""
    claim = _start(attempt_id, worker)
    if claim is None:
        logger.info("Attempt %s is stale or started already; dropped", attempt_id)
        return False
    _keeper.watch(attempt_id)
    try:
        _work(claim)
    except AttemptSupersededError:
        logger.warning("Attempt %s lost its lease; its work is dropped", attempt_id)
    finally:
        _keeper.release()
    return True


def _start(attempt_id: int, worker: str) -> Claim | None:
    with all_tenants(reason="start an attempt"):
        return ledger.start(
            attempt_id=attempt_id,
            worker=worker,
            lease_seconds=settings.LEASE_SECONDS,
        )


def _work(claim: Claim) -> None:
    assignment = claim.assignment
    try:
        kind = handlers.get(assignment.kind)
        result = _drive(assignment, kind.handler(assignment))
        with tenant_scope(assignment.tenant):
            ledger.finish(assignment, result)
    except AttemptSupersededError:
        raise
    except JobError as error:
        logger.warning("Attempt %s failed: %s", assignment.attempt_id, error.code)
        _fail(claim, error)
    except Exception as exception:
        logger.exception("Attempt %s failed", assignment.attempt_id)
        _fail(claim, exception)


def _drive(
    assignment: Assignment, steps: Generator[Step, Checkpoint, dict[str, Any]]
) -> dict[str, Any]:
    try:
        step = next(steps)
        while True:
            step = steps.send(_commit(assignment, step))
    except StopIteration as end:
        return dict(end.value or {})
    finally:
        steps.close()


def _commit(assignment: Assignment, step: Step) -> Checkpoint:
    with tenant_scope(assignment.tenant):
        checkpoint = step()
        ledger.commit_checkpoint(
            assignment, checkpoint, lease_seconds=settings.LEASE_SECONDS
        )
    _keeper.step_done()
    return checkpoint


def _fail(claim: Claim, exception: Exception) -> None:
    if isinstance(exception, Error):
        # The connection may be the very thing that broke; the next use opens a new one.
        connection.close()
    failure = errors.describe(exception)
    delay = _retry_delay(claim, failure)
    assignment = claim.assignment
    with tenant_scope(assignment.tenant):
        ledger.fail(assignment, failure, retry_in_seconds=delay)
        if delay is None:
            handlers.bury(assignment.kind, assignment.job_id)


def _retry_delay(claim: Claim, failure: errors.Failure) -> float | None:
    failures = claim.failed_count + 1
    if not failure.is_retryable or failures >= claim.max_attempts:
        return None
    return delay_seconds(failures, jitter=random.random())  # noqa: S311
