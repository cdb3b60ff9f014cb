"""Compressed files are loaded as what is in them, and go on where they were left."""

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from storages.backends.s3 import S3Storage

from ingestion import loader, storage
from ingestion.handlers import INGEST
from ingestion.models import IngestedFile
from jobs import handlers, pressure, runner, sweeps
from jobs.audit import audit
from jobs.ledger import AttemptSupersededError
from jobs.models import Job, UsageEvent
from taskqueue_site.settings import _object_store
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import dispatch, make_job, make_tenant, reread, run
from tests.integration.ingesting import Ingest, counts, file_of, row, stored, text
from tests.totals_source import statement

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = text(*(row(n, **({"amount": "x"} if n == 7 else {})) for n in range(2000)))
PAYLOAD = {"s3_path": "a.csv", "source": "UPI"}


def zipped(content: bytes, name: str = "export/any name.txt") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


PACKED: dict[str, bytes] = {
    "gzip": gzip.compress(CONTENT),
    "members": gzip.compress(CONTENT[:999]) + gzip.compress(CONTENT[999:]),
    "zip": zipped(CONTENT),
}


@pytest.fixture(params=["folder", "s3"])
def put(
    request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bytes], Job]:
    """A function that stores a file in each kind of store, and enqueues it."""
    backend: Any = FileSystemStorage(location=tmp_path)
    if request.param == "s3":
        url = request.getfixturevalue("s3_storage_url")
        backend = S3Storage(**_object_store(url)["OPTIONS"])
    monkeypatch.setattr(storage, "storages", {"default": backend})
    make_tenant("t1")

    def put(content: bytes) -> Job:
        key = storage.object_key("t1", "a.csv")
        storage.store().write(key, io.BytesIO(content))
        return make_job("t1", kind="ingest", payload=PAYLOAD)

    return put


Put = Callable[[bytes], Job]


@pytest.mark.parametrize("how", PACKED)
def test_a_compressed_file_is_loaded_as_what_is_in_it(put: Put, how: str):
    job = run(put(PACKED[how]))
    assert counts(job) == (2000, 1999, 0, 0, 1)
    assert len(stored()) == 1999
    size = len(PACKED[how])
    assert job.progress == {"done": size, "total": size, "unit": "bytes"}
    with all_tenants(reason="test"):
        usage = UsageEvent.objects.filter(job=job, meter="bytes")
        assert sum(usage.values_list("quantity", flat=True)) == len(CONTENT)
    assert file_of(job).plain_size == len(CONTENT)
    assert audit() == []


@pytest.mark.parametrize("how", PACKED)
def test_it_goes_on_after_a_loss_and_tells_how_far_it_is(
    put: Put, monkeypatch: pytest.MonkeyPatch, settings: Any, how: str
):
    settings.INGEST_CHUNK_ROWS = 700
    job = put(PACKED[how])
    real, calls = loader.load, []

    def dies(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise AttemptSupersededError(0)
        return real(*args)

    monkeypatch.setattr(loader, "load", dies)
    attempt_id = dispatch(job)
    runner.run(attempt_ids=[attempt_id], worker="w1")
    progress = reread(job).progress
    assert 0 < progress["done"] <= progress["total"] == len(PACKED[how])
    with all_tenants(reason="test"):
        sweeps.lose_of_worker(worker="w1", attempt_ids=[attempt_id], max_losses=3)
    assert counts(run(job)) == (2000, 1999, 0, 0, 1)
    assert len(calls) == 4
    assert len(stored()) == 1999


def test_every_attempt_gets_further_however_soon_it_gives_way(
    put: Put, monkeypatch: pytest.MonkeyPatch, settings: Any
):
    """A slow way back to where it was must not use up the whole quantum."""
    settings.INGEST_CHUNK_ROWS = 700
    hasty = replace(INGEST, quantum_us=0)
    monkeypatch.setitem(handlers._kinds, "ingest", hasty)
    monkeypatch.setattr(pressure, "should_yield", lambda **_: True)
    job = put(PACKED["gzip"])
    attempts = 0
    while reread(job).state == "queued":
        run(job)
        attempts += 1
        assert attempts < 10
    assert counts(reread(job)) == (2000, 1999, 0, 0, 1)
    assert attempts >= 3


@pytest.mark.parametrize(
    ("content", "code", "states"),
    [
        (PACKED["gzip"][:-20], "damaged_archive", ["failed"]),
        (zipped(CONTENT, "../../a.csv"), "unusable_archive", ["failed"]),
        (zipped(text() + bytes([10]) * 5_000_000), "archive_too_large", ["failed"]),
    ],
    ids=["cut", "name", "bomb"],
)
def test_a_file_that_cannot_be_unpacked_is_dead_with_its_reason(
    put: Put, content: bytes, code: str, states: list[str]
):
    job = run(put(content))
    assert (job.state, job.error["code"]) == ("dead", code)
    with tenant_scope("t1"):
        assert list(IngestedFile.objects.values_list("state", flat=True)) == states


def test_how_far_a_file_may_unpack_is_a_setting(put: Put, settings: Any):
    settings.INGEST_UNPACKED_MAX_BYTES = len(CONTENT) - 1
    job = run(put(PACKED["gzip"]))
    assert (job.state, job.error["code"]) == ("dead", "archive_too_large")


# --- With what else is done with a file -----------------------------------------------


@pytest.mark.usefixtures("totals_sources", "small_chunks")
def test_a_file_that_is_read_twice_is_unpacked_twice(ingest: Ingest):
    packed = gzip.compress(statement(*(f"R|{n}|C|10.00" for n in range(9))))
    job = ingest(packed, source="TOTALS")
    assert counts(job) == (9, 9, 0, 0, 0)
    size = 2 * len(packed)
    assert job.progress == {"done": size, "total": size, "unit": "bytes"}


@pytest.mark.usefixtures("totals_sources", "small_chunks")
def test_of_a_damaged_one_nothing_is_loaded(ingest: Ingest):
    packed = gzip.compress(statement(*(f"R|{n}|C|10.00" for n in range(9))))
    job = ingest(packed[:-8] + bytes(8), source="TOTALS")
    assert (job.state, job.error["code"]) == ("dead", "damaged_archive")
    assert stored() == []


@pytest.mark.usefixtures("small_chunks")
def test_the_same_content_is_known_again(ingest: Ingest):
    packed = zipped(text(row(1), row(2)))
    first = ingest(packed)
    again = ingest(packed, path="other.zip")
    assert again.result["same_as_file"] == file_of(first).pk


def test_rejected_rows_are_handed_back_unpacked(ingest: Ingest, objects: Path):
    job = ingest(gzip.compress(text(row(1), row(2, amount="x"))), path="a.txt.gz")
    path = job.result["corrections_path"]
    assert path.endswith(".txt")
    assert (objects / path).read_bytes() == text(row(2, amount="x"))
