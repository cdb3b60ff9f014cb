"""Orders of what runs as jobs: reconciliations and reports.

People, producers and schedules order through these calls alone.
"""

from datetime import datetime
from typing import Any, Final

from jobs.models import Job, Priority
from jobs.services import job_enqueue
from reconciliation.models import Profile

RECONCILE: Final = "reconcile"
REPORT: Final = "report"


def run_order(
    *,
    profile: Profile,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    priority: Priority = Priority.NORMAL,
    rules: list[dict[str, Any]] | None = None,
) -> Job:
    """Enqueue a run of the profile over a period, and return its job.

    With `rules`, in the place of the profile's own, the run is dry: it only counts.
    Raises switches.NotAcceptingError where the tenant takes no jobs.
    """
    payload: dict[str, Any] = {
        "profile": profile.name,
        "period_starts_at": starts_at.isoformat(),
        "period_ends_at": ends_at.isoformat(),
    }
    if rules is not None:
        payload["rules"] = rules
    return job_enqueue(
        tenant_id=profile.tenant_id,
        kind=RECONCILE,
        payload=payload,
        now=now,
        priority=priority,
    )


def report_order(
    *,
    tenant_id: str,
    payload: dict[str, Any],
    now: datetime,
    priority: Priority = Priority.NORMAL,
) -> Job:
    """Enqueue a report, and return its job; `payload` is checked already.

    Raises switches.NotAcceptingError where the tenant takes no jobs.
    """
    return job_enqueue(
        tenant_id=tenant_id, kind=REPORT, payload=payload, now=now, priority=priority
    )
