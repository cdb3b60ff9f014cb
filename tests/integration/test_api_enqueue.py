"""Enqueueing over HTTP: what is accepted, and how the rest is refused."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from jobs.models import Job, Priority
from tenants.scoping import all_tenants
from tests.arrange import make_tenant, reread
from tests.integration.api import (
    INGEST,
    SLEEP,
    assert_problem,
    client_of,
    ingest_body,
    places,
)

pytestmark = pytest.mark.django_db

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def owner() -> APIClient:
    """A client of the tenant `owner`."""
    make_tenant("owner")
    return client_of("owner")


@pytest.fixture(autouse=True)
def synthetic(settings: Any) -> None:
    settings.SYNTHETIC_KINDS = True


def job_count() -> int:
    with all_tenants(reason="test"):
        return Job.objects.count()


def sleep_body(**changes: Any) -> dict[str, Any]:
    return {"tenant_id": "owner", "seconds": 1, **changes}


# --- Accepted -------------------------------------------------------------------------


def test_the_size_of_a_file_is_taken_from_the_body_or_from_the_folder(
    owner: APIClient, settings: Any, tmp_path: Path
):
    backend = "django.core.files.storage.FileSystemStorage"
    store = {"BACKEND": backend, "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "default": store}
    stored = tmp_path / "tenants" / "owner" / "stored.csv"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"12345")
    bodies: list[dict[str, Any]] = [
        {"s3_path": "stored.csv"},
        {"s3_path": "stored.csv", "size": 7},
        {"s3_path": "yet_to_come.csv"},
        {"s3_path": "yet_to_come.csv", "size": 0},
    ]
    sizes = []
    for body in bodies:
        response = owner.post(INGEST, ingest_body("owner", **body), format="json")
        sizes.append(reread(UUID(response.json()["id"])).size)
    assert sizes == [5, 7, None, 0]


@pytest.mark.parametrize("size", [-1, 1.5, "7", True, 2**63])
def test_a_size_that_is_none_is_refused(owner: APIClient, size: Any):
    response = owner.post(INGEST, ingest_body("owner", size=size), format="json")
    assert "/size" in places(assert_problem(response, 400))


def test_an_ingest_is_accepted(owner: APIClient):
    before = timezone.now()
    response = owner.post(INGEST, ingest_body("owner"), format="json")
    assert response.status_code == 202
    assert response["Content-Type"] == "application/json"
    shown = response.json()
    assert response["Location"] == f"/jobs/{shown['id']}" == shown["links"]["self"]
    assert MOMENT.fullmatch(shown["created_at"])
    assert datetime.fromisoformat(shown["created_at"]) >= before
    waiting = owner.get(response["Location"]).json()
    assert waiting.pop("waiting")["waits_for"] == "no_workers"
    assert shown == waiting
    assert shown == {
        "id": shown["id"],
        "tenant_id": "owner",
        "kind": "ingest",
        "priority": "normal",
        "state": "queued",
        "progress": {"done": 0, "total": None, "unit": ""},
        "created_at": shown["created_at"],
        "dispatched_at": None,
        "started_at": None,
        "finished_at": None,
        "cancel_requested_at": None,
        "attempts": [],
        "result": None,
        "error": None,
        "links": {"self": f"/jobs/{shown['id']}"},
    }
    job = reread(shown["id"])
    assert job.payload == {"s3_path": "upi_sample.csv", "source": "UPI"}
    assert job.max_attempts == 5


def test_a_sleep_is_accepted(owner: APIClient):
    body = sleep_body(seconds=2.5, steps=4, fail="permanent")
    shown = owner.post(SLEEP, body, format="json").json()
    assert shown["kind"] == "sleep"
    payload = reread(shown["id"]).payload
    assert payload == {"seconds": 2.5, "steps": 4, "fail": "permanent"}


def test_a_sleep_has_one_step_and_no_failure_by_default(owner: APIClient):
    shown = owner.post(SLEEP, sleep_body(seconds=0), format="json").json()
    assert reread(shown["id"]).payload == {"seconds": 0, "steps": 1}


def test_without_synthetic_kinds_there_is_no_sleep(owner: APIClient, settings: Any):
    settings.SYNTHETIC_KINDS = False
    assert_problem(owner.post(SLEEP, sleep_body(), format="json"), 404)
    assert job_count() == 0


@pytest.mark.parametrize("priority", Priority)
def test_the_priority_is_kept(owner: APIClient, priority: Priority):
    body = ingest_body("owner", priority=priority.label)
    shown = owner.post(INGEST, body, format="json").json()
    assert shown["priority"] == priority.label
    assert reread(shown["id"]).priority == priority


def test_a_job_for_later_is_scheduled(owner: APIClient):
    body = ingest_body("owner", run_after="2098-01-01T05:30:00.25+05:30")
    shown = owner.post(INGEST, body, format="json").json()
    assert shown["state"] == "scheduled"
    run_after = reread(shown["id"]).run_after
    assert run_after == datetime(2098, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)


def test_a_time_that_has_passed_means_now(owner: APIClient):
    past = (timezone.now() - timedelta(hours=1)).isoformat()
    body = ingest_body("owner", run_after=past)
    assert owner.post(INGEST, body, format="json").json()["state"] == "queued"


@pytest.mark.parametrize("most", [1, 25])
def test_the_number_of_attempts_is_kept(owner: APIClient, most: int):
    body = ingest_body("owner", max_attempts=most)
    shown = owner.post(INGEST, body, format="json").json()
    assert reread(shown["id"]).max_attempts == most


def test_the_whole_key_of_an_own_object_is_accepted(owner: APIClient):
    body = ingest_body("owner", s3_path="tenants/owner/in/a.csv")
    assert owner.post(INGEST, body, format="json").status_code == 202


def test_any_other_text_is_only_text(owner: APIClient):
    for path in ("' OR 1=1 --.csv", "{{7*7}}.csv", "<script>.csv", "न\u202e.csv"):
        body = ingest_body("owner", s3_path=path)
        shown = owner.post(INGEST, body, format="json").json()
        assert reread(shown["id"]).payload["s3_path"] == path


# --- Refused fields -------------------------------------------------------------------

OMIT = object()


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("tenant_id", OMIT, "required"),
        ("tenant_id", None, "null"),
        ("tenant_id", 5, "invalid"),
        ("tenant_id", ["owner"], "invalid"),
        ("s3_path", OMIT, "required"),
        ("s3_path", None, "null"),
        ("s3_path", "", "blank"),
        ("s3_path", 5, "invalid"),
        ("s3_path", {"a": 1}, "invalid"),
        ("s3_path", "../upi_sample.csv", "unsafe_path"),
        ("s3_path", "a/../../b.csv", "unsafe_path"),
        ("s3_path", "/etc/passwd", "unsafe_path"),
        ("s3_path", "file:///etc/passwd", "unsafe_path"),
        ("s3_path", "s3://bucket/a.csv", "unsafe_path"),
        ("s3_path", "a//b.csv", "unsafe_path"),
        ("s3_path", "a\\..\\b.csv", "unsafe_path"),
        ("s3_path", "%2e%2e/b.csv", "unsafe_path"),
        ("s3_path", "tenants/stranger/a.csv", "unsafe_path"),
        ("s3_path", "tenants/owner/../stranger/a.csv", "unsafe_path"),
        ("s3_path", "a\nb.csv", "unsafe_path"),
        ("s3_path", " ", "unsafe_path"),
        ("s3_path", "x" * 901, "unsafe_path"),
        ("source", OMIT, "required"),
        ("source", "NOPE", "unknown_source"),
        ("source", "upi", "unknown_source"),
        ("source", " UPI", "unknown_source"),
        ("source", 1, "invalid"),
        ("source", "x" * 65, "max_length"),
        ("priority", "Normal", "invalid_choice"),
        ("priority", "highest", "invalid_choice"),
        ("priority", 2, "invalid_choice"),
        ("priority", True, "invalid_choice"),
        ("priority", None, "null"),
        ("priority", ["high"], "invalid_choice"),
        ("run_after", "2026-11-24T04:12:19", "offset_required"),
        ("run_after", "tomorrow", "invalid"),
        ("run_after", "2026-11-24", "invalid"),
        ("run_after", 1790000000, "invalid"),
        ("run_after", "2026-02-30T00:00:00Z", "invalid"),
        ("run_after", "2026-11-24T23:59:60Z", "invalid"),
        ("run_after", "2026-11-24T24:00:00Z", "invalid"),
        ("run_after", "2026-11-24T04:12:19+25:00", "invalid"),
        ("run_after", "2026-11-24T04:12:19Z\n", "invalid"),
        ("run_after", "\uff12026-11-24T04:12:19Z", "invalid"),
        ("run_after", "0001-01-01T00:00:00+05:30", "out_of_range"),
        ("run_after", "9999-12-31T23:59:59-01:00", "out_of_range"),
        ("max_attempts", 0, "min_value"),
        ("max_attempts", -1, "min_value"),
        ("max_attempts", 26, "max_value"),
        ("max_attempts", 2**63, "max_value"),
        ("max_attempts", 10**400, "max_value"),
        ("max_attempts", "3", "invalid"),
        ("max_attempts", "\uff13", "invalid"),
        ("max_attempts", 1.5, "invalid"),
        ("max_attempts", True, "invalid"),
        ("state", "succeeded", "unknown_field"),
        ("id", "x", "unknown_field"),
        ("attempts", [], "unknown_field"),
        ("__proto__", {}, "unknown_field"),
        ("a/b", 1, "unknown_field"),
    ],
)
def test_a_bad_field_is_named(owner: APIClient, field: str, value: Any, code: str):
    body = ingest_body("owner", **{field: value})
    if value is OMIT:
        del body[field]
    response = owner.post(INGEST, body, format="json")
    problem = assert_problem(response, 400, "invalid")
    assert places(problem) == {"/" + field.replace("/", "~1"): code}
    assert all(error["detail"] for error in problem["errors"])
    assert job_count() == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", OMIT),
        ("seconds", -0.001),
        ("seconds", 3600.001),
        ("seconds", "1"),
        ("seconds", True),
        ("seconds", 10**400),
        ("seconds", None),
        ("steps", 0),
        ("steps", 10_001),
        ("steps", 2.5),
        ("fail", "explode"),
        ("fail", False),
        ("s3_path", "x"),
    ],
)
def test_a_bad_field_of_a_sleep_is_named(owner: APIClient, field: str, value: Any):
    body = sleep_body(**{field: value})
    if value is OMIT:
        del body[field]
    problem = assert_problem(owner.post(SLEEP, body, format="json"), 400)
    assert list(places(problem)) == [f"/{field}"]
    assert job_count() == 0


def test_all_bad_fields_are_named_at_once(owner: APIClient):
    body = ingest_body("owner", s3_path="..", source="X", priority="x", more=1)
    problem = assert_problem(owner.post(INGEST, body, format="json"), 400)
    assert places(problem) == {
        "/s3_path": "unsafe_path",
        "/source": "unknown_source",
        "/priority": "invalid_choice",
        "/more": "unknown_field",
    }


# --- Refused bodies -------------------------------------------------------------------

GOOD = json.dumps(ingest_body("owner"))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"null", 400),
        (b"[]", 400),
        (b'"owner"', 400),
        (b"5", 400),
        (b"true", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (GOOD.encode("utf-16"), 400),
        (b"\xef\xbb\xbf" + GOOD.encode(), 400),
        (GOOD.replace('"UPI"', "NaN").encode(), 400),
        (GOOD.replace('"UPI"', '"UPI", "source": "UPI"').encode(), 400),
        (GOOD.replace("upi_", "upi\\u0000").encode(), 400),
        (GOOD.replace("upi_", "upi\\ud800").encode(), 400),
        (GOOD.replace('"UPI"', "[" * 100_000 + "]" * 100_000).encode(), 400),
        (GOOD.replace('"UPI"', "[" * 2_000 + "]" * 2_000).encode(), 400),
        (GOOD.replace('"UPI"', "9" * 5_000).encode(), 400),
        (b'{"a": "' + b"x" * 1024 * 1024 + b'"}', 413),
    ],
)
def test_a_bad_body_is_refused(owner: APIClient, body: bytes, status: int):
    response = owner.post(INGEST, body, content_type="application/json")
    assert_problem(response, status)
    assert job_count() == 0


def test_a_nul_in_the_path_names_the_field(owner: APIClient):
    body = ingest_body("owner", s3_path="a\0b.csv")
    problem = assert_problem(owner.post(INGEST, body, format="json"), 400)
    assert places(problem) == {"/s3_path": "nul_character"}


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/xml", "application/x-www-form-urlencoded"],
)
def test_another_content_type_is_refused(owner: APIClient, content_type: str):
    response = owner.generic("POST", INGEST, GOOD, content_type=content_type)
    assert_problem(response, 415)
    assert job_count() == 0


def test_a_form_is_refused(owner: APIClient):
    response = owner.post(INGEST, ingest_body("owner"), format="multipart")
    assert_problem(response, 415)


def test_a_body_without_a_length_is_refused(owner: APIClient):
    response = owner.generic("POST", INGEST, "", HTTP_TRANSFER_ENCODING="chunked")
    assert_problem(response, 411)


def test_a_charset_parameter_is_fine(owner: APIClient):
    response = owner.generic(
        "POST", INGEST, GOOD, content_type="application/json; charset=utf-8"
    )
    assert response.status_code == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_is_refused(owner: APIClient, method: str):
    response = owner.generic(method, INGEST, HTTP_X_HTTP_METHOD_OVERRIDE="POST")
    assert_problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "POST"
