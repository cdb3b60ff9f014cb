"""Following jobs over HTTP: one, and lists of them."""

import re
from itertools import chain
from typing import Any
from urllib.parse import urlencode

import pytest
from rest_framework.test import APIClient

from jobs import ledger, sweeps
from jobs.errors import PermanentError, RetryableError, describe
from jobs.handlers import Checkpoint
from jobs.models import Attempt, Job
from tenants.scoping import all_tenants
from tests.arrange import dispatch, fail, make_job, make_tenant, run, start
from tests.integration.api import assert_problem, client_of, places

pytestmark = pytest.mark.django_db

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
KEYS = {
    *("id", "tenant_id", "kind", "priority", "state", "progress", "created_at"),
    *("dispatched_at", "started_at", "finished_at", "attempts", "result", "error"),
    *("links", "cancel_requested_at"),
}
ATTEMPT_KEYS = {
    *("number", "pool", "worker", "outcome", "dispatched_at", "started_at"),
    *("finished_at", "cost_seconds"),
}
#: Twice a savepoint, its scope before and after, and its end: to find the key, and to
#: read. Then the key, the jobs and all their attempts.
LIST_QUERIES = 11


@pytest.fixture
def owner() -> APIClient:
    """A client of the tenant `owner`, whose key was used just now."""
    make_tenant("owner")
    client = client_of("owner")
    client.get("/jobs")
    return client


def shown(client: APIClient, job: Job) -> Any:
    response = client.get(f"/jobs/{job.id}")
    assert response.status_code == 200
    return response.json()


# --- One job --------------------------------------------------------------------------


def test_a_job_that_succeeded(owner: APIClient):
    job = run(make_job("owner", payload={"seconds": 0, "steps": 2}))
    found = shown(owner, job)
    assert set(found) == {*KEYS, "waiting"}
    assert found["waiting"] is None
    assert found["state"] == "succeeded"
    assert found["progress"] == {"done": 2, "total": 2, "unit": "steps"}
    assert found["result"] == {"steps": 2}
    assert found["error"] is None
    (attempt,) = found["attempts"]
    assert set(attempt) == ATTEMPT_KEYS
    assert attempt["number"] == 1
    assert attempt["pool"] == "shared"
    assert attempt["worker"] == "w1"
    assert attempt["outcome"] == "succeeded"
    times = ("dispatched_at", "started_at", "finished_at")
    moments = [found["created_at"], *(attempt[name] for name in times)]
    assert all(MOMENT.fullmatch(moment) for moment in moments)
    assert [found[name] for name in times[1:]] == [attempt[name] for name in times[1:]]
    with all_tenants(reason="test"):
        settled = Attempt.objects.get(job=job).settled_us
    assert settled is not None
    assert attempt["cost_seconds"] == settled / 1e6


def test_a_time_on_the_full_second_has_six_digits(owner: APIClient):
    job = make_job("owner")
    with all_tenants(reason="test"):
        Job.objects.update(created_at="2026-11-24T09:42:19+05:30")
    assert shown(owner, job)["created_at"] == "2026-11-24T04:12:19.000000Z"


def test_a_running_job_costs_nothing_yet(owner: APIClient):
    job = make_job("owner")
    claim = start(dispatch(job))
    with all_tenants(reason="test"):
        checkpoint = Checkpoint(state={"secret": 1}, done=3, total=10, unit="bytes")
        ledger.commit_checkpoint(claim.assignment, checkpoint, lease_seconds=30)
    found = shown(owner, job)
    assert found["state"] == "running"
    assert found["progress"] == {"done": 3, "total": 10, "unit": "bytes"}
    (attempt,) = found["attempts"]
    assert attempt["outcome"] is None
    assert attempt["cost_seconds"] is None
    assert attempt["finished_at"] is None
    assert "secret" not in str(found)


def test_failures_are_told_without_the_traceback(owner: APIClient):
    job = make_job("owner")
    for error, delay in (
        (RetryableError("store_away", "The store is away."), 0.0),
        (PermanentError("bad_header", "No such column.", column="amount"), None),
    ):
        claim = start(dispatch(job))
        with all_tenants(reason="test"):
            fail(claim.assignment, describe(error), retry_in_seconds=delay)
            sweeps.queue_due()
    found = shown(owner, job)
    assert found["state"] == "dead"
    assert found["error"]["code"] == "bad_header"
    assert found["error"]["message"] == "No such column."
    assert found["error"]["column"] == "amount"
    assert [a["number"] for a in found["attempts"]] == [1, 2]
    assert [a["outcome"] for a in found["attempts"]] == ["failed", "failed"]
    assert "Traceback" not in str(found)


def test_head_works_too(owner: APIClient):
    assert owner.head(f"/jobs/{make_job('owner').id}").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_jobs_are_only_looked_at(owner: APIClient, method: str):
    for path in ("/jobs", f"/jobs/{make_job('owner').id}"):
        response = owner.generic(method, path)
        assert_problem(response, 405, "method_not_allowed")
        assert response["Allow"] == "GET, HEAD"


# --- Lists ----------------------------------------------------------------------------


def pages(client: APIClient, path: str | None) -> list[list[str]]:
    found = []
    while path:
        body = client.get(path).json()
        assert set(body) == {"results", "next"}
        found.append([job["id"] for job in body["results"]])
        path = body["next"]
    return found


def test_an_empty_list(owner: APIClient):
    assert owner.get("/jobs").json() == {"results": [], "next": None}


def test_items_are_shown_as_one_job_is(owner: APIClient):
    job = run(make_job("owner"))
    (item,) = owner.get("/jobs").json()["results"]
    assert set(item) == KEYS
    assert {**item, "waiting": None} == shown(owner, job)


def test_pages_are_newest_first_and_miss_and_repeat_nothing(owner: APIClient):
    ids = [str(make_job("owner").id) for _ in range(7)]
    newest_first = sorted(ids, reverse=True)
    found = pages(owner, "/jobs?limit=3")
    assert [len(page) for page in found] == [3, 3, 1]
    assert [*chain(*found)] == newest_first
    assert pages(owner, "/jobs?limit=7") == [newest_first]


def test_jobs_that_arrive_meanwhile_do_not_shift_a_page(owner: APIClient):
    ids = sorted((str(make_job("owner").id) for _ in range(4)), reverse=True)
    first = owner.get("/jobs?limit=2").json()
    make_job("owner")
    second = owner.get(first["next"]).json()
    assert [job["id"] for job in second["results"]] == ids[2:]


def test_fifty_come_by_default(owner: APIClient):
    for _ in range(51):
        make_job("owner")
    body = owner.get("/jobs").json()
    assert len(body["results"]) == 50
    assert len(owner.get(body["next"]).json()["results"]) == 1


def test_filters_hold_on_every_page(owner: APIClient):
    done = [str(run(make_job("owner")).id) for _ in range(3)]
    for _ in range(2):
        make_job("owner")
        make_job("owner", kind="ingest", payload={})
    succeeded = "/jobs?state=succeeded&kind=sleep&limit=2"
    assert [*chain(*pages(owner, succeeded))] == sorted(done, reverse=True)
    assert len(pages(owner, "/jobs?kind=ingest&limit=1")) == 2
    assert len(pages(owner, "/jobs?state=queued&limit=1")) == 4
    assert pages(owner, "/jobs?kind=unheard.of") == [[]]


def test_a_list_takes_the_same_queries_whatever_its_length(
    owner: APIClient, django_assert_num_queries: Any
):
    for _ in range(2):
        for _ in range(3):
            run(make_job("owner"))
        with django_assert_num_queries(LIST_QUERIES):
            assert owner.get("/jobs").status_code == 200


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"state": "done"}, "state"),
        ({"state": ""}, "state"),
        ({"state": "QUEUED"}, "state"),
        ({"kind": "\0"}, "kind"),
        ({"kind": "' OR 1=1"}, "kind"),
        ({"kind": ""}, "kind"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "1.0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "\uff11"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "AaILz8chdMq9dEbupSk1Vw=="}, "cursor"),
        ({"cursor": "AaILz8chdMq9dEbupSk1Vz"}, "cursor"),
        ({"cursor": "\u00e9" * 22}, "cursor"),
        ({"cursor": "01a20bcf-c6ee-724b-878c-e659f896227f"}, "cursor"),
        ({"page": "2"}, "page"),
        ({"ordering": "tenant__name"}, "ordering"),
        ({"tenant_id": "owner"}, "tenant_id"),
        ({"format": "xml"}, "format"),
        ([("state", "queued"), ("state", "dead")], "state"),
    ],
)
def test_a_bad_parameter_is_named(owner: APIClient, query: Any, parameter: str):
    problem = assert_problem(owner.get(f"/jobs?{urlencode(query)}"), 400, "invalid")
    assert list(places(problem)) == [parameter]
    assert "parameter" in problem["errors"][0]


def test_bytes_that_are_no_text_are_refused(owner: APIClient):
    assert_problem(owner.get("/jobs?kind=%ff%00"), 400)
