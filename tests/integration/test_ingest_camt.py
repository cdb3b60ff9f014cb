"""Bank statements in XML, from a stored file to rows: what a line means there."""

from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from ingestion import storage
from ingestion.models import KeptOutRow, Transaction
from jobs.models import Job
from tenants.scoping import tenant_scope
from tests import camt_files as camt
from tests.arrange import make_job, make_tenant, run
from tests.integration.ingesting import lose_after_chunk

pytestmark = pytest.mark.django_db(transaction=True)

BATCH = camt.entry(
    "10.00", camt.tag("NtryDtls", *(camt.details("2.50") for _ in range(4)))
)
#: All in one line, as many banks write it: 7 rows and 2 rejects in two statements.
FILE = camt.document(
    camt.statement(camt.entry(), camt.entry("x"), BATCH),
    camt.statement(camt.entry("y"), camt.entry("3.00"), camt.entry("4.00"), id="S2"),
)


@pytest.fixture(autouse=True)
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A folder with the file as the object store, a tenant, and small chunks."""
    folder = FileSystemStorage(location=tmp_path)
    monkeypatch.setattr(storage, "storages", {"default": folder})
    make_tenant("t1")
    file = tmp_path / "tenants" / "t1" / "a.xml"
    file.parent.mkdir(parents=True)
    file.write_text(FILE)
    settings.INGEST_CHUNK_ROWS = 3


def enqueued(**options: Any) -> Job:
    payload = {"s3_path": "a.xml", "source": "CAMT053", **options}
    return make_job("t1", kind="ingest", payload=payload)


def counts(job: Job) -> tuple[int, ...]:
    assert job.state == "succeeded", job.error
    names = ("rows", "inserted", "duplicate", "conflicting", "rejected")
    return tuple(job.result[name] for name in names)


def kept_out() -> list[int]:
    with tenant_scope("t1"):
        return sorted(KeptOutRow.objects.values_list("line", flat=True))


def test_a_statement_in_one_line_becomes_transactions():
    assert counts(run(enqueued())) == (9, 7, 0, 0, 2)
    assert kept_out() == [2, 7]
    with tenant_scope("t1"):
        found = Transaction.objects.order_by("id").values_list("txn_id", "amount")
        assert sum(amount for _, amount in found) == 27
        assert f"CAMT053:{camt.ACCOUNT}:S1:3.4" in dict(found)
    assert counts(run(enqueued(reload=True))) == (9, 0, 7, 0, 2)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_a_load_resumes_in_the_middle_of_a_line(
    monkeypatch: pytest.MonkeyPatch, chunk: int
):
    job = enqueued()
    lose_after_chunk(job, monkeypatch, chunk)
    assert counts(run(job)) == (9, 7, 0, 0, 2)
    assert kept_out() == [2, 7]
