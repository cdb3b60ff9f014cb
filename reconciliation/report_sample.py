"""A little usage to report, some named like a formula, for trying the kind out."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from jobs.handlers import JSONDict
from jobs.models import UsageEvent
from reconciliation.models import Report
from tenants.scoping import tenant_scope

_SOURCES: Final = ("sample:1", "=1+1", "a, b", 'a "b"', "two\nlines")
_WHEN: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


def make(tenant: str) -> JSONDict:
    """Write usage for a tenant, and return the payload that reports some of it."""
    with tenant_scope(tenant):
        UsageEvent.objects.bulk_create(
            UsageEvent(
                tenant_id=tenant,
                source=f"{source}{suffix}",
                meter=meter,
                quantity=7,
                job_id=UUID(int=0),
                occurred_at=_WHEN,
            )
            for source in _SOURCES
            for meter, suffix in (("rows", ""), ("bytes", " in bytes"))
        )
    return {
        "what": Report.What.USAGE.value,
        "starts_at": "2026-01-15T00:00:00Z",
        "ends_at": "2026-01-16T00:00:00Z",
        "filters": {"meter": "rows"},
    }
