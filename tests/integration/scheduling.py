"""What tests of schedules start from, and what they look at."""

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from jobs.models import Job
from reconciliation.crontabs import FIELDS, Crontab, crontab_of
from reconciliation.models import Profile, Schedule, Slot
from reconciliation.schedules import schedule_save
from tenants.scoping import all_tenants


def cron(text: str, zone: str = "UTC") -> Crontab:
    """Read the five fields of a text."""
    names = [field[0] for field in FIELDS]
    fields = dict(zip(names, text.split(), strict=True))
    return crontab_of(**fields, zone=ZoneInfo(zone))


def make_profile(tenant: str, name: str = "upi", **values: Any) -> Profile:
    """Create a profile of the tenant."""
    with all_tenants(reason="test"):
        made: Profile = Profile.objects.create(
            **{
                "tenant_id": tenant,
                "name": name,
                "internal_sources": ["LEDGER"],
                "external_sources": ["UPI"],
                "cutoff": time(0),
                **values,
            }
        )
    return made


def make_schedule(
    tenant: str,
    text: str,
    *,
    now: datetime,
    zone: str = "UTC",
    profile: Profile | None = None,
    **values: Any,
) -> Schedule:
    """Create a schedule of a profile, or of a report where none is given."""
    if profile is None:
        values.setdefault("report", {"what": "mismatches", "filters": {}})
    schedule = Schedule(
        tenant_id=tenant, profile=profile, **{"name": "nightly", **values}
    )
    with all_tenants(reason="test"):
        return schedule_save(schedule=schedule, cron=cron(text, zone), now=now)


def again(schedule: Schedule) -> Schedule:
    """Return the schedule as it is now."""
    with all_tenants(reason="test"):
        rows = Schedule.objects.select_related("task__crontab", "profile")
        found: Schedule = rows.get(pk=schedule.pk)
    return found


def outcomes(schedule: Schedule) -> list[tuple[datetime, str]]:
    """Return the slots of a schedule in order, and what became of each."""
    with all_tenants(reason="test"):
        rows = Slot.objects.filter(schedule=schedule).order_by("due_at", "pk")
        return [(slot.due_at, str(slot.outcome)) for slot in rows]


def jobs() -> list[Job]:
    """Return every job, as they were ordered."""
    with all_tenants(reason="test"):
        return list(Job.objects.order_by("created_at", "id"))
