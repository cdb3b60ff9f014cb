"""Dead letters over HTTP: lists, groups, one with its attempts, and decisions."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from jobs import deciding
from jobs.models import Job, JobEvent
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_dead_job, make_file, make_job, make_tenant, reread, run
from tests.integration.api import assert_problem, client_of, places

pytestmark = pytest.mark.django_db

LETTERS = "/v1/dead-letters"
UNKNOWN_ID = "01a20bcf-c6ee-724b-878c-e659f896227f"
KEYS = {
    *("id", "tenant_id", "kind", "priority", "reason", "fingerprint"),
    *("attempt_counts", "created_at", "started_at", "died_at", "discarded_at"),
    *("payload", "links"),
}
BAD = {"seconds": 0.0, "steps": 3, "fail": "permanent"}
GOOD = {"seconds": 0.0, "steps": 2}


@pytest.fixture
def owner() -> APIClient:
    """A client of the tenant `owner`; there is a tenant `stranger`, too."""
    make_tenant("owner")
    make_tenant("stranger")
    return client_of("owner")


def results(client: APIClient, **query: Any) -> Any:
    response = client.get(f"{LETTERS}?{urlencode(query)}")
    assert response.status_code == 200, response.content
    return response.json()["results"]


def ids(client: APIClient, **query: Any) -> list[str]:
    return [letter["id"] for letter in results(client, **query)]


def died(payload: Any = BAD) -> Job:
    job = run(make_job("owner", payload=payload))
    assert job.state == "dead"
    return job


def last(job: Job) -> tuple[str, str, str]:
    with all_tenants(reason="test"):
        event = JobEvent.objects.filter(job=job).latest("id")
    return event.event, event.actor.partition(" ")[0], event.reason


def post(client: APIClient, job: Job | str, what: str, body: Any = None) -> Any:
    key = job if isinstance(job, str) else job.pk
    return client.post(f"{LETTERS}/{key}/{what}", body or {}, format="json")


# --- Lists ----------------------------------------------------------------------------


def test_a_letter_says_what_died_of_what_and_when(owner: APIClient):
    job = make_dead_job("owner", code="bad_file", fingerprint="aaaa")
    (letter,) = results(owner)
    assert set(letter) == KEYS
    assert letter["reason"] == {
        "code": "bad_file",
        "message": "The <b>payload</b> asked for a failure.",
    }
    assert letter["attempt_counts"] == {"made": 1, "failed": 1, "lost": 0, "max": 5}
    assert letter["payload"] == {"seconds": 0}
    assert (letter["kind"], letter["fingerprint"]) == ("sleep", "aaaa")
    assert letter["started_at"] < letter["died_at"]
    assert letter["created_at"] is not None
    assert letter["discarded_at"] is None
    assert letter["links"] == {
        "self": f"{LETTERS}/{job.pk}",
        "job": f"/jobs/{job.pk}",
    }
    for path in letter["links"].values():
        assert owner.get(path).status_code == 200


def test_only_dead_jobs_of_the_tenant_are_listed(owner: APIClient):
    make_job("owner")
    run(make_job("owner"))
    make_dead_job("stranger")
    job = make_dead_job("owner")
    assert ids(owner) == [str(job.pk)]


def test_filters_keep_what_is_alike(owner: APIClient):
    first = make_dead_job("owner", code="bad_file", fingerprint="aaaa")
    second = make_dead_job("owner", code="worker_lost", fingerprint="bbbb")
    assert ids(owner) == [str(second.pk), str(first.pk)]
    assert ids(owner, code="bad_file") == [str(first.pk)]
    assert ids(owner, fingerprint="bbbb") == [str(second.pk)]
    assert ids(owner, kind="sleep", code="bad_file") == [str(first.pk)]
    assert ids(owner, kind="ingest") == []
    assert ids(owner, code="bad_file", fingerprint="bbbb") == []


def test_the_discarded_ones_are_a_list_of_their_own(owner: APIClient):
    kept, discarded = make_dead_job("owner"), make_dead_job("owner")
    with tenant_scope("owner"):
        deciding.jobs_discard(job_ids=[discarded.pk])
    assert ids(owner) == ids(owner, discarded="false") == [str(kept.pk)]
    (letter,) = results(owner, discarded="true")
    assert letter["id"] == str(discarded.pk)
    assert letter["discarded_at"] is not None


def test_pages_are_newest_first_with_the_filters_kept(owner: APIClient):
    wanted = [make_dead_job("owner", code="bad_file") for _ in range(5)]
    make_dead_job("owner", code="other")
    path, found = f"{LETTERS}?code=bad_file&limit=2", []
    while path:
        body = owner.get(path).json()
        found.append([letter["id"] for letter in body["results"]])
        path = body["next"]
    assert [len(page) for page in found] == [2, 2, 1]
    newest_first = sorted((str(job.pk) for job in wanted), reverse=True)
    assert [*found[0], *found[1], *found[2]] == newest_first


@pytest.mark.parametrize("path", [LETTERS, f"{LETTERS}/groups"])
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"code": "\0"}, "code"),
        ({"code": ""}, "code"),
        ({"code": "a b"}, "code"),
        ({"fingerprint": "x" * 101}, "fingerprint"),
        ({"fingerprint": "\u00e9"}, "fingerprint"),
        ({"kind": "' OR 1=1"}, "kind"),
        ({"discarded": "yes"}, "discarded"),
        ({"discarded": ""}, "discarded"),
        ({"limit": "501"}, "limit"),
        ({"state": "dead"}, "state"),
        ({"tenant_id": "stranger"}, "tenant_id"),
        ([("code", "a"), ("code", "b")], "code"),
    ],
)
def test_a_bad_parameter_is_named(
    owner: APIClient, path: str, query: Any, parameter: str
):
    problem = assert_problem(owner.get(f"{path}?{urlencode(query)}"), 400, "invalid")
    assert list(places(problem)) == [parameter]


def test_a_cursor_is_taken_as_it_was_given(owner: APIClient):
    problem = assert_problem(owner.get(f"{LETTERS}?cursor=x"), 400, "invalid")
    assert list(places(problem)) == ["cursor"]


def test_a_list_takes_the_same_queries_whatever_its_length(
    owner: APIClient, django_assert_num_queries: Any
):
    owner.get(LETTERS)  # the key was used just now
    for _ in range(2):
        for _ in range(3):
            make_dead_job("owner")
        with django_assert_num_queries(10):
            assert owner.get(LETTERS).status_code == 200


# --- Groups ---------------------------------------------------------------------------


def test_groups_count_the_causes_the_most_frequent_first(owner: APIClient):
    now = timezone.now()
    for hours, fingerprint in ((3, "aaaa"), (2, "aaaa"), (1, "bbbb")):
        ended = now - timedelta(hours=hours)
        make_dead_job("owner", fingerprint=fingerprint, ended=ended, code="bad_file")
    make_dead_job("stranger", fingerprint="aaaa")
    found = owner.get(f"{LETTERS}/groups").json()["results"]
    assert [(group["fingerprint"], group["count"]) for group in found] == [
        *(("aaaa", 2), ("bbbb", 1)),
    ]
    group = found[0]
    keys = {"fingerprint", "code", "message", "count", "first_seen", "last_seen"}
    assert set(group) == keys
    assert group["code"] == "bad_file"
    assert group["first_seen"] < group["last_seen"]
    (only,) = owner.get(f"{LETTERS}/groups?fingerprint=bbbb").json()["results"]
    assert only["count"] == 1
    assert len(owner.get(f"{LETTERS}/groups?limit=1").json()["results"]) == 1
    assert owner.get(f"{LETTERS}/groups?discarded=true").json() == {"results": []}


# --- One ------------------------------------------------------------------------------


def test_one_letter_has_its_attempts_without_tracebacks(owner: APIClient):
    job = died()
    letter = owner.get(f"{LETTERS}/{job.pk}").json()
    more = {"original_payload", "error", "progress", "attempts"}
    assert set(letter) == KEYS | more
    assert letter["error"]["code"] == letter["reason"]["code"] == "asked_to_fail"
    assert letter["original_payload"] is None
    assert letter["progress"] == {"done": 3, "total": 3, "unit": "steps"}
    (attempt,) = letter["attempts"]
    assert (attempt["number"], attempt["outcome"]) == (1, "failed")
    assert attempt["error"]["message"] == "The payload asked for a failure."
    assert "Traceback" not in str(letter)
    assert "site-packages" not in str(letter)


@pytest.mark.parametrize("what", [None, "retry", "discard", "restore"])
def test_unknown_and_foreign_ids_get_the_same_answer(
    owner: APIClient, what: str | None
):
    foreign = make_dead_job("stranger")
    upper = str(make_dead_job("owner").pk).upper()
    answers = []
    for key in (str(foreign.pk), UNKNOWN_ID, upper, "x", "%00", "\u00e9"):
        if what is None:
            response = owner.get(f"{LETTERS}/{key}")
        else:
            response = post(owner, key, what, {"reason": "x"})
        answers.append(assert_problem(response, 404, "not_found")["detail"])
    assert len(set(answers)) == 1
    assert reread(foreign).state == "dead"
    assert reread(foreign).discarded_at is None


def test_a_job_that_is_not_dead_is_no_letter(owner: APIClient):
    job = make_job("owner")
    assert_problem(owner.get(f"{LETTERS}/{job.pk}"), 404, "not_found")


# --- Retry ----------------------------------------------------------------------------


def test_a_retry_answers_with_the_queued_job(owner: APIClient):
    job = died()
    answer = post(owner, job, "retry", {"reason": " try\nagain "})
    assert answer.status_code == 202
    assert (answer.json()["state"], answer["Location"]) == ("queued", f"/jobs/{job.pk}")
    assert reread(job).checkpoint == {"steps": 3}
    assert last(job) == ("revived", "API", "try again")


def test_a_retry_needs_no_body(owner: APIClient):
    job = died()
    assert owner.post(f"{LETTERS}/{job.pk}/retry").status_code == 202


@pytest.mark.parametrize("body", [{}, {"payload": GOOD}])
def test_a_retry_that_comes_twice_is_told_the_state(owner: APIClient, body: Any):
    job = died()
    post(owner, job, "retry")
    assert_problem(post(owner, job, "retry", body), 409, "job_is_queued")
    done = run(make_job("owner"))
    assert_problem(post(owner, done, "retry", body), 409, "job_is_succeeded")
    assert reread(job).payload == BAD


def test_a_discarded_letter_can_be_retried(owner: APIClient):
    job = died()
    post(owner, job, "discard", {"reason": "x"})
    assert post(owner, job, "retry").status_code == 202
    assert reread(job).discarded_at is None


def test_a_retry_with_another_payload_starts_from_the_beginning(owner: APIClient):
    job = died()
    answer = post(owner, job, "retry", {"payload": GOOD, "reason": "mended"})
    assert answer.status_code == 202
    found = reread(job)
    assert (found.payload, found.original_payload) == (GOOD, BAD)
    assert found.checkpoint is None
    with all_tenants(reason="test"):
        edited = JobEvent.objects.get(job=job, event="edited")
    assert edited.reason == "fail, steps changed: mended"
    assert run(found).result == {"steps": 2}


def test_what_was_enqueued_is_shown_once_it_was_edited(owner: APIClient):
    job = died()
    post(owner, job, "retry", {"payload": {**BAD, "steps": 1}})
    run(reread(job))
    letter = owner.get(f"{LETTERS}/{job.pk}").json()
    assert (letter["payload"]["steps"], letter["original_payload"]) == (1, BAD)
    assert [attempt["number"] for attempt in letter["attempts"]] == [1, 2]


def test_a_bad_payload_is_refused_by_its_fields(owner: APIClient):
    job = died()
    payload = {"seconds": -1, "steps": "2", "wings": 2}
    problem = assert_problem(post(owner, job, "retry", {"payload": payload}), 400)
    assert places(problem) == {
        "/payload/seconds": "min_value",
        "/payload/steps": "invalid",
        "/payload/wings": "unknown_field",
    }
    assert reread(job).state == "dead"


def test_a_payload_that_is_fixed_is_a_conflict(owner: APIClient):
    payload = {"s3_path": "../x", "source": "UPI"}
    job = run(make_job("owner", kind="ingest", payload=payload))
    make_file("owner", job=job, state="failed")
    body = {"payload": {"s3_path": "b.csv", "source": "UPI"}}
    problem = assert_problem(post(owner, job, "retry", body), 409, "payload_fixed")
    assert "2 row(s) of 'in/upi.csv' are loaded" in problem["detail"]
    assert reread(job).payload == payload


@pytest.mark.parametrize(
    ("what", "body", "place"),
    [
        ("retry", {"payload": [1]}, "/payload"),
        ("retry", {"payload": None}, "/payload"),
        ("retry", {"payload": "{}"}, "/payload"),
        ("retry", {"reason": 1}, "/reason"),
        ("retry", {"reason": "x" * 201}, "/reason"),
        ("retry", {"tenant_id": "owner"}, "/tenant_id"),
        ("retry", [], ""),
        ("discard", {"reason": " \n"}, "/reason"),
        ("discard", {"reason": ""}, "/reason"),
        ("discard", {"x": 1}, "/reason"),
        ("restore", {"reason": []}, "/reason"),
    ],
)
def test_a_bad_body_changes_nothing(owner: APIClient, what: str, body: Any, place: str):
    job = died()
    path = f"{LETTERS}/{job.pk}/{what}"
    response = owner.post(path, body, format="json")
    problem = assert_problem(response, 400, "invalid")
    assert place in places(problem)
    assert reread(job).state == "dead"
    assert reread(job).discarded_at is None


# --- Discard and restore --------------------------------------------------------------


def test_a_letter_is_discarded_and_restored(owner: APIClient):
    job = died()
    answer = post(owner, job, "discard", {"reason": "sent anew"})
    assert answer.status_code == 200
    assert answer.json()["discarded_at"] is not None
    assert last(job) == ("discarded", "API", "sent anew")
    again = post(owner, job, "discard", {"reason": "sent anew, really"})
    assert again.json() == answer.json()
    assert last(job)[2] == "sent anew"
    assert ids(owner) == []
    answer = post(owner, job, "restore", {"reason": "not at all"})
    assert (answer.status_code, answer.json()["discarded_at"]) == (200, None)
    assert last(job) == ("restored", "API", "not at all")
    assert ids(owner) == [str(job.pk)]
    assert post(owner, job, "restore").status_code == 200


@pytest.mark.parametrize("what", ["discard", "restore"])
def test_only_a_dead_job_is_decided_about(owner: APIClient, what: str):
    job = make_job("owner")
    answer = post(owner, job, what, {"reason": "x"})
    assert_problem(answer, 409, "job_is_queued")
    assert reread(job).discarded_at is None
    assert last(job)[0] == "created"


# --- Methods --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", "GET, HEAD"),
        ("/groups", "GET, HEAD"),
        ("/{job}", "GET, HEAD"),
        ("/retry", "POST"),
        ("/discard", "POST"),
        ("/{job}/retry", "POST"),
        ("/{job}/discard", "POST"),
        ("/{job}/restore", "POST"),
    ],
)
def test_each_path_has_its_methods(owner: APIClient, path: str, allowed: str):
    path = LETTERS + path.format(job=make_dead_job("owner").pk)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        if method not in allowed:
            response = owner.generic(method, path)
            assert_problem(response, 405, "method_not_allowed")
            assert response["Allow"] == allowed
    assert_problem(APIClient().get(path), 401)
