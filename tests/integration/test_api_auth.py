"""Who may call the API, and for whom."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from jobs.models import Job
from tenants import keys
from tenants.models import ApiKey
from tenants.scoping import all_tenants
from tenants.services import api_key_revoke
from tests.arrange import make_job, make_tenant
from tests.integration.api import (
    INGEST,
    SLEEP,
    assert_problem,
    bearer,
    client_of,
    ingest_body,
    make_key,
)

pytestmark = pytest.mark.django_db

UNKNOWN_ID = "01a20bcf-c6ee-724b-878c-e659f896227f"


@pytest.fixture(autouse=True)
def two_tenants() -> None:
    """The owner, and a stranger with a key of another tenant."""
    make_tenant("owner")
    make_tenant("stranger")


def stored_key(text: str) -> ApiKey:
    with all_tenants(reason="test"):
        found: ApiKey = ApiKey.objects.get(id=keys.parse(text).id)
    return found


def job_count() -> int:
    with all_tenants(reason="test"):
        return Job.objects.count()


# --- Keys -----------------------------------------------------------------------------


def test_the_owner_is_let_in():
    assert client_of("owner").get("/jobs").status_code == 200


def test_only_a_digest_is_stored():
    text = make_key("owner")
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE dtq_platform")
        cursor.execute("SELECT k::text FROM tenants_apikey k")
        (row,) = cursor.fetchone()
        cursor.execute("RESET ROLE")
    assert keys.digest(text) in row
    assert text.split("_")[3] not in row


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic {key}",
        "{key}",
        "Bearer {key} {key}",
        "Bearer {key},Bearer {key}",
        "Bearer {key}x",
        "Bearer {cut}",
        "Bearer {other}",
        "Bearer h\u00e9",
        "Bearer " + "x" * 8000,
    ],
)
@pytest.mark.parametrize("path", ["/jobs", f"/jobs/{UNKNOWN_ID}", INGEST, SLEEP])
def test_anything_else_is_not(header: str | None, path: str):
    key = make_key("owner")
    client = APIClient(raise_request_exception=False)
    if header is not None:
        value = header.format(key=key, cut=key[:-1], other=keys.make())
        client.credentials(HTTP_AUTHORIZATION=value)
    call = client.post if path.startswith("/enqueue") else client.get
    response = call(path)
    assert_problem(response, 401)
    assert response["WWW-Authenticate"] == "Bearer"


def test_the_right_id_with_another_secret_is_refused():
    real = make_key("owner")
    body = f"fq_live_{real.split('_')[2]}_{'0' * keys.SECRET_LENGTH}"
    forged = f"{body}_{keys.checksum(body)}"
    problem = assert_problem(bearer(forged).get("/jobs"), 401, "authentication_failed")
    unknown = assert_problem(bearer(keys.make()).get("/jobs"), 401)
    assert problem["detail"] == unknown["detail"]


def test_a_mistyped_key_costs_no_query(django_assert_num_queries: Any):
    key = make_key("owner")
    with django_assert_num_queries(0):
        assert_problem(bearer(key[:-1] + "!").get("/jobs"), 401)
        assert_problem(bearer(key[:-1]).get("/jobs"), 401)


@pytest.mark.parametrize("place", ["api_key", "key", "access_token", "token"])
def test_a_key_in_the_query_string_opens_nothing(place: str):
    client = APIClient(raise_request_exception=False)
    assert_problem(client.get("/jobs", {place: make_key("owner")}), 401)


def test_a_revoked_key_opens_nothing_at_once():
    text = make_key("owner")
    client = bearer(text)
    assert client.get("/jobs").status_code == 200
    with all_tenants(reason="test"):
        api_key_revoke(key_id=keys.parse(text).id, now=timezone.now())
    assert_problem(client.get("/jobs"), 401, "key_revoked")


def test_an_expired_key_opens_nothing():
    now = timezone.now()
    later = make_key("owner", expires_at=now + timedelta(hours=1))
    assert bearer(later).get("/jobs").status_code == 200
    expired = make_key("owner", expires_at=now - timedelta(seconds=1))
    assert_problem(bearer(expired).get("/jobs"), 401, "key_expired")


def test_the_last_use_is_noted_at_most_once_a_minute():
    text = make_key("owner")
    client = bearer(text)
    assert stored_key(text).last_used_at is None
    client.get("/jobs")
    first = stored_key(text).last_used_at
    assert first is not None
    client.get("/jobs")
    assert stored_key(text).last_used_at == first
    with all_tenants(reason="test"):
        ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    client.get("/jobs")
    after = stored_key(text).last_used_at
    assert after is not None
    assert after > first


# --- Tenants --------------------------------------------------------------------------


@pytest.mark.parametrize("claimed", ["owner", "nobody", "STRANGER", "stranger "])
def test_a_key_enqueues_for_its_own_tenant_only(claimed: str):
    stranger = client_of("stranger")
    response = stranger.post(INGEST, ingest_body(claimed), format="json")
    assert_problem(response, 403, "tenant_mismatch")
    assert job_count() == 0


def test_existing_and_unknown_tenants_look_alike():
    stranger = client_of("stranger")
    answers = [
        stranger.post(INGEST, ingest_body(slug), format="json").json()
        for slug in ("owner", "nobody")
    ]
    for answer in answers:
        answer.pop("request_id")
    assert answers[0] == answers[1]


def test_another_tenant_is_refused_before_anything_else_is_said():
    body = ingest_body("owner", s3_path="../x", source="?", extra=1)
    response = client_of("stranger").post(INGEST, body, format="json")
    assert_problem(response, 403)


@pytest.mark.parametrize("header", ["X-Tenant-Id", "X-Forwarded-User"])
def test_a_header_does_not_change_the_tenant(header: str):
    job = make_job("owner")
    client = client_of("stranger")
    assert_problem(client.get(f"/jobs/{job.id}", headers={header: "owner"}), 404)


def test_a_paused_tenant_may_still_enqueue():
    make_tenant("paused", is_paused=True)
    body = ingest_body("paused")
    response = client_of("paused").post(INGEST, body, format="json")
    assert response.status_code == 202


def test_a_strangers_job_an_unknown_one_and_no_id_look_alike():
    job = make_job("owner")
    assert client_of("owner").get(f"/jobs/{job.id}").status_code == 200
    stranger = client_of("stranger")
    upper = str(job.id).upper()
    answers = []
    for text in (
        str(job.id),
        UNKNOWN_ID,
        "no-id",
        "1",
        upper,
        f"{{{job.id}}}",
        f"urn:uuid:{job.id}",
        f"{job.id}%0A",
        f"{job.id}%00",
        job.id.hex,
        "%F0%9F%92%A9",
        "\uff11" * 36,
    ):
        problem = assert_problem(stranger.get(f"/jobs/{text}"), 404, "not_found")
        answers.append(
            {**problem, "request_id": "", "instance": "", "names": sorted(problem)}
        )
    assert all(answer == answers[0] for answer in answers)


def test_the_list_shows_the_keys_tenant_only():
    own = make_job("owner")
    make_job("stranger")
    listed = client_of("owner").get("/jobs").json()["results"]
    assert [job["id"] for job in listed] == [str(own.id)]


def test_a_strangers_cursor_shows_nothing_of_his():
    jobs = [make_job("owner") for _ in range(3)]
    path = client_of("owner").get("/jobs?limit=1").json()["next"]
    mine = make_job("stranger")
    results = client_of("stranger").get(path).json()["results"]
    assert not {job["id"] for job in results} & {str(job.id) for job in jobs}
    assert mine.id not in results
