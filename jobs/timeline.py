"""What the page of one job tells: its moments and its attempts, in order.

Pure reading of rows that are already loaded; `now` comes in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.lifecycle import TERMINAL_STATES, WAITING_STATES, State
from jobs.models import Attempt, Job
from tenants.wording import age, between, duration


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of a job's life that is not an attempt."""

    title: str
    tone: str
    at: datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt in words."""

    attempt: Attempt
    tone: str
    outcome: str
    waited: str
    ran: str
    cost: str
    error: dict[str, Any]


def is_over(job: Job) -> bool:
    """Return whether nothing moves this job any more but a person."""
    return State(job.state) in TERMINAL_STATES


def waited(job: Job, *, now: datetime) -> str:
    """Return how long the job was due before its first dispatch, or has been so far."""
    if job.dispatched_at is None and job.state == State.SCHEDULED:
        return ""
    first = job.dispatched_at or job.finished_at or now
    # A retry moves run_after past the first dispatch; then only creation is known.
    is_original = job.created_at <= job.run_after <= first
    return between(job.run_after if is_original else job.created_at, first)


def ran(job: Job, *, now: datetime) -> str:
    """Return the time from the first start to the end, or so far while it runs."""
    if job.finished_at is None and job.state != State.RUNNING:
        return ""
    return between(job.started_at, job.finished_at or now)


def worked(attempts: Sequence[Attempt], *, now: datetime) -> str:
    """Return the time that the attempts ran, added up: no pause between them counts."""
    spans = [
        (attempt.finished_at or now) - attempt.started_at
        for attempt in attempts
        if attempt.started_at
    ]
    return duration(sum(spans, timedelta()).total_seconds()) if spans else ""


def progress_percent(job: Job) -> int | None:
    """Return progress in percent, or None when the total is not known."""
    if not job.progress_total:
        return None
    return min(100, job.progress_done * 100 // job.progress_total)


def progress_text(job: Job) -> str:
    """Return progress in words: `3,000 of 10,000 rows`."""
    if not job.progress_done and not job.progress_total:
        return ""
    total = f" of {job.progress_total:,}" if job.progress_total else ""
    return f"{job.progress_done:,}{total} {job.progress_unit}".rstrip()


def steps(
    attempts: Sequence[Attempt],
    retries: Sequence[tuple[datetime, str]],
    *,
    now: datetime,
) -> list[Try | Moment]:
    """Return the attempts, and what people did between them, in order of time."""
    found: list[tuple[datetime, Try | Moment]] = [
        (attempt.dispatched_at, _try(attempt, now)) for attempt in attempts
    ]
    for at, person in retries:
        found.append((at, Moment("Retried", "info", at, f"by {person}")))
    return [step for _, step in sorted(found, key=lambda pair: pair[0])]


def _try(attempt: Attempt, now: datetime) -> Try:
    outcome = attempt.outcome or ("running" if attempt.started_at else "dispatched")
    settled = attempt.settled_us
    return Try(
        attempt=attempt,
        tone=outcome,
        outcome=outcome,
        waited=between(
            attempt.dispatched_at, attempt.started_at or attempt.finished_at or now
        ),
        ran=between(attempt.started_at, attempt.finished_at or now),
        cost="" if settled is None else f"{settled / 1_000_000:.3f} s",
        error=attempt.error or {},
    )


def beginning(job: Job, *, now: datetime) -> list[Moment]:
    """Return what happened before the first attempt."""
    moments = [Moment("Created", "queued", job.created_at, f"{job.kind} enqueued")]
    if job.run_after > job.created_at and not job.attempt_count:
        moments.append(
            Moment("Due", "scheduled", job.run_after, age(job.run_after, now=now))
        )
    return moments


def ending(job: Job, *, now: datetime) -> Moment | None:
    """Return how the job ended, or what it waits for; None while it is at work."""
    if is_over(job):
        span = between(job.created_at, job.finished_at or now)
        return Moment(
            job.state.capitalize(), job.state, job.finished_at, f"{span} after creation"
        )
    if State(job.state) not in WAITING_STATES:
        return None
    if job.state == State.QUEUED:
        since = between(min(job.run_after, now), now)
        return Moment("Waiting", "queued", None, f"for {since}")
    left = duration(max(0.0, (job.run_after - now).total_seconds()))
    return Moment("Waiting for its time", job.state, job.run_after, f"in {left}")
