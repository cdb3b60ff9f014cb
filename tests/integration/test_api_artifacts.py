"""The downloads of a load: rejected and conflicting rows as CSV."""

from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.utils import timezone
from rest_framework.test import APIClient

from ingestion import storage
from jobs.models import Job
from tenants.scoping import all_tenants
from tenants.services import api_key_create
from tests.arrange import make_job, make_tenant, run
from tests.integration.test_ingest import put, row, text

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the object store, and two tenants."""
    folder = FileSystemStorage(location=tmp_path)
    monkeypatch.setattr(storage, "storages", {"default": folder})
    make_tenant("t1")
    make_tenant("stranger")
    return tmp_path


def client(tenant: str) -> APIClient:
    with all_tenants(reason="test"):
        _, key = api_key_create(slug=tenant, now=timezone.now())
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return caller


def ingest(objects: Path, *lines: str) -> Job:
    put(objects, text(*lines))
    payload = {"s3_path": "a.csv", "source": "UPI"}
    return run(make_job("t1", kind="ingest", payload=payload))


def body(response: Any) -> str:
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/csv")
    assert response["Content-Disposition"].startswith("attachment")
    return b"".join(response.streaming_content).decode()


def test_the_links_lead_to_the_rows_kept_out(objects: Path):
    job = ingest(objects, row(1), row(1, amount="11.00"), row(2, amount="x"))
    owner = client("t1")
    links = owner.get(f"/jobs/{job.pk}").json()["links"]
    assert body(owner.get(links["rejects"])).splitlines() == [
        "line,column,reason,value",
        "4,amount,invalid_amount,x",
    ]
    assert body(owner.get(links["conflicts"])).splitlines() == [
        "line,column,reason,value",
        "3,txn_id,conflicting,T1",
    ]


def test_a_clean_load_has_neither(objects: Path):
    job = ingest(objects, row(1))
    owner = client("t1")
    assert set(owner.get(f"/jobs/{job.pk}").json()["links"]) == {"self"}
    for name in ("rejects", "conflicts"):
        answer = owner.get(f"/jobs/{job.pk}/{name}")
        assert answer.status_code == 404
        assert answer["Content-Type"] == "application/problem+json"


def test_a_stranger_finds_nothing(objects: Path):
    job = ingest(objects, row(2, amount="x"))
    assert client("t1").get(f"/jobs/{job.pk}/rejects").status_code == 200
    assert client("stranger").get(f"/jobs/{job.pk}/rejects").status_code == 404
    assert APIClient().get(f"/jobs/{job.pk}/rejects").status_code == 401


def test_a_file_the_store_lost_is_a_404(objects: Path):
    job = ingest(objects, row(2, amount="x"))
    (objects / job.result["rejects_path"]).unlink()
    assert client("t1").get(f"/jobs/{job.pk}/rejects").status_code == 404
