"""What tests start from: tenants, jobs, and an attempt brought to a point."""

from typing import Any
from uuid import UUID

from django.utils import timezone

from jobs import leadership, ledger, runner, services
from jobs.ledger import Claim, Pick
from jobs.models import Attempt, Job
from quotas.models import Quota
from tenants.models import Tenant, Tier
from tenants.scoping import all_tenants, tenant_scope

LEASE = ("dispatcher", "test")


def make_tenant(slug: str, *, weight: int = 1, **values: Any) -> Tenant:
    """Create a tenant with its quota."""
    # A test's own clean-up empties the table of tiers as well.
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
            lease=(*LEASE, term), pool=pool, picks=[Pick(job.pk, held_us, 1000)]
        )
    return attempts[job.pk]


def start(attempt_id: int, *, worker: str = "w1", lease_seconds: int = 30) -> Claim:
    """Start an attempt as a worker would."""
    with all_tenants(reason="test"):
        claim = ledger.start(
            attempt_id=attempt_id, worker=worker, lease_seconds=lease_seconds
        )
    assert claim is not None
    return claim


def run(job: Job) -> Job:
    """Dispatch a queued job, run its attempt in this process, and read it again."""
    assert runner.run(attempt_id=dispatch(job), worker="w1")
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
