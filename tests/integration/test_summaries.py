"""The summary of a file: all that is known of it once it is closed."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from ingestion import services, storage, summaries
from jobs.deciding import jobs_revive
from jobs.ledger import AttemptSupersededError
from jobs.models import Job
from tenants.acting import acting
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_job, run
from tests.integration.ingesting import Ingest, file_of, lose_attempt, put, row, text
from tests.integration.test_totals import BAD
from tests.totals_source import statement

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("totals_sources"),
]


def summary(objects: Path, job: Job) -> Any:
    return json.loads((objects / job.result["summary_path"]).read_text())


def test_a_loaded_file_is_told_in_full(ingest: Ingest, objects: Path):
    content = text(
        *(row(1), row(1), row(1, amount="2.00"), row(2, amount="x")),
        *(row(3, amount="y"), row(4, payee_vpa="z"), row(5, status="F")),
        row(6, amount="x" * 70_000),
    )
    job = ingest(content)
    file = file_of(job)
    assert summary(objects, job) == {
        "format": 1,
        "file_id": file.pk,
        "job_id": str(job.pk),
        "tenant_id": "t1",
        "state": "loaded",
        "source": "UPI",
        "path": "a.csv",
        "size": len(content),
        "content_digest": file.content_digest,
        "received_at": file.created_at.isoformat(),
        "loaded_at": file.loaded_at.isoformat(),
        "released": None,
        "counts": {
            **{"rows_read": 8, "rows": 8, "inserted": 2, "duplicate": 1},
            **{"conflicting": 1, "rejected": 4, "flagged": 0, "statement_count": 0},
            **{"fault_count": 0, "left_out_of_corrections": 1},
        },
        "totals": [
            {
                **{"currency": "INR", "status": status, "direction": "D"},
                **{"rows": rows, "amount": amount},
            }
            for status, rows, amount in (
                ("FAILED", 1, "10.00"),
                ("SUCCESS", 3, "22.00"),
            )
        ],
        "reasons": [
            {"why": "conflicting", "reason": "conflicting", "rows": 1},
            {"why": "rejected", "reason": "field_too_long", "rows": 1},
            {"why": "rejected", "reason": "invalid_amount", "rows": 2},
            {"why": "rejected", "reason": "invalid_vpa", "rows": 1},
        ],
        "faults": [],
        "statements": [],
    }
    assert file.reasons[1] == ["rejected", "field_too_long", 1]


def test_statements_and_faults_are_told_whatever_their_number(
    ingest: Ingest, objects: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(summaries, "_PAGE_ROWS", 2)
    content = b"".join(statement(number=2 * n, opening="0.10") for n in range(1, 6))
    found = summary(objects, ingest(content, source="LINES"))
    assert [each["number"] for each in found["statements"]] == [2, 4, 6, 8, 10]
    assert found["statements"][0] == {
        **{"line": 2, "account_id": "ACC1", "statement_id": "ACC1/2", "number": 2},
        **{"currency": "INR", "opening": "0.10", "closing": "0.10", "rows": 0},
        **{"opening_date": "2026-01-15", "closing_date": "2026-01-15"},
        **{"credits": "0", "debits": "0"},
    }
    assert [(f["control"], f["found"]) for f in found["faults"]] == [
        ("statement_gap", str(number)) for number in (4, 6, 8, 10)
    ]


def test_a_file_in_quarantine_is_told_and_told_again_when_it_was_released(
    ingest: Ingest, objects: Path
):
    job = ingest(BAD, source="TOTALS")
    found = summary(objects, job)
    assert (found["state"], found["loaded_at"]) == ("quarantined", None)
    assert (found["counts"]["rows_read"], found["counts"]["rows"]) == (4, 0)
    assert len(found["faults"]) == 2
    assert sum(Decimal(total["amount"]) for total in found["totals"]) == Decimal("14.5")
    with acting(who="staff asha", why="so be it"), all_tenants(reason="test"):
        file = file_of(job)
        again = services.file_release(file_id=file.pk, now=timezone.now())
    told = summary(objects, run(again))
    assert told["state"] == "loaded"
    assert told["released"]["by"] == "staff asha"
    assert told["released"]["why"] == "so be it"
    assert told["faults"] == found["faults"]
    assert told["totals"] == found["totals"]


def test_a_file_that_was_known_has_the_first_ones(ingest: Ingest, objects: Path):
    first = ingest(text(row(1)))
    again = ingest(text(row(1)))
    assert again.result["summary_path"] == first.result["summary_path"]
    assert summary(objects, again)["job_id"] == str(first.pk)
    assert len(list((objects / "tenants/t1/summaries").iterdir())) == 1


def test_the_store_away_at_the_end_costs_nothing_but_time(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    def away(*_: Any) -> Any:
        raise storage.StoreUnavailableError("connection refused")

    put(objects, text(row(1)))
    payload = {"s3_path": "a.csv", "source": "UPI"}
    job = make_job("t1", kind="ingest", payload=payload, max_attempts=1)
    with monkeypatch.context() as patch:
        patch.setattr(storage.FolderStore, "write", away)
        job = run(job)
    assert (job.state, job.error["code"]) == ("dead", "store_unavailable")
    file = file_of(job)
    assert (file.state, file.inserted) == ("loaded", 1)
    with tenant_scope("t1"):
        jobs_revive(job_ids=[job.pk])
    job = run(job)
    assert job.result["inserted"] == 1
    assert summary(objects, job)["counts"]["inserted"] == 1


def test_writing_it_again_changes_nothing(
    ingest: Ingest, objects: Path, monkeypatch: pytest.MonkeyPatch
):
    def dies(*_: Any) -> Any:
        raise AttemptSupersededError(0)

    put(objects, text(row(1), row(2, amount="x")))
    job = make_job("t1", kind="ingest", payload={"s3_path": "a.csv", "source": "UPI"})
    with monkeypatch.context() as patch:
        patch.setattr("ingestion.handlers.result_of", dies)
        lose_attempt(job)
    (path,) = (objects / "tenants/t1/summaries").iterdir()
    before = path.read_bytes()
    run(job)
    assert path.read_bytes() == before
