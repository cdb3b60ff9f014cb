"""A worker that is told to stop gives its work back, and no attempt is spent."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT, SIGQUIT, SIGTERM

import pytest
from celery.exceptions import Reject
from django.db import OperationalError

from jobs import draining, handlers, ledger, runner, settling, sweeps, tasks
from jobs.dispatcher import Dispatcher
from jobs.handlers import Assignment, Checkpoint, Kind, Steps
from tenants.scoping import all_tenants
from tests.acceptance.product import wait_for
from tests.arrange import attempts_of, dispatch, make_job, make_tenant, reread, start
from tests.integration.dispatching import tenants, tick
from tests.integration.test_worker_command import worker

pytestmark = pytest.mark.django_db(transaction=True)


def told_to_stop(assignment: Assignment) -> Steps:
    """Work in three steps; the worker is told to stop during the first."""
    for done in range((assignment.checkpoint or {}).get("done", 0), 3):
        if assignment.checkpoint is None:
            draining.begin()
        yield lambda done=done + 1: Checkpoint(  # type: ignore[misc]
            state={"done": done}, done=done, is_last=done == 3
        )
    return {}


@pytest.fixture(autouse=True)
def kind() -> Iterator[None]:
    handlers.register(Kind(name="told", handler=told_to_stop))
    make_tenant("t1")
    yield
    draining.end()
    del handlers._kinds["told"]


def test_a_job_comes_back_at_its_checkpoint_and_goes_on_elsewhere():
    job = make_job("t1", kind="told")
    assert runner.run(attempt_ids=[dispatch(job)], worker="w1") == 1
    found = reread(job)
    assert (found.state, found.progress_done) == ("queued", 1)
    assert (found.failed_count, found.lost_count, found.innocent_count) == (0, 0, 0)
    draining.end()
    assert runner.run(attempt_ids=[dispatch(job)], worker="w2") == 1
    assert [a.outcome for a in attempts_of(job)] == ["yielded", "succeeded"]


def test_the_rest_of_a_bundle_is_handed_back_unbegun():
    first, second = make_job("t1", kind="told"), make_job("t1", kind="told")
    runner.run(attempt_ids=[dispatch(first), dispatch(second)], worker="w1")
    assert [reread(job).state for job in (first, second)] == ["queued", "queued"]
    (attempt,) = attempts_of(second)
    assert (attempt.outcome, attempt.settled_us) == ("yielded", 0)


def test_a_message_that_comes_now_goes_back_to_the_broker():
    job = make_job("t1")
    attempt_id = dispatch(job)
    draining.begin()
    with pytest.raises(Reject) as refused:
        tasks.run_attempt.run(attempt_ids=[attempt_id])
    assert repr(refused.value).startswith("reject requeue=True")
    assert attempts_of(job)[0].started_at is None


def test_what_is_in_the_middle_of_a_step_is_given_back_and_not_billed():
    job, other = make_job("t1"), make_job("t1")
    claim = start(dispatch(job), worker="w1")
    start(dispatch(other), worker="w2")
    with all_tenants(reason="test"):
        assert [e.job_id for e in sweeps.give_back(worker="w1")] == [job.pk]
    (attempt,) = attempts_of(job)
    assert (attempt.outcome, attempt.is_billable) == ("yielded", False)
    assert (reread(job).state, reread(other).state) == ("queued", "running")
    found = reread(job)
    assert (found.failed_count, found.lost_count) == (0, 0)
    with pytest.raises(ledger.AttemptSupersededError), all_tenants(reason="test"):
        ledger.commit_checkpoint(
            claim.assignment, Checkpoint(state={}), lease_seconds=30
        )
    dispatch(job)
    assert [attempt.number for attempt in attempts_of(job)] == [1, 2]


@pytest.mark.parametrize(
    ("drain_seconds", "send", "numbers"),
    [
        (2, os.kill, [SIGTERM]),
        (2, os.kill, [SIGTERM, SIGTERM]),
        # As a service manager sends it to all processes of the service.
        (2, os.killpg, [SIGTERM]),
        # Ctrl-C goes to all processes of the terminal; twice, or as SIGQUIT, it asks
        # for haste.
        (2, os.killpg, [SIGINT]),
        (600, os.killpg, [SIGINT, SIGINT]),
        (600, os.kill, [SIGQUIT]),
    ],
)
def test_a_stop_in_the_middle_of_the_work_spends_no_attempt(
    tmp_path: Path,
    redis_url: str,
    broker_url: str,
    pool: str,
    dispatcher: Dispatcher,
    monkeypatch: pytest.MonkeyPatch,
    drain_seconds: int,
    send: Callable[[int, int], None],
    numbers: list[int],
):
    """One job has checkpoints, the other is in one long step."""
    monkeypatch.setenv("DRAIN_SECONDS", str(drain_seconds))
    tenants(pool, t2=1)
    steps = make_job("t2", payload={"seconds": 60, "steps": 300})
    stuck = make_job("t2", payload={"seconds": 60})
    with worker(tmp_path, pool, broker=broker_url, redis=redis_url, slots=2) as running:
        tick(dispatcher)
        wait_for(lambda: reread(steps).progress_done > 2, 30)
        wait_for(lambda: reread(stuck).state == "running", 30)
        for number in numbers:
            send(running.pid, number)
            wait_for(lambda: reread(steps).state == "queued", 30)
        running.wait(timeout=30)
    for job in (steps, stuck):
        found = reread(job)
        assert found.state == "queued"
        counts = (found.failed_count, found.lost_count, found.innocent_count)
        assert counts == (0, 0, 0)
        assert [a.outcome for a in attempts_of(job)] == ["yielded"]
    assert attempts_of(stuck)[0].is_billable is False
    if numbers[0] != SIGQUIT:
        assert attempts_of(steps)[0].is_billable is True
        log = (tmp_path / "worker.log").read_text()
        assert "Stopped with 1 attempts in the middle of a step" in log


def test_an_end_that_could_not_be_written_is_written_again(
    monkeypatch: pytest.MonkeyPatch,
):
    """As after a short absence of the database: no lease runs out for it."""
    job = make_job("t1")
    settler = settling.Beside()
    write, failures = ledger.settle, [OperationalError("gone")] * 2

    def flaky(settlements: list[ledger.Settlement]) -> set[int]:
        if failures:
            raise failures.pop()
        return write(settlements)

    monkeypatch.setattr(ledger, "settle", flaky)
    attempt_id = dispatch(job)
    runner.run(attempt_ids=[attempt_id], worker="w1", settler=settler)
    settler.close()
    assert failures == []
    assert [a.outcome for a in attempts_of(job)] == ["succeeded"]


def test_an_end_that_can_never_be_written_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
):
    """Else a database that refuses it would hold up all that ends later."""
    job = make_job("t1")
    settler = settling.Beside()
    pauses, tries = (0.0, 0.0), 0

    def refuse(_: list[ledger.Settlement]) -> set[int]:
        nonlocal tries
        tries += 1
        if tries > 50:
            raise RuntimeError("tried for ever")
        raise OperationalError("gone")

    monkeypatch.setattr(settling, "_TRY_AGAIN_AFTER", pauses)
    monkeypatch.setattr(ledger, "settle", refuse)
    runner.run(attempt_ids=[dispatch(job)], worker="w1", settler=settler)
    settler.close()
    assert tries == len(pauses) + 1
    assert reread(job).state == "running"
