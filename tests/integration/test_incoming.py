"""A file that somebody brings: where it is put, and the job that loads it."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from ingestion import incoming, storage
from ingestion.incoming import EmptyFileError, PathTakenError
from ingestion.sources.registry import UnknownSourceError
from ingestion.storage import ObjectMissingError, UnsafePathError, store
from ingestion.uploads import UploadTooLargeError
from jobs.models import Job
from jobs.switches import NotAcceptingError
from taskqueue_site.settings import _object_store
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tests.arrange import make_tenant, run
from tests.integration.ingesting import counts, row, text

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
FILE = text(row(1), row(2))


@pytest.fixture(params=["folder", "s3"], autouse=True)
def tenant(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    """The tenant t1, on each kind of store in turn."""
    url = tmp_path.as_uri()
    if request.param == "s3":
        url = str(request.getfixturevalue("s3_storage_url"))
    settings.STORAGES = {**settings.STORAGES, "default": _object_store(url)}
    make_tenant("t1")


def bring(name: str = "upi.csv", content: bytes = FILE, **changes: Any) -> Job:
    values: dict[str, Any] = {"tenant": "t1", "source": "UPI", "now": NOW, **changes}
    return incoming.file_bring(
        name=name, content=io.BytesIO(content), size=len(content), **values
    )


def test_it_is_put_by_its_day_and_loaded():
    job = bring(now=timezone.now())
    day = timezone.now().astimezone(UTC).date().isoformat()
    assert job.payload == {"s3_path": f"uploads/{day}/upi.csv", "source": "UPI"}
    assert (job.tenant_id, job.kind, job.size) == ("t1", "ingest", len(FILE))
    assert counts(run(job))[:2] == (2, 2)


def test_what_lies_there_stays_and_the_next_gets_a_name_of_its_own():
    first, other = bring("a.csv.gz"), bring("a.csv.gz", b"other")
    path = other.payload["s3_path"]
    assert first.payload["s3_path"] == "uploads/2026-03-01/a.csv.gz"
    assert path.startswith("uploads/2026-03-01/a-")
    assert path.endswith(".csv.gz")
    for job, content in ((first, FILE), (other, b"other")):
        key = f"tenants/t1/{job.payload['s3_path']}"
        assert b"".join(store().blocks(store().stat(key), 0)) == content


def test_the_store_is_written_while_no_transaction_is_open(
    monkeypatch: pytest.MonkeyPatch,
):
    seen: list[bool] = []
    kept = type(store())
    write = kept.write

    def watched(*args: Any) -> None:
        seen.append(connection.in_atomic_block)
        write(*args)

    monkeypatch.setattr(kept, "write", watched)
    bring()
    assert seen == [False]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("C:\\bank\\upi.csv", "uploads/2026-03-01/upi.csv"),
        ("../../etc/passwd", "uploads/2026-03-01/passwd"),
        (" a b.csv ", "uploads/2026-03-01/a b.csv"),
    ],
)
def test_of_a_name_its_last_part_counts(name: str, path: str):
    assert bring(name).payload["s3_path"] == path


@pytest.mark.parametrize(
    ("name", "changes", "error"),
    [
        ("..", {}, UnsafePathError),
        ("", {}, UnsafePathError),
        ("a\n.csv", {}, UnsafePathError),
        ("${filename}", {}, UnsafePathError),
        ("ä" * 101, {}, UnsafePathError),
        ("a.csv", {"source": "NOPE"}, UnknownSourceError),
        ("a.csv", {"content": b""}, EmptyFileError),
        ("a.csv", {"content": b"x" * 1001}, UploadTooLargeError),
    ],
)
def test_what_is_refused_leaves_no_file_and_no_job(
    settings: Any, name: str, changes: Any, error: type[Exception]
):
    settings.UPLOAD_MAX_BYTES = 1000
    with pytest.raises(error):
        bring(name, **changes)
    assert_nothing()


def test_a_tenant_that_takes_nothing_keeps_the_file_out():
    with all_tenants(reason="test"):
        Tenant.objects.filter(slug="t1").update(is_accepting=False)
    with pytest.raises(NotAcceptingError):
        bring("a.csv")
    assert_nothing()


def test_where_no_free_path_is_found_nothing_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
):
    bring("a.csv")
    monkeypatch.setattr(incoming, "token_hex", lambda _: "abc")
    bring("a.csv", b"second")
    with pytest.raises(PathTakenError):
        bring("a.csv", b"third")
    key = "tenants/t1/uploads/2026-03-01/a-abc.csv"
    assert b"".join(store().blocks(store().stat(key), 0)) == b"second"


def assert_nothing() -> None:
    with all_tenants(reason="test"):
        assert not Job.objects.exists()
    with pytest.raises(ObjectMissingError):
        storage.store().stat("tenants/t1/uploads/2026-03-01/a.csv")
