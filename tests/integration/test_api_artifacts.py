"""The downloads of a load: rejected and conflicting rows as CSV."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import storages
from django.db import connection
from rest_framework.test import APIClient

from ingestion.storage import BLOCK_BYTES, store
from jobs.models import Job
from taskqueue_site.settings import _object_store
from tests.arrange import make_job, make_tenant, run
from tests.integration.api import assert_problem, client_of
from tests.integration.ingesting import row, text

pytestmark = pytest.mark.django_db(transaction=True)

NOWHERE = "s3://bucket?endpoint=http://127.0.0.1:1"
UNKNOWN_ID = "01a20bcf-c6ee-724b-878c-e659f896227f"
HEADER = "line,column,reason,value"

UseStore = Callable[[str], None]


@pytest.fixture
def use_store(settings: Any) -> UseStore:
    """A function that makes the product keep its objects elsewhere."""

    def use_store(url: str) -> None:
        settings.STORAGES = {**settings.STORAGES, "default": _object_store(url)}

    return use_store


@pytest.fixture(params=["folder", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """The URL of each kind of store in turn, empty."""
    if request.param == "folder":
        return str(tmp_path.as_uri())
    return str(request.getfixturevalue("s3_storage_url"))


@pytest.fixture(autouse=True)
def owner(use_store: UseStore, store_url: str) -> APIClient:
    """A client of the tenant `owner`, on that store."""
    use_store(store_url)
    make_tenant("owner")
    return client_of("owner")


def ingest(*lines: str) -> Job:
    store().write("tenants/owner/a.csv", io.BytesIO(text(*lines)))
    payload = {"s3_path": "a.csv", "source": "UPI"}
    return run(make_job("owner", kind="ingest", payload=payload))


def links(client: APIClient, job: Job) -> Any:
    return client.get(f"/jobs/{job.pk}").json()["links"]


def body(response: Any) -> bytes:
    assert response.status_code == 200
    found = b"".join(response.streaming_content)
    response.close()
    return found


def test_the_links_lead_to_the_rows_kept_out(owner: APIClient):
    job = ingest(row(1), row(1, amount="11.00"), row(2, amount="x"))
    found = links(owner, job)
    own = f"/jobs/{job.pk}"
    assert found == {
        "self": own,
        "rejects": f"{own}/rejects",
        "conflicts": f"{own}/conflicts",
        "corrections": f"{own}/corrections",
        "summary": f"{own}/summary",
    }
    for name, line in (
        ("rejects", "4,amount,invalid_amount,x"),
        ("conflicts", "3,txn_id,conflicting,T1"),
    ):
        response = owner.get(found[name])
        content = body(response)
        assert content.decode().splitlines() == [HEADER, line]
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        assert response["Content-Length"] == str(len(content))
        named = f'attachment; filename="{name}-{job.pk}.csv"'
        assert response["Content-Disposition"] == named
        assert response["X-Content-Type-Options"] == "nosniff"


def test_a_list_links_as_the_job_does(owner: APIClient):
    job = ingest(row(1, amount="x"))
    (item,) = owner.get("/jobs").json()["results"]
    assert item["links"] == links(owner, job)
    assert "rejects" in item["links"]


def test_a_file_of_many_blocks_comes_whole(owner: APIClient):
    job = ingest(row(1, amount="x"))
    content = bytes(range(256)) * (BLOCK_BYTES // 256 * 2) + b"tail"
    store().write(job.result["rejects_path"], io.BytesIO(content))
    assert body(owner.get(f"/jobs/{job.pk}/rejects")) == content


def test_no_transaction_is_open_while_it_streams(owner: APIClient):
    job = ingest(row(1, amount="x"))
    response = owner.get(f"/jobs/{job.pk}/rejects")
    assert not connection.in_atomic_block
    assert body(response)


@pytest.mark.parametrize("accept", ["text/csv", "application/json", "*/*", "a/b"])
def test_any_accept_will_do(owner: APIClient, accept: str):
    job = ingest(row(1, amount="x"))
    path = f"/jobs/{job.pk}/rejects"
    assert body(owner.get(path, headers={"Accept": accept}))
    wrong = owner.get(f"/jobs/{UNKNOWN_ID}/rejects", headers={"Accept": accept})
    assert_problem(wrong, 404, "not_found")


def test_its_head_can_be_asked_for(owner: APIClient):
    job = ingest(row(1, amount="x"))
    response = owner.head(f"/jobs/{job.pk}/rejects")
    assert response.status_code == 200
    assert int(response["Content-Length"]) > len(HEADER)


def test_a_clean_load_has_neither(owner: APIClient):
    job = ingest(row(1))
    assert set(links(owner, job)) == {"self", "summary"}
    for name in ("rejects", "conflicts"):
        assert_problem(owner.get(f"/jobs/{job.pk}/{name}"), 404, "not_found")


def test_a_job_that_is_not_done_has_neither(owner: APIClient):
    job = make_job("owner", kind="ingest", payload={})
    assert_problem(owner.get(f"/jobs/{job.pk}/rejects"), 404, "not_found")


def test_another_kind_has_neither(owner: APIClient):
    job = run(make_job("owner"))
    assert_problem(owner.get(f"/jobs/{job.pk}/rejects"), 404, "not_found")


def test_a_stranger_finds_nothing(owner: APIClient):
    job = ingest(row(1, amount="x"))
    make_tenant("stranger")
    path = f"/jobs/{job.pk}/rejects"
    assert owner.get(path).status_code == 200
    stranger = client_of("stranger")
    hidden = assert_problem(stranger.get(path), 404, "not_found")
    absent = assert_problem(stranger.get(f"/jobs/{UNKNOWN_ID}/rejects"), 404)
    assert hidden["detail"] == absent["detail"]
    assert_problem(APIClient().get(path), 401)


@pytest.mark.parametrize(
    "path",
    ["no-id/rejects", f"{UNKNOWN_ID}/other", f"{UNKNOWN_ID}/rejects/", "%00/conflicts"],
)
def test_no_such_path(owner: APIClient, path: str):
    assert_problem(owner.get(f"/jobs/{path}"), 404, "not_found")


def test_a_file_the_store_lost_is_a_404(owner: APIClient):
    job = ingest(row(1, amount="x"))
    storages["default"].delete(job.result["rejects_path"])
    assert_problem(owner.get(f"/jobs/{job.pk}/rejects"), 404, "not_found")


def test_a_store_that_is_away_is_a_503(owner: APIClient, use_store: UseStore):
    job = ingest(row(1, amount="x"))
    use_store(NOWHERE)
    response = owner.get(f"/jobs/{job.pk}/rejects")
    problem = assert_problem(response, 503, "store_unavailable")
    assert int(response["Retry-After"]) > 0
    assert "127.0.0.1" not in problem["detail"]
