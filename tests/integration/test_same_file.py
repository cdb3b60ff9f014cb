"""A file that was loaded before is known again by its content."""

from pathlib import Path
from typing import Any

import pytest

from ingestion import digest, handlers, loader, recognising
from ingestion.models import IngestedFile
from ingestion.sources import registry
from jobs.audit import audit
from jobs.ledger import AttemptSupersededError
from jobs.models import UsageEvent
from tenants.scoping import all_tenants
from tests.arrange import make_job, make_tenant, run
from tests.integration.ingesting import (
    Ingest,
    counts,
    file_of,
    interrupted,
    lose_attempt,
    put,
    row,
    text,
)

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = text(row(1), row(2), row(2, amount="9.00"), row(3, amount="x"))
COUNTS = (4, 2, 0, 1, 1)
PAYLOAD = {"s3_path": "a.csv", "source": "UPI"}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was given to the loader so far."""
    found: list[Any] = []
    real = loader.load

    def counting(*args: Any) -> Any:
        found.append(args)
        return real(*args)

    monkeypatch.setattr(loader, "load", counting)
    return found


def test_the_same_content_gets_the_first_result_without_a_load(
    ingest: Ingest, loads: list[Any]
):
    first = ingest(CONTENT)
    assert counts(first) == COUNTS
    loads.clear()
    again = ingest(CONTENT, path="another/name.csv")
    assert loads == []
    assert counts(again) == COUNTS
    assert again.result == (first.result or {}) | {
        "file_id": file_of(again).pk,
        "same_as_file": file_of(first).pk,
    }
    assert again.progress["done"] == again.progress["total"] == len(CONTENT)
    third = ingest(CONTENT)
    assert third.result["same_as_file"] == file_of(first).pk
    with all_tenants(reason="test"):
        used = UsageEvent.objects.filter(meter__in=["rows", "bytes"])
        assert set(used.values_list("job_id", flat=True)) == {first.pk}
    assert audit() == []


def test_a_file_that_is_known_says_so_and_brings_nothing(ingest: Ingest):
    first, again = file_of(ingest(CONTENT)), file_of(ingest(CONTENT))
    assert again.state == "loaded"
    assert again.loaded_at is not None
    assert again.same_as_id == first.pk
    assert again.content_digest == first.content_digest != ""
    assert (again.rows, again.inserted) == (0, 0)


def test_one_byte_makes_another_file(ingest: Ingest):
    ingest(CONTENT)
    other = CONTENT.replace(b"asha", b"usha")
    assert len(other) == len(CONTENT)
    assert "same_as_file" not in ingest(other).result
    assert "same_as_file" in ingest(other).result


@pytest.mark.parametrize("change", ["tenant", "version", "state", "reload"])
def test_it_is_loaded_where_the_first_does_not_count(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch, change: str
):
    first = ingest(CONTENT)
    options: dict[str, Any] = {}
    match change:
        case "tenant":
            make_tenant("t2")
            options = {"tenant": "t2"}
        case "version":
            newer = registry.SOURCES["UPI"].__class__(
                name="UPI", read=registry.SOURCES["UPI"].read, version="another"
            )
            monkeypatch.setattr(registry, "SOURCES", {"UPI": newer})
        case "state":
            with all_tenants(reason="test"):
                IngestedFile.objects.filter(job=first).update(state="failed")
        case "reload":
            options = {"reload": True}
    again = ingest(CONTENT, **options)
    assert "same_as_file" not in again.result
    assert again.result["rows"] == 4


def test_without_a_file_of_that_size_the_content_is_read_once(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr("ingestion.handlers.recognise")
    ingest(CONTENT)
    assert counts(ingest(CONTENT + b"\n", path="b.csv"))[0] == 4


# --- Interruptions --------------------------------------------------------------------


@pytest.mark.parametrize("step", range(7))
def test_recognising_goes_on_where_it_was(
    ingest: Ingest,
    loads: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
):
    monkeypatch.setattr("ingestion.storage.BLOCK_BYTES", 50)
    monkeypatch.setattr(digest, "BLOCK_BYTES", 64)
    monkeypatch.setattr(recognising, "STEP_BYTES", 64)
    first = ingest(CONTENT)
    loads.clear()
    job = run(interrupted(PAYLOAD, step, monkeypatch))
    assert job.result["same_as_file"] == file_of(first).pk
    assert loads == []
    assert file_of(job).content_digest == file_of(first).content_digest


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("step", range(5))
def test_the_digest_of_an_interrupted_load_is_that_of_the_content(
    ingest: Ingest,
    objects: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
):
    monkeypatch.setattr("ingestion.storage.BLOCK_BYTES", 50)
    monkeypatch.setattr(digest, "BLOCK_BYTES", 64)
    content = text(*(row(n) for n in range(10)))
    put(objects, content)
    job = run(interrupted(PAYLOAD, step, monkeypatch))
    assert counts(job) == (10, 10, 0, 0, 0)
    make_tenant("t2")
    whole = ingest(content, tenant="t2")
    assert file_of(job).content_digest == file_of(whole).content_digest


def test_an_attempt_lost_after_the_close_is_gone_on_with(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    def dies(*_: Any) -> Any:
        raise AttemptSupersededError(0)

    put(objects, CONTENT)
    job = make_job("t1", kind="ingest", payload=PAYLOAD)
    with monkeypatch.context() as patch:
        patch.setattr(handlers, "result_of", dies)
        lose_attempt(job)
    assert file_of(job).state == "loaded"
    assert counts(run(job)) == COUNTS
    assert file_of(job).state == "loaded"
