"""Tiny jobs that travel together: each is charged, ends and is blamed by itself."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from jobs import handlers, ledger, runner, sweeps, wake
from jobs.handlers import Kind
from jobs.ledger import Pick
from jobs.models import Attempt, Job, UsageEvent
from jobs.settling import Beside
from tenants.scoping import all_tenants
from tests.acceptance.product import wait_for
from tests.arrange import LEASE, attempts_of, lead, make_job, make_tenant, reread, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def tenant() -> None:
    make_tenant("t1")


def dispatch_bundle(jobs: list[Job]) -> list[int]:
    """Dispatch queued jobs as one bundle; returns their attempts' ids in order."""
    term = lead()
    picks = [Pick(str(job.pk), 200, 1000, is_bundled=True) for job in jobs]
    with all_tenants(reason="test"):
        attempts = ledger.dispatch(lease=(*LEASE, term), pool="shared", picks=picks)
    return [attempts[str(job.pk)] for job in jobs]


def states(jobs: list[Job]) -> list[str]:
    return [reread(job).state for job in jobs]


def test_each_job_of_a_bundle_ends_by_itself():
    payloads: list[dict[str, Any]] = [
        {"seconds": 0},
        {"seconds": 0, "fail": "retryable"},
        {"seconds": 0, "fail": "permanent"},
        {"seconds": 0},
    ]
    jobs = [make_job("t1", payload=payload) for payload in payloads]
    ids = dispatch_bundle(jobs)
    assert runner.run(attempt_ids=ids, worker="w1") == 4
    assert states(jobs) == ["succeeded", "retryable", "dead", "succeeded"]
    outcomes = [attempts_of(job)[0].outcome for job in jobs]
    assert outcomes == ["succeeded", "failed", "failed", "succeeded"]
    with all_tenants(reason="test"):
        billed = set(UsageEvent.objects.values_list("source", flat=True))
    ended = [jobs[0], jobs[2], jobs[3]]
    assert billed == {
        *(f"attempt:{attempt_id}" for attempt_id in ids),
        *(f"job:{job.pk}:jobs" for job in ended),
    }


@pytest.fixture
def settler() -> Iterator[Beside]:
    settler = Beside()
    yield settler
    settler.close()


def test_ends_that_are_written_beside_the_next_message_are_all_in_the_ledger(
    settler: Beside,
):
    jobs = [make_job("t1", payload={"seconds": 0}) for _ in range(24)]
    for n in range(0, 24, 4):
        ids = dispatch_bundle(jobs[n : n + 4])
        assert runner.run(attempt_ids=ids, worker="w1", settler=settler) == 4
    settler.close()
    assert states(jobs) == ["succeeded"] * 24
    with all_tenants(reason="test"):
        assert UsageEvent.objects.filter(meter="jobs").count() == 24


@pytest.mark.parametrize("beside", [True, False])
def test_what_has_ended_does_not_wait_for_a_long_job_behind_it(
    settler: Beside, beside: bool
):
    """Else it would be done again should the long one never come to its end."""
    first = make_job("t1", payload={"seconds": 0})

    def watch(_: Any) -> Any:
        wait_for(lambda: reread(first).state == "succeeded", 10)
        yield from ()
        return {}

    handlers._kinds["watch"] = Kind(name="watch", handler=watch)
    jobs = [first, make_job("t1", kind="watch")]
    ids = dispatch_bundle(jobs)
    runner.run(attempt_ids=ids, worker="w1", settler=settler if beside else None)
    settler.close()
    assert states(jobs) == ["succeeded", "succeeded"]


def test_an_end_that_cannot_be_written_is_left_to_the_sweep_and_stops_nobody(
    settler: Beside,
):
    broken = make_job("t1", payload={"seconds": 0})
    ids = dispatch_bundle([broken])
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_events RENAME TO usage_events_away")
    try:
        runner.run(attempt_ids=ids, worker="w1", settler=settler)
        settler.close()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE usage_events_away RENAME TO usage_events")
    assert states([broken]) == ["running"]
    after = make_job("t1", payload={"seconds": 0})
    runner.run(attempt_ids=dispatch_bundle([after]), worker="w1", settler=settler)
    settler.close()
    assert states([after]) == ["succeeded"]


def test_a_death_frees_a_slot_and_the_dispatcher_is_told(settler: Beside):
    ids = dispatch_bundle([make_job("t1", payload={"seconds": 0, "fail": "permanent"})])
    wake.client().flushdb()
    runner.run(attempt_ids=ids, worker="w1", settler=settler)
    assert wake.wait_for_wake(1)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (object(), "not JSON serializable"),
        (float("nan"), "not JSON compliant"),
        ("\0", "a NUL character cannot be kept"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_a_result_that_cannot_be_kept_fails_its_own_job_and_says_so(
    settler: Beside, value: Any, told: str
):
    def handler(_: Any) -> Any:
        yield from ()
        return {"when": value}

    handlers._kinds["no-json"] = Kind(name="no-json", handler=handler)
    jobs = [make_job("t1"), make_job("t1", kind="no-json"), make_job("t1")]
    runner.run(attempt_ids=dispatch_bundle(jobs), worker="w1", settler=settler)
    settler.close()
    assert states(jobs) == ["succeeded", "retryable", "succeeded"]
    assert told in attempts_of(jobs[1])[0].traceback


def test_the_jobs_of_a_bundle_share_its_time_without_gap_or_overlap():
    jobs = [make_job("t1", payload={"seconds": 0.01}) for _ in range(3)]
    runner.run(attempt_ids=dispatch_bundle(jobs), worker="w1")
    attempts = [attempts_of(job)[0] for job in jobs]
    for before, after in itertools.pairwise(attempts):
        assert before.finished_at == after.started_at
    for job, attempt in zip(jobs, attempts, strict=True):
        assert attempt.settled_us >= 10_000
        ran = attempt.finished_at - attempt.started_at
        assert attempt.settled_us == ran.total_seconds() * 1_000_000
        job = reread(job)
        assert (job.started_at, job.finished_at) == (
            attempt.started_at,
            attempt.finished_at,
        )
        assert job.progress == {"done": 1, "total": 1, "unit": "steps"}


def test_what_waits_behind_a_job_that_turns_out_long_is_handed_back():
    """It is queued again while the long job is still at work, and has spent nothing."""
    jobs = [make_job("t1", payload={"seconds": s}) for s in (0.8, 0, 0)]
    seen: list[list[str]] = []

    def slow(assignment: handlers.Assignment) -> handlers.Steps:
        yield lambda: handlers.Checkpoint(state={})
        time.sleep(assignment.payload["seconds"])
        seen.append(states(jobs))
        return {}

    handlers.register(Kind(name="slow", handler=slow))
    try:
        with all_tenants(reason="test"):
            Job.objects.update(kind="slow")
        assert runner.run(attempt_ids=dispatch_bundle(jobs), worker="w1") == 3
    finally:
        del handlers._kinds["slow"]
    assert seen == [["running", "queued", "queued"]]
    assert states(jobs) == ["succeeded", "queued", "queued"]
    for job in jobs[1:]:
        (attempt,) = attempts_of(job)
        assert (attempt.outcome, attempt.settled_us) == ("yielded", 0)
        assert attempt.is_billable is False
        job = reread(job)
        assert (job.failed_count, job.lost_count, job.innocent_count) == (0, 0, 0)
        assert job.started_at is None


def test_only_the_job_that_was_at_work_is_blamed_for_the_loss_of_a_bundle():
    jobs = [make_job("t1") for _ in range(4)]
    ids = dispatch_bundle(jobs)
    with all_tenants(reason="test"):
        ledger.claim(attempt_ids=ids, worker="w1", lease_seconds=30)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE jobs_attempt SET started_at = started_at - interval '4 s'"
            )
        lost = sweeps.lose_of_worker(
            worker="w1", attempt_ids=ids, suspects=[ids[1]], max_losses=3
        )
    assert {ended.job_id for ended in lost} == {job.pk for job in jobs}
    assert states(jobs) == ["queued"] * 4
    blame = [(reread(j).lost_count, reread(j).innocent_count) for j in jobs]
    assert blame == [(0, 1), (1, 0), (0, 1), (0, 1)]
    with all_tenants(reason="test"):
        costs = list(Attempt.objects.values_list("settled_us", flat=True))
    assert all(1_000_000 <= cost < 2_000_000 for cost in costs)


def test_a_bundle_whose_worker_vanished_has_nobody_to_blame():
    jobs = [make_job("t1") for _ in range(2)]
    ids = dispatch_bundle(jobs)
    with all_tenants(reason="test"):
        ledger.claim(attempt_ids=ids, worker="w1", lease_seconds=0)
        sweeps.lose_expired(max_losses=0)
    assert states(jobs) == ["queued", "queued"]
    assert [reread(job).innocent_count for job in jobs] == [1, 1]


def test_a_duplicate_message_starts_nothing_again():
    jobs = [make_job("t1") for _ in range(3)]
    ids = dispatch_bundle(jobs)
    start(ids[0])
    assert runner.run(attempt_ids=ids, worker="w2") == 2
    assert runner.run(attempt_ids=ids, worker="w2") == 0
    assert states(jobs) == ["running", "succeeded", "succeeded"]
    assert attempts_of(jobs[0])[0].worker == "w1"


def test_jobs_that_fail_together_do_not_come_back_together():
    payload = {"seconds": 0, "fail": "retryable"}
    jobs = [make_job("t1", payload=payload) for _ in range(8)]
    runner.run(attempt_ids=dispatch_bundle(jobs), worker="w1")
    assert states(jobs) == ["retryable"] * 8
    delays = {reread(j).run_after - attempts_of(j)[0].finished_at for j in jobs}
    assert len(delays) > 1
