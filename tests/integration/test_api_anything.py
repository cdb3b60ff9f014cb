"""Whatever a body holds, the API accepts it or says what is wrong; it never breaks."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from jobs.models import Job
from tenants.scoping import all_tenants
from tests.arrange import make_dead_job, make_tenant, reread
from tests.integration.api import INGEST, REPORT, SLEEP, assert_problem, client_of

pytestmark = pytest.mark.django_db

GOOD: dict[str, dict[str, Any]] = {
    INGEST: {"tenant_id": "owner", "s3_path": "a.csv", "source": "UPI"},
    SLEEP: {"tenant_id": "owner", "seconds": 1, "steps": 2, "fail": "retryable"},
    REPORT: {
        "tenant_id": "owner",
        "what": "transactions",
        "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2026-02-01T00:00:00Z",
        "filters": {"status": "FAILED"},
    },
}
COMMON = {"tenant_id", "priority", "run_after", "max_attempts"}
FIELDS = [(path, name) for path in GOOD for name in COMMON | GOOD[path].keys()]

#: What once broke something somewhere; each is tried in each place.
NASTY_TEXTS = [
    *("", " ", "\0", "a\0b", "\ud800", "a\udfff", "\ufeff", "\u202e", "\uff11"),
    *("../..", "/etc/passwd", "tenants/owner/a", "%00", "NaN", "owner\n", "~/~1"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1e999", "x" * 2000),
]
NASTY: list[Any] = [
    *NASTY_TEXTS,
    *(2**15, 2**31, 2**63, -(2**63), 10**400, -1, 0, 1.5, 1e308, 5e-324, -0.0),
    *(float("nan"), float("inf"), True, None, [], {}, [[]], {"": ""}),
]
TEXT = st.text(st.characters(), max_size=40)  # lone surrogates and NUL included
SCALARS = (
    st.sampled_from(NASTY)
    | TEXT
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
)
KEYS = st.sampled_from(NASTY_TEXTS) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)
MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def synthetic(settings: Any) -> None:
    settings.SYNTHETIC_KINDS = True


@pytest.fixture
def owner() -> APIClient:
    """A client of the tenant `owner`."""
    make_tenant("owner")
    return client_of("owner")


def job_count() -> int:
    with all_tenants(reason="test"):
        return Job.objects.count()


def assert_accepted_or_refused(client: APIClient, path: str, body: bytes) -> None:
    before = job_count()
    response = client.post(path, body, content_type="application/json")
    if response.status_code == 202:
        shown = response.json()
        waiting = client.get(response["Location"]).json()
        assert waiting.pop("waiting").keys() >= {"waits_for", "sentence"}
        assert waiting == shown
        assert job_count() == before + 1
        return
    assert response.status_code in {400, 403, 413}, (response.content, body)
    assert_problem(response, response.status_code)
    assert job_count() == before


@pytest.mark.parametrize(("path", "field"), sorted(FIELDS))
def test_every_nasty_value_of_a_field(owner: APIClient, path: str, field: str):
    for value in NASTY:
        body = json.dumps({**GOOD[path], field: value}).encode()
        assert_accepted_or_refused(owner, path, body)


@pytest.mark.parametrize("path", GOOD)
def test_every_nasty_name_of_a_field(owner: APIClient, path: str):
    for name in NASTY_TEXTS:
        body = json.dumps({**GOOD[path], name: 1}).encode()
        assert_accepted_or_refused(owner, path, body)


@pytest.mark.parametrize(("path", "field"), sorted(FIELDS))
@MANY
@given(value=VALUES, as_utf8=st.booleans())
def test_any_value_of_a_field(
    owner: APIClient, path: str, field: str, value: Any, as_utf8: bool
):
    text = json.dumps({**GOOD[path], field: value}, ensure_ascii=not as_utf8)
    assert_accepted_or_refused(owner, path, text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("path", GOOD)
@MANY
@given(value=VALUES)
def test_any_json_as_the_body(owner: APIClient, path: str, value: Any):
    assert_accepted_or_refused(owner, path, json.dumps(value).encode())


@pytest.mark.parametrize("path", GOOD)
@MANY
@given(body=st.binary(max_size=200))
def test_any_bytes_as_the_body(owner: APIClient, path: str, body: bytes):
    assert_accepted_or_refused(owner, path, body)


# --- Decisions about dead letters -----------------------------------------------------

LETTERS = "/v1/dead-letters"
DECISIONS: dict[str, dict[str, Any]] = {
    "/retry": {"code": "x", "died_before": "2026-11-24T09:42:19Z", "dry_run": False},
    "/discard": {"all": True, "reason": "x"},
    "/{job}/retry": {"payload": {"seconds": 1}, "reason": "x"},
    "/{job}/discard": {"reason": "x"},
    "/{job}/restore": {"reason": "x"},
}
DECIDED = [
    *((path, name) for path in DECISIONS for name in DECISIONS[path]),
    *(("/discard", name) for name in ("job_ids", "kind", "fingerprint")),
]


class Decider:
    """A client of `owner` with a dead letter, beside one of `stranger`."""

    def __init__(self, client: APIClient) -> None:
        self.client = client
        make_tenant("stranger")
        self.foreign = make_dead_job("stranger")
        self.mine = make_dead_job("owner")

    def try_it(self, path: str, body: bytes) -> None:
        """Send a body: it is followed, or changes nothing; never another tenant's."""
        target = LETTERS + path.format(job=self.mine.pk)
        response = self.client.post(target, body, content_type="application/json")
        if response.status_code in {200, 202}:
            self.mine = make_dead_job("owner")
        else:
            assert response.status_code in {400, 413}, (response.content, body)
            assert_problem(response, response.status_code)
        for job in (self.mine, self.foreign):
            assert (reread(job).state, reread(job).discarded_at) == ("dead", None)


@pytest.fixture
def decider(owner: APIClient) -> Decider:
    return Decider(owner)


@pytest.mark.parametrize(("path", "field"), sorted(DECIDED))
def test_every_nasty_value_in_a_decision(decider: Decider, path: str, field: str):
    for value in NASTY:
        body = json.dumps({**DECISIONS[path], field: value}).encode()
        decider.try_it(path, body)


@pytest.mark.parametrize("path", DECISIONS)
@MANY
@given(value=VALUES)
def test_any_json_as_a_decision(decider: Decider, path: str, value: Any):
    decider.try_it(path, json.dumps(value).encode())


@MANY
@given(value=VALUES, name=KEYS)
def test_any_payload_for_a_retry(decider: Decider, value: Any, name: str):
    for payload in (value, {"seconds": value}, {"seconds": 1, name: value}):
        body = json.dumps({"payload": payload}).encode()
        decider.try_it("/{job}/retry", body)
