"""How tests speak to the API: as the bearer of a tenant's key."""

from typing import Any

from django.utils import timezone
from rest_framework.test import APIClient

from tenants.scoping import all_tenants
from tenants.services import api_key_create

INGEST = "/enqueue/ingest"
SLEEP = "/enqueue/sleep"
REPORT = "/enqueue/report"


def make_key(slug: str, **options: Any) -> str:
    """Create an API key of a tenant; returns its text."""
    with all_tenants(reason="test"):
        _, text = api_key_create(slug=slug, now=timezone.now(), **options)
    return text


def bearer(key: str) -> APIClient:
    """Return a client that sends a key, and lets no exception out of a view pass."""
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


def client_of(slug: str) -> APIClient:
    """Return a client that speaks for a tenant."""
    return bearer(make_key(slug))


def ingest_body(tenant: str, **changes: Any) -> dict[str, Any]:
    """Return a body that `/enqueue/ingest` accepts, with some fields changed."""
    body = {"tenant_id": tenant, "s3_path": "upi_sample.csv", "source": "UPI"}
    return body | changes


def assert_problem(response: Any, status: int, code: str | None = None) -> Any:
    """Check that an answer is a well-formed problem document; returns it."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    for name in ("type", "title", "detail", "instance", "code", "request_id"):
        assert isinstance(problem[name], str), name
    assert problem["status"] == status
    assert problem["title"]
    assert problem["request_id"] == response["X-Request-ID"]
    assert code in {None, problem["code"]}
    return problem


def places(problem: Any) -> dict[str, str]:
    """Return the code for each place that a problem names."""
    return {
        error.get("pointer", error.get("parameter")): error["code"]
        for error in problem["errors"]
    }
