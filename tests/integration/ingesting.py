"""Files for an ingest, and what came of them."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestion import loader
from ingestion.models import IngestedFile, Transaction
from jobs import runner, sweeps
from jobs.ledger import AttemptSupersededError
from jobs.models import Job
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import dispatch, make_job, reread

HEADER = "txn_id,rrn,payer_vpa,payee_vpa,amount,currency,status,txn_timestamp,remarks"

#: Stores a file, enqueues it and runs the job: the fixture `ingest`.
Ingest = Callable[..., Job]


def row(number: int = 1, **changes: str) -> str:
    """Return a good line of a UPI file, changed as asked."""
    cells = {
        "txn_id": f"T{number}",
        "rrn": f"{600000000000 + number}",
        "payer_vpa": "asha@okbank",
        "payee_vpa": "shop@okbank",
        "amount": "10.00",
        "currency": "INR",
        "status": "SUCCESS",
        "txn_timestamp": "2026-01-15 10:00:00",
        "remarks": "",
    }
    return ",".join({**cells, **changes}.values())


def text(*lines: str) -> bytes:
    """Return a UPI file of these lines."""
    return "\n".join((HEADER, *lines, "")).encode()


def put(
    objects: Path, content: bytes, *, path: str = "a.csv", tenant: str = "t1"
) -> None:
    """Lay a file into a tenant's part of the store."""
    file = objects / "tenants" / tenant / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def counts(job: Job) -> tuple[int, ...]:
    """Return what became of the rows, by the result of a job that succeeded."""
    assert job.state == "succeeded", job.error
    names = ("rows", "inserted", "duplicate", "conflicting", "rejected")
    return tuple(job.result[name] for name in names)


def rejects(objects: Path, job: Job) -> list[dict[str, str]]:
    """Return the rows of the artifact of a job's rejects."""
    file = objects / job.result["rejects_path"]
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))


def stored(tenant: str = "t1") -> list[Transaction]:
    """Return a tenant's transactions by their ids."""
    with tenant_scope(tenant):
        return list(Transaction.objects.order_by("txn_id"))


def file_of(job: Job) -> IngestedFile:
    """Return the file that a job is about."""
    with all_tenants(reason="test"):
        found: IngestedFile = IngestedFile.objects.get(job=job)
    return found


def interrupted(
    payload: dict[str, Any], step: int, monkeypatch: pytest.MonkeyPatch
) -> Job:
    """Return an ingest of t1 whose first attempt is lost after so many steps."""
    job = make_job("t1", kind="ingest", payload=payload)
    real = runner._Attempt._commit
    done: list[Any] = []

    def commit(attempt: Any, do: Any) -> Any:
        if len(done) == step:
            raise AttemptSupersededError(0)
        done.append(do)
        return real(attempt, do)

    with monkeypatch.context() as patch:
        patch.setattr(runner._Attempt, "_commit", commit)
        lose_attempt(job)
    return job


def lose_attempt(job: Job) -> None:
    """Run a queued job's attempt, which breaks off, and have it end as lost."""
    attempt_id = dispatch(job)
    runner.run(attempt_ids=[attempt_id], worker="w1")
    assert reread(job).state == "running"
    with all_tenants(reason="test"):
        sweeps.lose_of_worker(worker="w1", attempt_ids=[attempt_id], max_losses=3)


def lose_after_chunk(job: Job, patch: pytest.MonkeyPatch, chunk: int) -> None:
    """Lose a queued job's attempt behind the rows of its so many-th chunk."""
    real, calls = loader.load, []

    def dies(*args: Any) -> Any:
        calls.append(args)
        loaded = real(*args)
        if len(calls) == chunk:
            raise AttemptSupersededError(0)
        return loaded

    with patch.context() as patched:
        patched.setattr(loader, "load", dies)
        lose_attempt(job)
