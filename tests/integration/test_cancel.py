"""A job that nobody wants any more ends: at once, or at its next checkpoint."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from jobs import (
    cancelling,
    deciding,
    errors,
    handlers,
    ledger,
    runner,
    sweeps,
)
from jobs.handlers import Assignment, Checkpoint, Kind, Steps
from jobs.ledger import Pick
from jobs.models import Job, JobEvent, UsageEvent
from tenants.acting import acting
from tenants.scoping import all_tenants, tenant_scope
from tests import arrange
from tests.arrange import (
    LEASE,
    attempts_of,
    dispatch,
    lead,
    make_job,
    make_tenant,
    reread,
    start,
)

pytestmark = pytest.mark.django_db(transaction=True)

_told: list[UUID] = []


def work(assignment: Assignment) -> Steps:
    """Work in three steps; somebody cancels the job during the second."""
    for done in range(1, 4):
        if done == assignment.payload["cancel_at"]:
            cancel(assignment.job_id)
        yield lambda done=done: Checkpoint(  # type: ignore[misc]
            state={"done": done},
            done=done,
            is_last=done == 3,
            usage={("rows", f"0:{done}"): 10},
        )
    return {}


@pytest.fixture(autouse=True)
def kind() -> Iterator[None]:
    _told.clear()
    handlers.register(Kind(name="work", handler=work, on_unfinished=_told.append))
    make_tenant("t1")
    yield
    del handlers._kinds["work"]


def cancel(*jobs: Job | UUID, who: str = "staff ann", why: str = "wrong file"):
    ids = [job.pk if isinstance(job, Job) else job for job in jobs]
    with acting(who=who, why=why), tenant_scope("t1"):
        return cancelling.jobs_cancel(job_ids=ids)


def sweep() -> None:
    with all_tenants(reason="test"):
        cancelling.cancel_left_over()


def counted(job: Job) -> dict[str, int]:
    with all_tenants(reason="test"):
        rows = UsageEvent.objects.filter(job=job).exclude(meter="worker_us")
        return dict(rows.values_list("meter", "quantity"))


def events_of(job: Job) -> list[JobEvent]:
    with all_tenants(reason="test"):
        return list(JobEvent.objects.filter(job=job).order_by("id"))


@pytest.mark.parametrize("state", ["scheduled", "queued", "retryable"])
def test_a_job_that_waits_is_cancelled_at_once(state: str):
    later = timezone.now() + timedelta(hours=1)
    job = make_job("t1", kind="work", run_after=later if state == "scheduled" else None)
    if state == "retryable":
        failure = errors.describe(errors.RetryableError("away", "It was away."))
        claim = start(dispatch(job))
        with tenant_scope("t1"):
            arrange.fail(claim.assignment, failure, retry_in_seconds=60)
    assert reread(job).state == state
    assert [ended.state for ended in cancel(job)] == ["cancelled"]
    found = reread(job)
    assert (found.state, found.finished_at is not None) == ("cancelled", True)
    assert counted(job) == {"jobs": 1}
    assert _told == [job.pk]
    last = events_of(job)[-1]
    assert (last.event, last.from_state, last.to_state) == (
        "cancelled",
        state,
        "cancelled",
    )
    assert (last.actor, last.reason) == ("staff ann", "wrong file")
    assert cancel(job) == []
    assert counted(job) == {"jobs": 1}


def test_a_published_job_is_cancelled_and_its_message_finds_nothing():
    job = make_job("t1", kind="work")
    attempt_id = dispatch(job)
    assert [ended.state for ended in cancel(job)] == ["cancelled"]
    (attempt,) = attempts_of(job)
    assert (attempt.outcome, attempt.settled_us) == ("cancelled", 0)
    assert attempt.is_billable is False
    assert runner.run(attempt_ids=[attempt_id], worker="w1") == 0
    assert reread(job).state == "cancelled"


def test_a_running_job_ends_at_its_next_checkpoint_and_keeps_what_it_did():
    job = make_job("t1", kind="work", payload={"cancel_at": 2})
    found = arrange.run(job)
    assert (found.state, found.progress_done) == ("cancelled", 2)
    (attempt,) = attempts_of(job)
    assert (attempt.outcome, attempt.is_billable) == ("cancelled", True)
    assert counted(job) == {"rows": 10, "jobs": 1}
    assert _told == [job.pk]
    with all_tenants(reason="test"):
        rows = UsageEvent.objects.filter(job=job, meter="rows").count()
    assert rows == 2
    told = [(e.event, e.actor, e.reason) for e in events_of(job)]
    assert ("cancel_requested", "staff ann", "wrong file") in told
    assert told[-1][0] == "cancelled"


def test_a_request_during_the_last_step_comes_too_late():
    job = make_job("t1", kind="work", payload={"cancel_at": 3})
    found = arrange.run(job)
    assert (found.state, found.cancel_requested_at is not None) == ("succeeded", True)
    assert _told == []


def test_a_request_is_written_once():
    job = make_job("t1", kind="work")
    start(dispatch(job))
    assert [ended.state for ended in cancel(job)] == ["running"]
    asked = reread(job).cancel_requested_at
    assert cancel(job) == []
    assert reread(job).cancel_requested_at == asked
    assert [e.event for e in events_of(job)].count("cancel_requested") == 1


def test_a_job_that_lost_its_worker_is_cancelled_by_the_sweep():
    job = make_job("t1", kind="work")
    start(dispatch(job), lease_seconds=0)
    cancel(job)
    with all_tenants(reason="test"):
        sweeps.lose_expired(max_losses=3)
    assert reread(job).state == "queued"
    with all_tenants(reason="test"):
        picks = [Pick(str(job.pk), 1000, 1000)]
        lease = (*LEASE, lead())
        assert ledger.dispatch(lease=lease, pool="shared", picks=picks) == {}
    sweep()
    assert reread(job).state == "cancelled"
    assert counted(job) == {"jobs": 1}


def test_a_job_asked_for_between_publishing_and_start_is_not_begun():
    """As when its attempt was locked, so that only the request could be noted."""
    job = make_job("t1", kind="work", payload={"cancel_at": 0})
    attempt_id = dispatch(job)
    with all_tenants(reason="test"):
        Job.objects.filter(pk=job.pk).update(cancel_requested_at=timezone.now())
    assert runner.run(attempt_ids=[attempt_id], worker="w1") == 1
    found = reread(job)
    assert (found.state, found.progress_done) == ("cancelled", 0)
    assert attempts_of(job)[0].outcome == "cancelled"


def test_a_revived_job_is_no_longer_to_be_cancelled():
    job = make_job("t1", kind="work", max_attempts=1)
    failure = errors.describe(errors.PermanentError("bad", "It is bad."))
    claim = start(dispatch(job))
    cancel(job)
    with tenant_scope("t1"):
        arrange.fail(claim.assignment, failure, retry_in_seconds=None)
        assert deciding.jobs_revive(job_ids=[job.pk]) == 1
    sweep()
    assert reread(job).state == "queued"


def test_jobs_of_another_tenant_are_out_of_reach():
    make_tenant("t2")
    job = make_job("t2", kind="work")
    assert cancel(job) == []
    assert reread(job).state == "queued"
