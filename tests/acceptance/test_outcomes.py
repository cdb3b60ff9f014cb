"""Every way a job can end, through the whole product, on both sets of services."""

import time
from typing import Any

import pytest

from tests.acceptance.product import Product, wait_for


@pytest.fixture(params=["embedded", "on_services"])
def product(request: pytest.FixtureRequest) -> Product:
    found: Product = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def key(product: Product) -> str:
    return product.key_of("outcomes")


def run_sleep(product: Product, key: str, **payload: Any) -> Any:
    body = {"tenant_id": "outcomes", "seconds": 0.05, **payload}
    status, job = product.call(key, "/enqueue/sleep", body)
    assert status == 202, job
    return product.wait_for_end(key, job["id"])


def test_success(product: Product, key: str):
    job = run_sleep(product, key, steps=5)
    assert (job["state"], job["result"]) == ("succeeded", {"steps": 5})
    assert job["progress"] == {"done": 5, "total": 5, "unit": "steps"}
    (attempt,) = job["attempts"]
    assert attempt["outcome"] == "succeeded"
    assert attempt["cost_seconds"] >= 0.05
    assert job["created_at"] <= job["dispatched_at"] <= job["started_at"]


def test_a_step_longer_than_the_lease_keeps_it(product: Product, key: str):
    lease_seconds = int(product.environment["LEASE_SECONDS"])
    job = run_sleep(product, key, seconds=lease_seconds + 2)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["succeeded"]


def test_a_permanent_failure_is_dead_at_once(product: Product, key: str):
    job = run_sleep(product, key, fail="permanent")
    assert (job["state"], len(job["attempts"])) == ("dead", 1)
    assert job["error"]["code"] == "asked_to_fail"


def test_a_retryable_failure_is_dead_after_its_attempts(product: Product, key: str):
    job = run_sleep(product, key, fail="retryable", max_attempts=2)
    outcomes = [attempt["outcome"] for attempt in job["attempts"]]
    assert (job["state"], outcomes) == ("dead", ["failed", "failed"])


def test_a_job_that_kills_its_worker_is_poison(product: Product, key: str):
    job = run_sleep(product, key, fail="kill")
    outcomes = [attempt["outcome"] for attempt in job["attempts"]]
    assert (job["state"], outcomes) == ("dead", ["lost"] * 4)
    assert job["error"]["code"] == "poison"
    assert run_sleep(product, key)["state"] == "succeeded"


def test_a_scheduled_task_keeps_its_result(product: Product):
    code = "from jobs.tasks import housekeeping; print(housekeeping.delay().id)"
    task_id = product.manage("shell", "--no-imports", "-c", code).split()[-1]

    def results() -> list[tuple[Any, ...]]:
        return product.query(
            "SELECT status, result FROM django_celery_results_taskresult "
            "WHERE task_id = %s",
            task_id,
        )

    wait_for(lambda: results() != [], 60)
    assert results() == [("SUCCESS", '{"stale_workers": 0}')]


def test_a_killer_in_a_bundle_is_blamed_alone(product: Product):
    """The parent reads from shared memory which job its dead child was on."""
    slug = "bundled"
    key = product.key_of(slug)

    def enqueue(**payload: Any) -> str:
        body = {"tenant_id": slug, "seconds": 0, **payload}
        status, job = product.call(key, "/enqueue/sleep", body)
        assert status == 202, job
        return str(job["id"])

    def innocents_of_a_killer() -> int:
        # What such a job costs is learnt first: only known tiny jobs are bundled.
        for _ in range(5):
            product.wait_for_end(key, enqueue())
        product.manage("tenant", "pause", slug)
        time.sleep(2)
        jobs = [enqueue() for _ in range(4)]
        killer = enqueue(fail="kill")
        jobs += [enqueue() for _ in range(4)]
        product.manage("tenant", "resume", slug)

        for job in jobs:
            assert product.wait_for_end(key, job)["state"] == "succeeded"
        assert product.wait_for_end(key, killer)["error"]["code"] == "poison"
        blame = product.query(
            "SELECT id::text, lost_count, innocent_count FROM jobs_job "
            "WHERE tenant_id = %s",
            slug,
        )
        counts = {job: (lost, innocent) for job, lost, innocent in blame}
        assert {counts[job][0] for job in jobs} == {0}
        assert counts[killer][1] == 0
        return sum(counts[job][1] for job in jobs)

    # A busy machine may take these jobs for longer ones, and send them one by one.
    assert any(innocents_of_a_killer() for _ in range(5))
