"""Rejected rows as they stood, to be sent again corrected; doubts about the others."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from ingestion import findings
from ingestion.models import KeptOutRow
from jobs.audit import audit
from jobs.models import Job
from tenants.scoping import tenant_scope
from tests.arrange import run
from tests.integration.api import client_of
from tests.integration.ingesting import (
    HEADER,
    Ingest,
    counts,
    file_of,
    interrupted,
    put,
    row,
    stored,
    text,
)
from tests.totals_source import statement

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("totals_sources"),
]

BAD = [row(2, amount="1e5"), row(4, payee_vpa="nobody"), row(6, remarks='"two\nlines')]
CONTENT = text(row(1), BAD[0], row(3), BAD[1], row(5), BAD[2])


def corrections(objects: Path, job: Job) -> bytes:
    path: str = job.result["corrections_path"]
    return (objects / path).read_bytes()


def fetched(job: Job, name: str) -> tuple[Any, bytes]:
    """Return what the link of that name leads to."""
    client = client_of("t1")
    answer: Any = client.get(client.get(f"/jobs/{job.pk}").json()["links"][name])
    return answer, b"".join(answer.streaming_content)


# --- As they stood --------------------------------------------------------------------


def test_rejected_rows_are_a_file_of_the_same_source(ingest: Ingest, objects: Path):
    job = ingest(CONTENT)
    assert counts(job)[-1] == 4  # a quote that is not closed costs two lines
    found = corrections(objects, job)
    assert found.decode().splitlines() == [HEADER, *"\n".join(BAD).split("\n")]
    mended = found.replace(b"1e5", b"100000").replace(b"nobody", b"nobody@okbank")
    mended = mended.replace(b'"two\nlines', b'"two\nlines"')
    again = ingest(mended, path="mended.csv")
    assert counts(again) == (3, 3, 0, 0, 0)
    assert [t.txn_id for t in stored()] == ["T1", "T2", "T3", "T4", "T5", "T6"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_byte_is_kept(ingest: Ingest, objects: Path, mark: bytes, end: str):
    bad = row(2, remarks="a\0b\xff=1+1", amount="-1")
    content = end.join((HEADER, row(1), bad)).encode("latin-1")
    job = ingest(mark + content)
    expected = end.join((HEADER, bad)).encode("latin-1") + b"\n"
    assert corrections(objects, job) == mark + expected


def test_it_has_the_ending_of_the_file(ingest: Ingest, objects: Path):
    for path, suffix in (("a.TXT", ".txt"), ("a.csv.gz", ".csv"), ("a", ".csv")):
        job = ingest(text(row(1, amount=path)), path=path)
        assert job.result["corrections_path"].endswith(f"{job.pk}{suffix}")


def test_there_is_none_where_nothing_was_rejected(ingest: Ingest):
    job = ingest(text(row(1)))
    assert job.result["corrections_path"] is None


def test_there_is_none_where_rows_are_no_good_by_themselves(ingest: Ingest):
    job = ingest(statement("R|a|C|x"), source="LINES")
    assert counts(job)[-1] == 1
    assert job.result["corrections_path"] is None


def test_a_row_that_is_too_long_is_left_out(ingest: Ingest, objects: Path):
    job = ingest(text(row(1, remarks="x" * 70_000), row(2, amount="x")))
    assert counts(job)[-1] == 2
    assert corrections(objects, job) == text(row(2, amount="x"))


@pytest.mark.usefixtures("small_chunks")
def test_so_many_are_kept_and_no_more(
    ingest: Ingest, objects: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ingestion.loading.MOST_RAW_BYTES", 0)
    assert findings.MOST_RAW_BYTES > 0
    bad = [row(n, amount="x") for n in range(6)]
    job = ingest(text(*bad))
    assert counts(job)[-1] == 6
    assert corrections(objects, job) == text(*bad[:3])


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("step", range(5))
def test_an_interruption_changes_nothing(
    objects: Path, monkeypatch: pytest.MonkeyPatch, step: int
):
    put(objects, CONTENT)
    payload = {"s3_path": "a.csv", "source": "UPI"}
    job = run(interrupted(payload, step, monkeypatch))
    expected = [HEADER, *"\n".join(BAD).split("\n")]
    assert corrections(objects, job).decode().splitlines() == expected


def test_it_is_fetched_over_http(ingest: Ingest, objects: Path):
    job = ingest(CONTENT, path="a.txt")
    answer, content = fetched(job, "corrections")
    assert content == corrections(objects, job)
    named = f'attachment; filename="corrections-{job.pk}.txt"'
    assert answer["Content-Disposition"] == named
    assert answer["Content-Type"] == "application/octet-stream"


# --- Doubts ---------------------------------------------------------------------------

DOUBTFUL = statement("R|a|C|1.00|=odd", "R|b|C|1.00", "R|c|C|1.00|x")


def test_a_doubt_about_a_row_is_kept_and_the_row_is_loaded(
    ingest: Ingest, objects: Path
):
    job = ingest(DOUBTFUL, source="TOTALS")
    assert counts(job) == (3, 3, 0, 0, 0)
    assert job.result["flagged"] == file_of(job).flagged == 2
    with tenant_scope("t1"):
        kept = list(KeptOutRow.objects.order_by("line").values_list("line", "why"))
    assert kept == [(2, "flagged"), (4, "flagged")]
    content = (objects / job.result["flags_path"]).read_text()
    assert list(csv.reader(io.StringIO(content))) == [
        ["line", "column", "reason", "value"],
        ["2", "id", "invalid_id", "'=odd"],
        ["4", "id", "invalid_id", "x"],
    ]
    assert job.result["rejects_path"] is None
    assert audit() == []


def test_doubts_are_fetched_over_http(ingest: Ingest):
    job = ingest(DOUBTFUL, source="TOTALS")
    answer, content = fetched(job, "flags")
    assert b"invalid_id" in content
    assert answer["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("step", range(6))
def test_an_interruption_neither_loses_nor_repeats_a_doubt(
    objects: Path, monkeypatch: pytest.MonkeyPatch, step: int
):
    put(objects, DOUBTFUL + statement("R|d|C|1.00|x", number=2, opening="3.00"))
    payload = {"s3_path": "a.csv", "source": "TOTALS"}
    job = run(interrupted(payload, step, monkeypatch))
    assert job.result["flagged"] == 3
    assert audit() == []


def test_a_row_may_have_several_doubts(ingest: Ingest):
    job = ingest(statement("R|a|C|1.00|x|payee~y|x"), source="TOTALS")
    assert job.result["flagged"] == 1
    with tenant_scope("t1"):
        kept = KeptOutRow.objects.order_by("id").values_list("line", "column", "value")
        assert list(kept) == [(2, "id", "x"), (2, "payee", "y")]
    assert audit() == []
