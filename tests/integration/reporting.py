"""Reports for tests: what is ordered, what came of it, and what it should be."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from ingestion import storage
from ingestion.masking import mask_account, mask_id, mask_text
from ingestion.models import IngestedFile, Transaction
from jobs import runner, sweeps
from jobs.ledger import AttemptSupersededError
from jobs.models import Job
from reconciliation import orders
from reconciliation.report_payloads import check_report
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import (
    dispatch,
    make_file,
    make_job,
    make_transaction,
    reread,
    run,
)

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MAY = datetime(2026, 5, 1, tzinfo=UTC)
COLUMNS = (
    *("tenant_id", "source", "txn_id", "source_txn_id", "reference_id", "account_id"),
    *("counterparty_account", "vpa_or_ifsc", "amount", "currency", "direction"),
    *("status", "txn_timestamp", "created_at", "file_id"),
)


def fill(tenant: str, count: int = 17) -> IngestedFile:
    """Load a file of so many transactions, an hour apart, into a tenant."""
    file = make_file(tenant, job=make_job(tenant))
    for number in range(count):
        make_transaction(
            file,
            txn_id=f"MT940:50100012345678:{file.pk}:{number}",
            source_txn_id=("=1+1", "@x", "plain, with comma", 'a "b"')[number % 4],
            reference_id=(None, "+9", "-2+3", "two\r\nlines")[number % 4],
            amount=Decimal(number) + Decimal("0.50"),
            status=("SUCCESS", "FAILED")[number % 2],
            direction=("C", "D")[number % 3 == 0],
            source=("UPI", "NEFT")[number % 5 == 0],
            txn_timestamp=APRIL + timedelta(hours=number),
        )
    return file


def payload(what: str = "transactions", **changes: Any) -> dict[str, Any]:
    period = {"starts_at": APRIL.isoformat(), "ends_at": MAY.isoformat()}
    return {"what": what, **period, "filters": {}, **changes}


def order(tenant: str = "t1", what: str = "transactions", **changes: Any) -> Job:
    checked = check_report(tenant, payload(what, **changes))
    with tenant_scope(tenant):
        return orders.report_order(
            tenant_id=tenant, payload=checked, now=timezone.now()
        )


def content(job: Job) -> bytes:
    found = reread(job)
    assert found.state == "succeeded", found.error
    store = storage.store()
    item = store.stat(found.result["report_path"])
    told = b"".join(store.blocks(item, 0))
    assert found.result["size"] == len(told)
    return told


def read(job: Job) -> list[dict[str, str]]:
    text = content(job).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert reread(job).result["rows"] == len(rows)
    return rows


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def safe(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "@"} or text == "-2+3" else text


def expected(tenant: str = "t1", **wanted: Any) -> list[dict[str, str]]:
    """Read the same by the ORM, and write down each cell by itself."""
    with tenant_scope(tenant):
        rows = list(Transaction.objects.filter(**wanted).order_by("id"))
    return [
        {
            "tenant_id": tenant,
            "source": row.source,
            "txn_id": mask_id(row.txn_id),
            "source_txn_id": safe(row.source_txn_id),
            "reference_id": safe(row.reference_id or ""),
            "account_id": mask_account(row.account_id),
            "counterparty_account": mask_account(row.counterparty_account),
            "vpa_or_ifsc": mask_text(row.vpa_or_ifsc or ""),
            "amount": f"{row.amount:.2f}",
            "currency": row.currency,
            "direction": row.direction,
            "status": row.status,
            "txn_timestamp": utc(row.txn_timestamp),
            "created_at": utc(row.created_at),
            "file_id": str(row.file_id),
        }
        for row in rows
    ]


def fill_other() -> IngestedFile:
    file = make_file("t1", job=make_job("t1"), path="b.csv")
    make_transaction(file, txn_id="B1", txn_timestamp=APRIL)
    return file


def lost(job: Job, *, step: int) -> Job:
    """Lose the job's attempt before its so many-th step is committed, from 1."""
    real, done = runner._Attempt._commit, []

    def commit(attempt: Any, do: Any) -> Any:
        done.append(do)
        if len(done) == step:
            raise AttemptSupersededError(0)
        return real(attempt, do)

    attempt_id = dispatch(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner._Attempt, "_commit", commit)
        runner.run(attempt_ids=[attempt_id], worker="w1")
    assert len(done) == step, "it came to its end before"
    with all_tenants(reason="test"):
        sweeps.lose_of_worker(worker="w1", attempt_ids=[attempt_id], max_losses=3)
    return reread(job)


def again(job: Job) -> Job:
    return run(reread(job))


def steps_of(job: Job) -> int:
    real, done = runner._Attempt._commit, []

    def commit(attempt: Any, do: Any) -> Any:
        done.append(do)
        return real(attempt, do)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner._Attempt, "_commit", commit)
        run(job)
    return len(done)
