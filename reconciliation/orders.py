"""Orders of what runs as jobs: reconciliations and reports.

People, producers and schedules order through these calls alone.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from jobs.models import Job, Priority
from jobs.services import job_enqueue
from reconciliation.models import Profile, Report

RECONCILE: Final = "reconcile"
REPORT: Final = "report"


def run_order(
    *,
    profile: Profile,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    rules: list[dict[str, Any]] | None = None,
) -> Job:
    """Enqueue a run of the profile over a period, and return its job.

    With `rules`, in the place of the profile's own, the run is dry: it only counts.
    Raises switches.NotAcceptingError where the tenant takes no jobs.
    """
    payload: dict[str, Any] = {
        "profile": profile.name,
        "starts_at": starts_at.isoformat(),
        "ends_at": ends_at.isoformat(),
    }
    if rules is not None:
        payload["rules"] = rules
    return job_enqueue(
        tenant_id=profile.tenant_id, kind=RECONCILE, payload=payload, now=now
    )


def report_order(
    *,
    tenant_id: str,
    payload: dict[str, Any],
    now: datetime,
    priority: Priority = Priority.NORMAL,
    run_after: datetime | None = None,
    max_attempts: int | None = None,
) -> Job:
    """Enqueue a report, and return its job; `payload` is checked already.

    Raises switches.NotAcceptingError where the tenant takes no jobs.
    """
    job = job_enqueue(
        tenant_id=tenant_id,
        kind=REPORT,
        payload=payload,
        now=now,
        priority=priority,
        run_after=run_after,
        max_attempts=max_attempts,
    )
    report_row(tenant_id=tenant_id, job_id=job.pk, payload=payload)
    return job


def report_row(*, tenant_id: str, job_id: UUID, payload: dict[str, Any]) -> Report:
    """Return what lists show of a report; it has its period beside its filters."""
    period = {name: payload[name] for name in ("starts_at", "ends_at")}
    filters = {**period, **payload.get("filters", {})}
    report: Report
    report, _ = Report.objects.get_or_create(
        job_id=job_id,
        tenant_id=tenant_id,
        defaults={"what": payload["what"], "filters": filters},
    )
    return report
