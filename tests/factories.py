"""Rows for the tests of screens, where the way that made them does not matter."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from ingestion.models import IngestedFile, KeptOutRow, Transaction
from jobs.models import Attempt, Job
from jobs.services import job_enqueue
from tenants.scoping import all_tenants

PASSWORD = "correct horse battery staple"


def make_admin(username: str = "operator") -> User:
    """Create a superuser that signs in with PASSWORD."""
    return User.objects.create_superuser(username, f"{username}@example.com", PASSWORD)


def make_dead_job(
    tenant: str,
    *,
    code: str = "asked_to_fail",
    fingerprint: str = "f00d",
    ended: datetime | None = None,
    seconds: float = 0.25,
) -> Job:
    """Create a job that died in its one attempt of so many seconds."""
    now = ended or timezone.now()
    started = now - timedelta(seconds=seconds)
    error = {"code": code, "message": "The <b>payload</b> asked for a failure."}
    with all_tenants(reason="test"):
        job = job_enqueue(
            tenant_id=tenant, kind="sleep", payload={"seconds": 0}, now=started
        )
        _make_attempt(job, started, now, error)
        rows = Job.objects.filter(pk=job.pk)
        rows.update(state="dispatched", dispatched_at=started, attempt_count=1)
        rows.update(state="running", started_at=started)
        rows.update(
            state="dead",
            finished_at=now,
            failed_count=1,
            error=error,
            fingerprint=fingerprint,
        )
        found: Job = rows.get()
    return found


def _make_attempt(
    job: Job, started: datetime, ended: datetime, error: dict[str, str]
) -> None:
    Attempt.objects.create(
        tenant_id=job.tenant_id,
        job=job,
        number=1,
        pool="shared",
        worker="shared@host-1",
        term=1,
        held_us=1_000_000,
        settled_us=(ended - started) // timedelta(microseconds=1),
        weight=1000,
        is_billable=True,
        outcome="failed",
        dispatched_at=started,
        started_at=started,
        finished_at=ended,
        error=error,
        traceback="Traceback (most recent call last):\n  <script>alert(1)</script>",
    )


def make_file(tenant: str, *, job: Job, **values: Any) -> IngestedFile:
    """Create a loaded file with one inserted and one rejected row."""
    with all_tenants(reason="test"):
        file: IngestedFile = IngestedFile.objects.create(
            **{
                "tenant_id": tenant,
                "job": job,
                "source": "UPI",
                "path": "in/upi.csv",
                "size": 1234,
                "state": "loaded",
                "rows": 2,
                "inserted": 1,
                "rejected": 1,
                **values,
            }
        )
        KeptOutRow.objects.create(
            tenant_id=tenant,
            file=file,
            line=3,
            why="rejected",
            column="payer_vpa",
            reason="invalid_vpa",
            value="asha.rao@okbank",
            raw_row={"payer_vpa": "asha.rao@okbank"},
        )
    return file


def make_transaction(file: IngestedFile, **values: Any) -> Transaction:
    """Create the transaction of that file."""
    with all_tenants(reason="test"):
        made: Transaction = Transaction.objects.create(
            **{
                "tenant_id": file.tenant_id,
                "file": file,
                "source": "UPI",
                "txn_id": "UPI00000001",
                "source_txn_id": "UPI00000001",
                "reference_id": "600000000001",
                "account_id": "50100012345678",
                "counterparty_account": "navin@okbank",
                "vpa_or_ifsc": "navin@okbank",
                "amount": Decimal("1234.50"),
                "status": "SUCCESS",
                "direction": "D",
                "txn_timestamp": timezone.now(),
                "row_hash": b"\0" * 32,
                "raw_row": {
                    "payer_vpa": "asha.rao@okbank",
                    "rrn": "600000000001",
                    "remarks": "rent to 50100012345678",
                },
                **values,
            }
        )
    return made
