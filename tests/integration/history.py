"""Jobs and attempts of the past, written as rows: how they came about does not matter.

Times are seconds before `now`, costs are seconds.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from jobs.models import Attempt, Job, Worker, new_job_id
from jobs.recorded import first_id
from tenants.scoping import all_tenants


class Ran(NamedTuple):
    """One attempt: started so long ago for so long; without a length it still runs."""

    ago: float
    seconds: float | None
    outcome: str = "succeeded"
    pool: str = "shared"


def make_worker(pool: str = "shared", *, slots: int = 4) -> None:
    """Report a worker that lives."""
    with all_tenants(reason="test"):
        Worker.objects.create(name=f"{pool}@test", pool=pool, slots=slots)


def make_past_job(
    tenant: str,
    ago: float,
    *attempts: Ran,
    now: datetime,
    due_ago: float | None = None,
    state: str | None = None,
    **values: Any,
) -> Job:
    """Write a job that was enqueued so long ago, and its attempts.

    `due_ago` is its `run_after`. A state that is not given follows the attempts.
    """
    state = state or _state(attempts)
    is_over = state in {"succeeded", "dead", "cancelled"}
    with all_tenants(reason="test"):
        job: Job = Job.objects.create(
            **{
                "id": _id_at(now - timedelta(seconds=ago)),
                "tenant_id": tenant,
                "kind": "sleep",
                "payload": {},
                "state": state,
                "max_attempts": 3,
                "attempt_count": len(attempts),
                "created_at": now - timedelta(seconds=ago),
                "run_after": now
                - timedelta(seconds=ago if due_ago is None else due_ago),
                "dispatched_at": _start(attempts, now),
                "started_at": _start(attempts, now),
                "finished_at": (_end(attempts[-1:], now) or now) if is_over else None,
                **values,
            }
        )
        for number, ran in enumerate(attempts, 1):
            _make_attempt(job, number, ran, now)
    return job


def _state(attempts: Iterable[Ran]) -> str:
    lengths = [ran.seconds for ran in attempts]
    if not lengths:
        return "queued"
    return "running" if lengths[-1] is None else "succeeded"


def _id_at(moment: datetime) -> UUID:
    """Return an id as it would have been drawn at that moment."""
    mask = (1 << 80) - 1
    return UUID(int=first_id(moment).int | new_job_id().int & mask)


def _start(attempts: tuple[Ran, ...], now: datetime) -> datetime | None:
    return now - timedelta(seconds=attempts[0].ago) if attempts else None


def _end(attempts: tuple[Ran, ...], now: datetime) -> datetime | None:
    for ran in attempts:
        if ran.seconds is not None:
            return now - timedelta(seconds=ran.ago - ran.seconds)
    return None


def _make_attempt(job: Job, number: int, ran: Ran, now: datetime) -> None:
    started, ended = now - timedelta(seconds=ran.ago), _end((ran,), now)
    Attempt.objects.create(
        tenant_id=job.tenant_id,
        job=job,
        number=number,
        pool=ran.pool,
        term=1,
        held_us=1_000_000,
        weight=1000,
        settled_us=None if ran.seconds is None else round(ran.seconds * 1_000_000),
        is_billable=None if ended is None else True,
        outcome=None if ended is None else ran.outcome,
        dispatched_at=started,
        started_at=started,
        finished_at=ended,
    )
