"""Many dead letters are decided about over HTTP, at most 500 a call."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from jobs import batches, deciding
from jobs.models import Job, JobEvent
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_dead_job, make_job, make_tenant, reread, run
from tests.integration.api import assert_problem, client_of, places

pytestmark = pytest.mark.django_db

RETRY, DISCARD = "/v1/dead-letters/retry", "/v1/dead-letters/discard"
UNKNOWN_ID = "01a20bcf-c6ee-724b-878c-e659f896227f"


@pytest.fixture
def owner() -> APIClient:
    """A client of the tenant `owner`; there is a tenant `stranger`, too."""
    make_tenant("owner")
    make_tenant("stranger")
    return client_of("owner")


@pytest.fixture
def two_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST", 2)


def dead(number: int, **values: Any) -> list[Job]:
    return [make_dead_job("owner", **values) for _ in range(number)]


def states(jobs: list[Job]) -> list[str]:
    return [reread(job).state for job in jobs]


def decide(client: APIClient, path: str = RETRY, **body: Any) -> tuple[int, int, int]:
    response = client.post(path, body, format="json")
    assert response.status_code == 200, response.content
    found = response.json()
    assert set(found) == {"matched", "changed", "remaining", "died_before"}
    return found["matched"], found["changed"], found["remaining"]


def test_those_that_filters_let_through_and_no_other(owner: APIClient):
    meant = dead(2, code="store_away")
    other, foreign = dead(1, code="bad_file"), make_dead_job("stranger")
    assert decide(owner, code="store_away", reason="the store is back") == (2, 2, 0)
    assert states([*meant, *other, foreign]) == ["queued", "queued", "dead", "dead"]
    with all_tenants(reason="test"):
        events = JobEvent.objects.filter(event="revived")
        assert {event.reason for event in events} == {"the store is back"}
        assert all(event.actor.startswith("API key ") for event in events)


def test_filters_are_meant_together(owner: APIClient):
    (meant,) = dead(1, code="a", fingerprint="aaaa")
    others = [*dead(1, code="a", fingerprint="bbbb"), *dead(1, fingerprint="aaaa")]
    assert decide(owner, code="a", fingerprint="aaaa", kind="sleep") == (1, 1, 0)
    assert states([meant, *others]) == ["queued", "dead", "dead"]
    assert decide(owner, kind="ingest") == (0, 0, 0)


def test_ids_mean_the_tenants_own_dead_jobs(owner: APIClient):
    mine, other = dead(2)
    foreign, queued = make_dead_job("stranger"), make_job("owner")
    asked = [str(job.pk) for job in (mine, foreign, queued)]
    assert decide(owner, job_ids=[*asked, UNKNOWN_ID]) == (1, 1, 0)
    assert states([mine, other, foreign]) == ["queued", "dead", "dead"]
    assert decide(owner, job_ids=asked) == (0, 0, 0)


def test_all_has_to_be_said(owner: APIClient):
    jobs, foreign = dead(3), make_dead_job("stranger")
    assert decide(owner, all=True) == (3, 3, 0)
    assert states([*jobs, foreign]) == ["queued"] * 3 + ["dead"]


@pytest.mark.usefixtures("two_a_call")
def test_the_oldest_go_first_until_none_remains(owner: APIClient):
    jobs = dead(5)
    assert decide(owner, all=True) == (5, 2, 3)
    assert states(jobs) == ["queued"] * 2 + ["dead"] * 3
    assert decide(owner, all=True) == (3, 2, 1)
    assert decide(owner, all=True) == (1, 1, 0)
    assert decide(owner, all=True) == (0, 0, 0)
    assert states(jobs) == ["queued"] * 5


def test_a_dry_run_only_counts(owner: APIClient):
    jobs = dead(2)
    assert decide(owner, all=True, dry_run=True) == (2, 0, 2)
    assert decide(owner, DISCARD, all=True, dry_run=True, reason="x") == (2, 0, 2)
    assert states(jobs) == ["dead", "dead"]


def test_what_dies_once_more_is_not_decided_about_again(owner: APIClient):
    payload = {"seconds": 0.0, "fail": "permanent"}
    first, second = (run(make_job("owner", payload=payload)) for _ in range(2))
    begun = owner.post(RETRY, {"job_ids": [str(first.pk)]}, format="json").json()
    run(reread(first))
    moment = begun["died_before"]
    assert decide(owner, all=True, died_before=moment) == (1, 1, 0)
    assert states([first, second]) == ["dead", "queued"]
    answer = owner.post(RETRY, {"all": True, "died_before": moment}, format="json")
    assert answer.json()["died_before"] == moment


def test_discarding_takes_a_reason_and_what_nobody_decided_about(owner: APIClient):
    jobs = dead(3)
    with tenant_scope("owner"):
        deciding.jobs_discard(job_ids=[jobs[0].pk])
    assert decide(owner, DISCARD, all=True, reason="old") == (2, 2, 0)
    assert all(reread(job).discarded_at for job in jobs)
    assert decide(owner, DISCARD, job_ids=[str(jobs[1].pk)], reason="x") == (0, 0, 0)


def test_discarded_letters_are_retried_only_by_their_ids(owner: APIClient):
    jobs = dead(2)
    decide(owner, DISCARD, all=True, reason="old")
    assert decide(owner, all=True) == (0, 0, 0)
    assert decide(owner, job_ids=[str(jobs[1].pk)]) == (1, 1, 0)
    assert states(jobs) == ["dead", "queued"]


@pytest.fixture
def held(owner: APIClient) -> Iterator[list[Job]]:
    """Three dead jobs, the first of which somebody else is changing."""
    jobs = dead(3)
    with closing(connection.copy()) as beside, beside.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SET LOCAL ROLE dtq_platform")
        cursor.execute("SELECT id FROM jobs_job WHERE id = %s FOR UPDATE", [jobs[0].pk])
        yield jobs


@pytest.mark.django_db(transaction=True)
def test_what_somebody_is_changing_is_passed_over_and_remains(
    owner: APIClient, held: list[Job]
):
    assert decide(owner, all=True) == (3, 2, 1)
    assert states(held) == ["dead", "queued", "queued"]


@pytest.mark.parametrize("path", [RETRY, DISCARD])
@pytest.mark.parametrize(
    ("body", "place", "code"),
    [
        ({}, "", "which"),
        ({"all": False}, "", "which"),
        ({"dry_run": True}, "", "which"),
        ({"died_before": "2026-01-01T00:00:00Z"}, "", "which"),
        ({"all": True, "code": "x"}, "", "which"),
        ({"all": True, "job_ids": [UNKNOWN_ID]}, "", "which"),
        ({"kind": "sleep", "job_ids": [UNKNOWN_ID]}, "", "which"),
        ({"all": "true"}, "/all", "invalid"),
        ({"all": 1}, "/all", "invalid"),
        ({"all": True, "dry_run": "no"}, "/dry_run", "invalid"),
        ({"job_ids": []}, "/job_ids", "empty"),
        ({"job_ids": "x"}, "/job_ids", "not_a_list"),
        ({"job_ids": {"0": UNKNOWN_ID}}, "/job_ids", "not_a_list"),
        ({"job_ids": [UNKNOWN_ID, "x"]}, "/job_ids/1", "invalid"),
        ({"job_ids": [UNKNOWN_ID.upper()]}, "/job_ids/0", "invalid"),
        ({"job_ids": [7]}, "/job_ids/0", "invalid"),
        ({"job_ids": [UNKNOWN_ID] * 501}, "/job_ids", "max_length"),
        ({"code": ""}, "/code", "blank"),
        ({"code": 5}, "/code", "invalid"),
        ({"kind": "x" * 65}, "/kind", "max_length"),
        ({"all": True, "died_before": "yesterday"}, "/died_before", "invalid"),
        ({"all": True, "tenant_id": "owner"}, "/tenant_id", "unknown_field"),
        ({"all": True, "payload": {}}, "/payload", "unknown_field"),
    ],
)
def test_a_bad_body_changes_nothing(
    owner: APIClient, path: str, body: Any, place: str, code: str
):
    jobs = dead(1)
    response = owner.post(path, {"reason": "x", **body}, format="json")
    problem = assert_problem(response, 400, "invalid")
    assert places(problem) == {place: code}
    assert states(jobs) == ["dead"]
    assert reread(jobs[0]).discarded_at is None


def test_discarding_without_a_reason_is_refused(owner: APIClient):
    jobs = dead(1)
    response = owner.post(DISCARD, {"all": True}, format="json")
    assert places(assert_problem(response, 400)) == {"/reason": "required"}
    assert reread(jobs[0]).discarded_at is None


def test_what_died_later_than_a_moment_is_left_alone(owner: APIClient):
    now = timezone.now()
    old, new = (
        make_dead_job("owner", ended=now - timedelta(hours=hours)) for hours in (3, 1)
    )
    moment = (now - timedelta(hours=2)).isoformat()
    assert decide(owner, kind="sleep", died_before=moment) == (1, 1, 0)
    assert states([old, new]) == ["queued", "dead"]
