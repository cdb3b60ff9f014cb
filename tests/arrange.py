"""What tests start from: tenants, jobs at some point of their life, files, people."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from ingestion.models import (
    FileFault,
    IngestedFile,
    KeptOutRow,
    Statement,
    Transaction,
)
from jobs import leadership, ledger, runner, services
from jobs.errors import Failure
from jobs.handlers import Assignment
from jobs.ledger import AttemptSupersededError, Claim, Pick, Settlement
from jobs.models import Attempt, Job
from quotas.models import Quota
from tenants.models import Tenant, Tier
from tenants.scoping import all_tenants, tenant_scope

LEASE = ("dispatcher", "test")
PASSWORD = "correct horse battery staple"


def make_tenant(slug: str, *, weight: int = 1, **values: Any) -> Tenant:
    """Create a tenant with its quota."""
    # With `--reuse-db` the table of tiers is emptied behind each test that commits.
    Tier.objects.get_or_create(name="standard")
    with all_tenants(reason="test"):
        tenant: Tenant = Tenant.objects.create(slug=slug, tier_id="standard", **values)
        Quota.objects.create(tenant=tenant, weight=weight)
    return tenant


def make_job(
    tenant: str, *, kind: str = "sleep", scoped: bool = True, **values: Any
) -> Job:
    """Enqueue a job, in its tenant's scope or in the one in force."""
    payload = values.pop("payload", {"seconds": 0})
    options = {"kind": kind, "payload": payload, "now": timezone.now(), **values}
    if not scoped:
        return services.job_enqueue(tenant_id=tenant, **options)
    with tenant_scope(tenant):
        return services.job_enqueue(tenant_id=tenant, **options)


def lead(holder: str = "test") -> int:
    """Lead as a dispatcher of the test; returns the term."""
    term = leadership.acquire(name="dispatcher", holder=holder, ttl_seconds=60)
    assert term is not None
    return term


def dispatch(job: Job, *, pool: str = "shared", held_us: int = 1000) -> int:
    """Dispatch one queued job; returns the attempt's id."""
    term = lead()
    with all_tenants(reason="test"):
        attempts = ledger.dispatch(
            lease=(*LEASE, term), pool=pool, picks=[Pick(str(job.pk), held_us, 1000)]
        )
    return attempts[str(job.pk)]


def start(attempt_id: int, *, worker: str = "w1", lease_seconds: int = 30) -> Claim:
    """Start an attempt as a worker would."""
    with all_tenants(reason="test"):
        (claim,) = ledger.claim(
            attempt_ids=[attempt_id], worker=worker, lease_seconds=lease_seconds
        )
    return claim


def finish(assignment: Assignment, result: dict[str, Any], *, ran_us: int = 7) -> None:
    """End an attempt well, in the scope in force, as if it had run so long."""
    settle(ledger.succeeded(assignment, result, began_us=0, ended_us=ran_us))


def fail(
    assignment: Assignment, failure: Failure, *, retry_in_seconds: float | None
) -> None:
    """End an attempt as failed, in the scope in force."""
    settle(
        ledger.failed(
            assignment,
            failure,
            retry_in_seconds=retry_in_seconds,
            began_us=0,
            ended_us=7,
        )
    )


def settle(settlement: Settlement) -> None:
    """Write the end of an attempt. Raises AttemptSupersededError if it is not ours."""
    if ledger.settle([settlement]) != {settlement.attempt_id}:
        raise AttemptSupersededError(settlement.attempt_id)


def run(job: Job) -> Job:
    """Dispatch a queued job, run its attempt in this process, and read it again."""
    assert runner.run(attempt_ids=[dispatch(job)], worker="w1") == 1
    return reread(job)


def reread(job: Job | UUID) -> Job:
    """Return the job as it is in the ledger now."""
    key = job.pk if isinstance(job, Job) else job
    with all_tenants(reason="test"):
        found: Job = Job.objects.get(pk=key)
    return found


def attempts_of(job: Job) -> list[Attempt]:
    """Return a job's attempts in order."""
    with all_tenants(reason="test"):
        return list(Attempt.objects.filter(job=job).order_by("number"))


# --- Rows for screens, where the way that made them does not matter -------------------


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
    message: str = "The <b>payload</b> asked for a failure.",
) -> Job:
    """Create a job that died in its one attempt of so many seconds."""
    now = ended or timezone.now()
    started = now - timedelta(seconds=seconds)
    error = {"code": code, "message": message}
    with all_tenants(reason="test"):
        job = services.job_enqueue(
            tenant_id=tenant, kind="sleep", payload={"seconds": 0}, now=started
        )
        _make_attempt(job, started, now, error)
        rows = Job.objects.filter(pk=job.pk)
        rows.update(
            state="dispatched",
            event="dispatched",
            dispatched_at=started,
            attempt_count=1,
        )
        rows.update(state="running", event="started", started_at=started)
        rows.update(
            state="dead",
            event="buried",
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


def make_quarantined_file(tenant: str, *, job: Job, **values: Any) -> IngestedFile:
    """Create a file that is in quarantine for one fault."""
    file = _make_file(tenant, job=job, state="quarantined", **values)
    make_fault(file)
    return file


def _make_file(tenant: str, **values: Any) -> IngestedFile:
    with all_tenants(reason="test"):
        made: IngestedFile = IngestedFile.objects.create(
            **{
                "tenant_id": tenant,
                "source": "UPI",
                "path": "in/upi.csv",
                "size": 1234,
                **values,
            }
        )
    return made


def make_file(tenant: str, *, job: Job, **values: Any) -> IngestedFile:
    """Create a loaded file with one inserted and one rejected row."""
    counts = {"rows": 2, "inserted": 1, "rejected": 1}
    file = _make_file(tenant, job=job, **{"state": "loaded", **counts, **values})
    with all_tenants(reason="test"):
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


def make_statement(file: IngestedFile, **values: Any) -> Statement:
    """Create a statement of that file, which counts one more."""
    with all_tenants(reason="test"):
        made: Statement = Statement.objects.create(
            **{
                "tenant_id": file.tenant_id,
                "file": file,
                "ordinal": file.statement_count + 1,
                "line": 9,
                "source": file.source,
                "day": date(2026, 1, 15),
                "account_id": "50100012345678",
                "statement_id": "STMT-7",
                "number": 7,
                "currency": "INR",
                "opening": Decimal("100.00"),
                "closing": Decimal("1334.50"),
                "opening_date": date(2026, 1, 14),
                "closing_date": date(2026, 1, 15),
                "rows": 1,
                "credits": Decimal("1234.50"),
                "debits": Decimal(0),
                **values,
            }
        )
        file.statement_count += 1
        file.save(update_fields=["statement_count"])
    return made


def make_fault(file: IngestedFile, **values: Any) -> FileFault:
    """Create a fault of that file, which counts one more."""
    with all_tenants(reason="test"):
        made: FileFault = FileFault.objects.create(
            **{
                "tenant_id": file.tenant_id,
                "file": file,
                "line": 9,
                "control": "closing_balance",
                "expected": "1334.50",
                "found": "1334.00",
                **values,
            }
        )
        file.fault_count += 1
        file.save(update_fields=["fault_count"])
    return made


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
