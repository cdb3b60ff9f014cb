"""Jobs that take too long: by the clock of their kind, of a step, of all attempts."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from celery import Celery

from fairshare.backoff import Backoff
from jobs import handlers, ledger, limits
from jobs.broker import Publisher
from jobs.dispatcher import Dispatcher
from jobs.handlers import Assignment, Checkpoint, Kind, Steps
from jobs.models import Job
from tenants.scoping import all_tenants
from tests.acceptance.product import wait_for
from tests.arrange import attempts_of, make_job, make_tenant, reread, run, settle, start
from tests.integration import stuck_kinds
from tests.integration.dispatching import add_worker, tenants, tick
from tests.integration.running import run_worker
from tests.integration.test_broker import taken
from tests.integration.test_bundles import dispatch_bundle

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    """The kinds of the workers' processes, known to the dispatcher as well."""
    for kind in stuck_kinds.KINDS:
        handlers.register(kind)
    yield
    for kind in stuck_kinds.KINDS:
        del handlers._kinds[kind.name]


def end_of(dispatcher: Dispatcher, *jobs: Job) -> list[str]:
    """Dispatch until every job has come to an end; returns the ends."""

    def are_over() -> bool:
        tick(dispatcher)
        return {reread(job).state for job in jobs} <= {"dead", "succeeded"}

    wait_for(are_over, 90)
    return [reread(job).state for job in jobs]


@contextmanager
def dispatcher_on(url: str) -> Iterator[Dispatcher]:
    with (
        Celery("test", broker=url, set_as_current=False) as app,
        closing(Publisher(app)) as publisher,
    ):
        yield Dispatcher(holder="test", publisher=publisher)


@pytest.mark.parametrize(
    ("broker", "kind", "values", "code"),
    [
        ("redis", "spin", {}, limits.TIME_LIMIT),
        ("rabbitmq", "match", {}, limits.TIME_LIMIT),
        # No thread of the child comes to its turn: the parent renews the lease.
        ("rabbitmq", "slow-match", {"LEASE_SECONDS": "8"}, limits.TIME_LIMIT),
        ("redis", "slow-spin", {"STEP_TIMEOUT_SECONDS": "2"}, limits.STEP_TIMEOUT),
    ],
)
def test_an_endless_job_ends_and_the_rest_of_its_bundle_is_unspent(
    tmp_path: Path,
    redis_url: str,
    broker_url: str,
    pool: str,
    kind: str,
    values: dict[str, str],
    code: str,
    broker: str,
):
    tenants(pool, t1=1)
    url = redis_url if broker == "redis" else broker_url
    with (
        dispatcher_on(url) as dispatcher,
        run_worker(
            tmp_path,
            *("--pool", pool, "--concurrency", "1"),
            broker=url,
            redis=redis_url,
            **values,
        ),
    ):
        stuck, other = make_job("t1", kind=kind), make_job("t1", kind="nothing")
        dispatcher._estimate = lambda head: 10  # type: ignore[method-assign]
        assert end_of(dispatcher, stuck, other) == ["dead", "succeeded"]
    (attempt,) = attempts_of(stuck)
    assert (attempt.outcome, attempt.error["code"]) == ("failed", code)
    assert attempt.is_bundled
    job = reread(stuck)
    assert (job.failed_count, job.lost_count) == (1, 0)
    assert job.error["code"] == code
    handed_back, *_ = attempts_of(other)
    assert (handed_back.outcome, handed_back.settled_us) == ("yielded", 0)
    job = reread(other)
    assert (job.failed_count, job.lost_count, job.innocent_count) == (0, 0, 0)


def test_a_message_carries_the_longest_time_limit_of_its_bundle(
    broker_url: str, pool: str, dispatcher: Dispatcher
):
    make_tenant("t1", pool=pool)
    dispatcher._estimate = lambda head: 10  # type: ignore[method-assign]
    add_worker(pool, 1)
    for kind in ("spin", "slow-match", "match"):
        make_job("t1", kind=kind)
    tick(dispatcher)
    message = taken(broker_url, pool)
    assert len(message["body"][1]["attempt_ids"]) == 3
    assert message["headers"]["timelimit"] == [12, None]


def count(assignment: Assignment) -> Steps:
    done = (assignment.checkpoint or {}).get("done", 0)
    for number in range(done + 1, 4):
        yield lambda number=number: Checkpoint(  # type: ignore[misc]
            state={"done": number}, done=number, is_last=number == 3
        )
    return {"done": 3}


@pytest.fixture
def counting() -> Iterator[None]:
    handlers.register(
        Kind(name="counting", handler=count, quantum_us=0, deadline_seconds=60)
    )
    yield
    del handlers._kinds["counting"]


def test_a_job_that_has_had_all_its_worker_time_is_dead_at_its_checkpoint(
    counting: None,
):
    make_tenant("t1")
    job = make_job("t1", kind="counting", payload={})
    # Nobody says that nobody waits, so it gives its slot back after its first step.
    assert run(job).state == "queued"
    spend(job, seconds=61)
    assert run(job).state == "dead"
    job = reread(job)
    assert job.error["code"] == "deadline_exceeded"
    assert job.checkpoint == {"done": 2}


def test_a_job_within_its_deadline_goes_on(counting: None):
    make_tenant("t1")
    job = make_job("t1", kind="counting", payload={})
    spend(job, seconds=20)
    states = [run(job).state for _ in range(3)]
    assert states == ["queued", "queued", "succeeded"]


def spend(job: Job, *, seconds: int) -> None:
    """Have an attempt of the job behind it that took so long and gave its slot back."""
    (attempt_id,) = dispatch_bundle([job])
    assignment = start(attempt_id).assignment
    with all_tenants(reason="test"):
        settle(ledger.yielded(assignment, began_us=0, ended_us=seconds * 1_000_000))


def test_an_overdue_attempt_with_attempts_left_waits_by_the_backoff_of_its_kind():
    make_tenant("t1")
    backoff = Backoff(base_seconds=3000, cap_seconds=3000)
    handlers.register(
        Kind(name="patient", handler=count, backoff=backoff, max_attempts=2)
    )
    try:
        job = make_job("t1", kind="patient")
        for state in ("retryable", "dead"):
            (attempt_id,) = dispatch_bundle([job])
            start(attempt_id)
            ended = limits.end_overdue(attempt_ids=[attempt_id], code="time_limit")
            assert ended == [job.pk]
            # It is settled once, whoever else comes.
            assert not limits.end_overdue(attempt_ids=[attempt_id], code="time_limit")
            found = reread(job)
            assert found.state == state
            if state == "retryable":
                waits = found.run_after - attempts_of(job)[0].finished_at
                assert 2700 <= waits.total_seconds() <= 3300
                with all_tenants(reason="test"):
                    Job.objects.filter(pk=job.pk).update(state="queued", event="due")
    finally:
        del handlers._kinds["patient"]
