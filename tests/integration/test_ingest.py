"""The ingest kind: a stored file becomes rows, counts and rejects."""

import gzip
import lzma
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from ingestion import loader, storage
from ingestion.models import IngestedFile, KeptOutRow
from jobs import deciding
from jobs.models import UsageEvent
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_job, make_tenant, run
from tests.integration.ingesting import (
    HEADER,
    Ingest,
    counts,
    lose_after_chunk,
    put,
    rejects,
    row,
    stored,
    text,
)

pytestmark = pytest.mark.django_db(transaction=True)

# --- The good way ---------------------------------------------------------------------


def test_a_file_becomes_transactions(ingest: Ingest):
    job = ingest(text(row(1, amount='"12,345.67"'), row(2, status="F")))
    assert counts(job) == (2, 2, 0, 0, 0)
    assert job.result["rejects_path"] is None
    first, second = stored()
    assert (first.tenant_id, first.source, first.txn_id) == ("t1", "UPI", "T1")
    assert str(first.amount) == "12345.67"
    assert first.currency == "INR"
    assert first.reference_id == "600000000001"
    assert first.txn_timestamp.isoformat() == "2026-01-15T04:30:00+00:00"
    assert first.raw_row["amount"] == "12,345.67"
    assert second.status == "FAILED"
    with tenant_scope("t1"):
        file = IngestedFile.objects.get()
    assert (file.state, file.rows, file.path) == ("loaded", 2, "a.csv")
    assert file.loaded_at is not None


def test_progress_and_usage_count_rows_and_bytes(ingest: Ingest):
    content = text(row(1), row(2, amount="x"))
    job = ingest(content)
    size = len(content)
    assert job.progress == {"done": size, "total": size, "unit": "bytes"}
    with all_tenants(reason="test"):
        events = UsageEvent.objects.filter(job=job, meter__in=["rows", "bytes"])
        used = dict(events.values_list("meter", "quantity"))
    assert used == {"rows": 2, "bytes": size}


def test_the_same_file_twice_changes_nothing(ingest: Ingest):
    content = text(row(1), row(2))
    assert counts(ingest(content)) == (2, 2, 0, 0, 0)
    assert counts(ingest(content, reload=True)) == (2, 0, 2, 0, 0)
    assert len(stored()) == 2


def test_the_same_payment_written_another_way_is_a_duplicate(ingest: Ingest):
    ingest(text(row(1, amount="1234.50")))
    same = row(1, amount='"1,234.50"', status="s", txn_timestamp="2026-01-15T04:30:00Z")
    assert counts(ingest(text(same))) == (1, 0, 1, 0, 0)


def test_tenants_do_not_share_ids(ingest: Ingest):
    make_tenant("t2")
    ingest(text(row(1)))
    assert counts(ingest(text(row(1)), tenant="t2")) == (1, 1, 0, 0, 0)
    assert len(stored("t1")) == len(stored("t2")) == 1


def test_a_conflict_is_kept_aside_and_never_overwrites(ingest: Ingest, objects: Path):
    ingest(text(row(1, amount="10.00")))
    job = ingest(text(row(1, amount="99.00"), row(2)))
    assert counts(job) == (2, 1, 0, 1, 0)
    assert str(stored()[0].amount) == "10.00"
    with tenant_scope("t1"):
        kept = KeptOutRow.objects.get()
    assert (kept.line, kept.why, kept.value) == (2, "conflicting", "T1")
    assert kept.raw_row["amount"] == "99.00"
    assert (objects / job.result["conflicts_path"]).is_file()


def test_an_id_twice_in_one_file(ingest: Ingest):
    job = ingest(text(row(1), row(1), row(1, amount="11.00"), row(2)))
    assert counts(job) == (4, 2, 1, 1, 0)
    assert str(stored()[0].amount) == "10.00"


# --- Rows that are refused ------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"amount": "1e5"}, "amount", "invalid_amount"),
        ({"amount": "NaN"}, "amount", "invalid_amount"),
        ({"amount": "1_000"}, "amount", "invalid_amount"),
        ({"amount": "-0.00"}, "amount", "negative_amount"),
        ({"amount": "1.005"}, "amount", "unsupported_precision"),
        (
            {"txn_timestamp": "2026-02-31 10:00:00"},
            "txn_timestamp",
            "invalid_timestamp",
        ),
        ({"status": "MAYBE"}, "status", "invalid_status"),
        ({"payee_vpa": "nobody"}, "payee_vpa", "invalid_vpa"),
        ({"remarks": "a\0b"}, "remarks", "nul_byte"),
        ({"remarks": "x" * 1_000_000}, "remarks", "field_too_long"),
        ({"remarks": ",extra"}, "", "wrong_field_count"),
        ({"remarks": "=1+1", "amount": "=1+1"}, "amount", "invalid_amount"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_row_is_named_and_the_rest_is_kept(
    ingest: Ingest, objects: Path, changes: dict[str, str], column: str, reason: str
):
    job = ingest(text(row(1), row(2, **changes), row(3)))
    assert counts(job) == (3, 2, 0, 0, 1)
    (reject,) = rejects(objects, job)
    assert list(reject) == ["line", "column", "reason", "value"]
    assert (reject["line"], reject["reason"]) == ("3", reason)
    assert reject["column"] == column
    assert [transaction.txn_id for transaction in stored()] == ["T1", "T3"]


def test_invalid_utf8_costs_its_row_only(ingest: Ingest, objects: Path):
    content = text(row(1), row(2, remarks="BYTE"), row(3)).replace(b"BYTE", b"\xff\xfe")
    job = ingest(content)
    assert counts(job) == (3, 2, 0, 0, 1)
    assert rejects(objects, job)[0]["reason"] == "invalid_utf8"


def test_lines_are_physical_lines(ingest: Ingest, objects: Path):
    job = ingest(text(row(1, remarks='"two\nlines"'), row(2, amount="x")))
    assert rejects(objects, job)[0]["line"] == "4"


def test_a_formula_in_a_reject_is_disarmed(ingest: Ingest, objects: Path):
    job = ingest(text(row(1, amount="=HYPERLINK(1)"), row(2, amount="-25.00")))
    assert [r["value"] for r in rejects(objects, job)] == ["'=HYPERLINK(1)", "-25.00"]


@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf", b""], ids=["bom", "plain"])
@pytest.mark.parametrize("newline", [b"\r\n", b"\n"], ids=["crlf", "lf"])
def test_bom_and_crlf_are_welcome(ingest: Ingest, prefix: bytes, newline: bytes):
    content = prefix + text(row(1), row(2)).replace(b"\n", newline)
    assert counts(ingest(content)) == (2, 2, 0, 0, 0)


def test_an_unknown_column_stays_in_raw_row(ingest: Ingest):
    content = f"{HEADER},Branch\n{row(1)},Pune\n".encode()
    assert counts(ingest(content)) == (1, 1, 0, 0, 0)
    assert stored()[0].raw_row["Branch"] == "Pune"


def test_a_header_only_is_a_day_without_payments(ingest: Ingest):
    assert counts(ingest(text())) == (0, 0, 0, 0, 0)


# --- Files that are refused -----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"a,b,c\n1,2,3\n", "wrong_header"),
        (text(row(1)).replace(b",amount,", b",", 1), "missing_column"),
        (text(row(1)).decode().encode("utf-16"), "unsupported_encoding"),
        (lzma.compress(text(row(1))), "compressed_file"),
        (gzip.compress(gzip.compress(text(row(1)))), "compressed_file"),
        (gzip.compress(b"%PDF-1.7"), "not_text"),
        (gzip.compress(b""), "empty_file"),
        (None, "object_missing"),
    ],
    ids=[
        *("empty", "header", "column", "utf16", "xz", "twice", "pdf", "nothing"),
        "missing",
    ],
)
def test_a_bad_file_is_dead_with_its_reason(
    ingest: Ingest, content: bytes | None, code: str
):
    job = ingest(content)
    assert (job.state, job.error["code"]) == ("dead", code)
    assert job.failed_count == 1
    with tenant_scope("t1"):
        states = list(IngestedFile.objects.values_list("state", flat=True))
    assert states == ([] if content is None else ["failed"])
    assert stored() == []


def test_a_dead_file_can_be_mended_and_retried(ingest: Ingest, objects: Path):

    job = ingest(None)
    put(objects, text(row(1)))
    with tenant_scope("t1"):
        deciding.jobs_revive(job_ids=[job.pk])
    assert counts(run(job)) == (1, 1, 0, 0, 0)


# --- Interruptions --------------------------------------------------------------------


def test_long_rows_make_small_chunks(ingest: Ingest, monkeypatch: pytest.MonkeyPatch):
    """A chunk is in memory as a whole, so it ends by bytes as well as by rows."""
    sizes: list[int] = []
    real = loader.load

    def counting(target: Any, batch: Any, rejects: Any) -> Any:
        sizes.append(len(batch.rows))
        return real(target, batch, rejects)

    monkeypatch.setattr(loader, "load", counting)
    monkeypatch.setattr("ingestion.reading.CHUNK_BYTES", 1000)
    lines = [row(n, remarks="x" * 450) for n in range(5)] + [row(9)]
    assert counts(ingest(text(*lines))) == (6, 6, 0, 0, 0)
    assert sizes == [2, 2, 2]


def test_a_file_of_too_many_columns_is_refused(ingest: Ingest):
    wide = HEADER + "".join(f",extra_{n}" for n in range(500))
    job = ingest(f"{wide}\n{row(1)}{',' * 500}\n".encode())
    assert (job.state, job.error["code"]) == ("dead", "too_many_columns")


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("chunk", [1, 2, 3, 4])
def test_a_load_resumes_after_its_last_chunk(
    ingest: Ingest, objects: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    """The chunk is lost before or after its own transaction, in turn."""
    bad = {2: {"amount": "x"}, 8: {"amount": "y"}}
    put(objects, text(*(row(n, **bad.get(n, {})) for n in range(10))))
    payload = {"s3_path": "a.csv", "source": "UPI"}
    job = make_job("t1", kind="ingest", payload=payload)

    lose_after_chunk(job, monkeypatch, chunk)

    job = run(job)
    assert counts(job) == (10, 8, 0, 0, 2)
    assert [r["line"] for r in rejects(objects, job)] == ["4", "10"]
    assert len(stored()) == 8
    with all_tenants(reason="test"):
        usage = UsageEvent.objects.filter(job=job, meter="rows")
        assert sum(usage.values_list("quantity", flat=True)) == 10


@pytest.mark.usefixtures("small_chunks")
def test_a_file_replaced_in_between_is_refused(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    put(objects, text(*(row(n) for n in range(6))))
    payload = {"s3_path": "a.csv", "source": "UPI"}
    job = make_job("t1", kind="ingest", payload=payload)
    lose_after_chunk(job, monkeypatch, 1)
    put(objects, text(*(row(n) for n in range(7))))

    job = run(job)
    assert (job.state, job.error["code"]) == ("dead", "object_changed")


def test_the_store_away_is_tried_again(ingest: Ingest, monkeypatch: pytest.MonkeyPatch):
    def away(*_: Any) -> Any:
        raise storage.StoreUnavailableError("connection refused")

    monkeypatch.setattr(storage.FolderStore, "stat", away)
    job = ingest(text(row(1)))
    assert (job.state, job.error["code"]) == ("retryable", "store_unavailable")
    assert "connection refused" not in job.error["message"]


def test_the_stage_is_empty_after_a_load(ingest: Ingest):
    ingest(text(row(1)))
    with tenant_scope("t1"), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ingest_stage")
        assert cursor.fetchone() == (0,)
