"""What surrounds the API: health, metrics, its description, errors outside views."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from jobs.surroundings import Verdict, look_around
from taskqueue_site.celery import app
from tests.arrange import make_admin
from tests.integration.api import assert_problem

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def visitor() -> Client:
    """A browser that nobody has signed in with."""
    return Client(raise_request_exception=False)


# --- Health ---------------------------------------------------------------------------


def test_livez_touches_nothing(visitor: Client, django_assert_num_queries: Any):
    with django_assert_num_queries(0):
        response = visitor.get("/livez")
    assert response.status_code == 200
    assert response.content == b"ok"


def test_readyz_names_each_part(visitor: Client):
    response = visitor.get("/readyz")
    assert response.status_code == 200
    parts = {"database": "ok", "redis": "ok", "broker": "ok", "storage": "ok"}
    assert response.json() == {"status": "ready", "parts": parts}


def test_without_redis_it_is_degraded_and_ready(visitor: Client, settings: Any):
    settings.REDIS_URL = NOWHERE
    response = visitor.get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert response.json()["parts"]["redis"] == "unreachable"
    assert "127.0.0.1" not in response.content.decode()


@pytest.fixture
def frozen_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Redis that takes connections and says nothing, as one that was stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        for name in ("broker_url", "broker_write_url"):
            monkeypatch.setitem(app.conf, name, url)
        yield


@pytest.mark.usefixtures("frozen_broker")
@pytest.mark.timeout(25)
def test_a_broker_that_says_nothing_is_given_up(visitor: Client):
    """Its usual patience, 30 s and once more, would be past the limit of the test."""
    response = visitor.get("/readyz")
    assert response.json()["parts"]["broker"] == "unreachable"
    (sign,) = [sign for sign in look_around() if sign.part == "broker"]
    assert sign.verdict is Verdict.WRONG


def test_a_pending_migration_makes_it_unavailable(visitor: Client):
    last = MigrationRecorder.Migration.objects.filter(app="jobs").latest("id")
    last.delete()
    response = visitor.get("/readyz")
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()["parts"]["database"] == "migrations_pending"


# --- Metrics --------------------------------------------------------------------------


def test_metrics_are_for_the_bearer_of_the_token(visitor: Client, settings: Any):
    settings.METRICS_TOKEN = "s3cret"
    good = visitor.get("/metrics", headers={"Authorization": "Bearer s3cret"})
    assert good.status_code == 200
    assert b"django_http_requests_total" in good.content
    for value in (
        "Bearer s3cre",
        "Bearer ",
        "Bearer h\u00e9",
        "s3cret",
        "Basic s3cret",
    ):
        response = visitor.get("/metrics", headers={"Authorization": value})
        assert_problem(response, 401)
        assert response["WWW-Authenticate"] == "Bearer"


def test_without_a_token_set_an_empty_one_opens_nothing(visitor: Client, settings: Any):
    settings.METRICS_TOKEN = ""
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer"}):
        assert_problem(visitor.get("/metrics", headers=headers), 401)


def test_metrics_are_for_staff_too(visitor: Client):
    operator = make_admin()
    visitor.force_login(operator)
    assert visitor.get("/metrics").status_code == 200
    operator.is_staff = False
    operator.save()
    assert_problem(visitor.get("/metrics"), 401)


# --- Description ----------------------------------------------------------------------


def description() -> Any:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return json.loads(json.dumps(schema))


def test_the_description_is_the_one_in_the_documents(settings: Any):
    """After a wanted change: `SYNTHETIC_KINDS=1 manage.py spectacular --format
    openapi-json --file docs/openapi.json`."""
    settings.SYNTHETIC_KINDS = True
    written = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert description() == written


def test_the_description_is_served_and_valid(visitor: Client, settings: Any):
    settings.SYNTHETIC_KINDS = True
    response = visitor.get("/openapi.json")
    assert response["Content-Type"] == "application/json"
    served = response.json()
    validate_schema(served)
    assert served["openapi"].startswith("3.1")
    assert set(served["paths"]) == {
        *("/enqueue/ingest", "/enqueue/sleep", "/jobs", "/jobs/{job_id}"),
        *("/enqueue/reconcile", "/enqueue/report", "/jobs/{job_id}/report"),
        *("/jobs/{job_id}/rejects", "/jobs/{job_id}/conflicts"),
        *("/jobs/{job_id}/flags", "/jobs/{job_id}/corrections"),
        *("/jobs/{job_id}/summary", "/v1/files", "/v1/files/{file_id}"),
        *("/v1/uploads", "/v1/uploads/{token}"),
        *("/v1/files/{file_id}/{artifact}", "/v1/files/{file_id}/links"),
        *("/jobs/{job_id}/cancel", "/v1/dead-letters", "/v1/dead-letters/groups"),
        *("/v1/dead-letters/retry", "/v1/dead-letters/discard"),
        *("/v1/dead-letters/{job_id}", "/v1/dead-letters/{job_id}/retry"),
        *("/v1/dead-letters/{job_id}/discard", "/v1/dead-letters/{job_id}/restore"),
    }
    (scheme,) = served["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for operations in served["paths"].values():
        for operation in operations.values():
            if operation["operationId"] == "upload":
                assert "security" not in operation  # its address is its key
                continue
            assert operation["security"]
            content = operation["responses"]["401"]["content"]
            assert list(content) == ["application/problem+json"]


def test_without_synthetic_kinds_their_call_is_not_described(settings: Any):
    settings.SYNTHETIC_KINDS = False
    assert "/enqueue/sleep" not in description()["paths"]


def test_describing_warns_of_nothing(tmp_path: Path):
    file = str(tmp_path / "openapi.json")
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", file)


# --- Errors outside the API's views ---------------------------------------------------


def test_no_such_path(visitor: Client):
    for path in ("/nope", "/jobs/", "/enqueue/ingest/", "/enqueue"):
        assert_problem(visitor.get(path), 404, "not_found")


def test_the_address_alone_leads_to_the_admin(visitor: Client):
    assert visitor.get("/").headers["Location"] == "/admin/"


def test_the_admin_keeps_its_own_pages(visitor: Client):
    visitor.force_login(make_admin())
    response = visitor.get("/admin/nope/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_another_host(visitor: Client):
    assert_problem(visitor.get("/jobs", headers={"Host": "evil.example"}), 400)


def test_an_unexpected_exception_tells_the_log_alone(
    visitor: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def explode(_: Any) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr("taskqueue_site.metrics._is_staff", explode)
    response = visitor.get("/metrics")
    problem = assert_problem(response, 500, "internal_server_error")
    assert b"secret" not in response.content
    assert "a secret of the house" in caplog.text
    assert f"Request {problem['request_id']} failed" in caplog.text


@pytest.mark.parametrize("given", ["abc-123", "0d5cf3a2-c1b7.4c3f_x"])
def test_a_sane_request_id_comes_back(visitor: Client, given: str):
    response = visitor.get("/livez", headers={"X-Request-ID": given})
    assert response["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "<script>", "x" * 129, "\u00e9"])
def test_any_other_request_id_is_replaced(visitor: Client, given: str):
    answers = {
        visitor.get("/livez", headers={"X-Request-ID": given})["X-Request-ID"]
        for _ in range(2)
    }
    assert len(answers) == 2
    assert given not in answers


def test_only_the_docs_and_the_admin_relax_the_policy(visitor: Client):
    for path in ("/livez", "/jobs", "/openapi.json", "/nope"):
        policy = visitor.get(path)["Content-Security-Policy"]
        assert "unsafe" not in policy, path
