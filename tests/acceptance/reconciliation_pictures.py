"""Pictures of reconciliation for the docs: two weeks of a tenant, as if lived through.

All is loaded and compared now, and then dated back, so that the plots have days.
"""

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db.models import F
from django.utils import timezone

from ingestion.models import IngestedFile
from reconciliation.mismatches import mismatches_assign, mismatches_resolve
from reconciliation.models import Reconciliation, Run, Schedule
from reconciliation.schedules import decide
from tenants.scoping import all_tenants
from tests.acceptance import reconciled_days
from tests.acceptance.product import Product
from tests.acceptance.reconciled_days import INDIA

TENANT: Final = "acme"
#: How many payments of each day differ, the first day first.
DIFFERENT: Final = (6, 4, 9, 5, 3, 7, 12, 4, 6, 5, 8, 3, 6, 5)
SIX: Final = timedelta(hours=6)
#: Old mismatches that nobody has settled yet: one in so many.
LEFT_EVERY: Final = 4
REASONS: Final = ("timing", "corrected", "fee", "bank_error")


def prepare(product: Product, folder: Path) -> None:
    """Load and compare the days, and date them back."""
    today = datetime.now(INDIA).date()
    first = today - timedelta(days=len(DIFFERENT))
    days = {first + timedelta(days=n): count for n, count in enumerate(DIFFERENT)}
    key = reconciled_days.load(product, TENANT, days, folder)
    for day in days:
        reconciled_days.compare(product, key, TENANT, day)
    name = "tests.acceptance.reconciliation_pictures"
    product.manage("shell", "-c", f"from {name} import date_back\ndate_back()")


def date_back() -> None:
    """Within the product: let it have been done day by day, by schedule and people."""
    now = timezone.now()
    with all_tenants(reason="pictures"):
        for file in IngestedFile.objects.filter(tenant_id=TENANT):
            day = date.fromisoformat(Path(file.path).stem.partition("_")[2])
            file.loaded_at = _at(day + timedelta(days=1), 2)
            file.save(update_fields=["loaded_at"])
        runs = Run.objects.filter(tenant_id=TENANT)
        runs.update(
            finished_at=F("finished_at") - F("created_at") + F("period_ends_at")
        )
        runs.update(
            created_at=F("period_ends_at") + SIX, finished_at=F("finished_at") + SIX
        )
        _work_off(now)
        schedule = Schedule.objects.get(tenant_id=TENANT)
        schedule.decided_upto = now - timedelta(days=4)
        schedule.missed = Schedule.Missed.ALL
        schedule.save(update_fields=["decided_upto", "missed"])
    decide(schedule_id=schedule.pk, now=now)


def _work_off(now: datetime) -> None:
    admin = get_user_model().objects.get(username="admin")
    for number, row in enumerate(Reconciliation.objects.filter(tenant_id=TENANT)):
        assert row.day is not None
        found = _at(row.day + timedelta(days=1), 6)
        Reconciliation.objects.filter(pk=row.pk).update(created_at=found)
        row.events.update(at=found)
        if number % LEFT_EVERY == 0 or now - found < timedelta(days=1):
            continue
        if now - found < timedelta(days=3):
            if number % 2:
                mismatches_assign(rows=[row.pk], assignee=admin, by="admin", now=found)
            continue
        # Now and then it takes another day.
        settled = found + timedelta(hours=5 + 24 * (number % 3 == 0))
        reason = REASONS[number % len(REASONS)]
        mismatches_resolve(rows=[row.pk], reason=reason, by="admin", now=settled)


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), INDIA)


def take(page: Any, product: Product, images: Path) -> None:
    """Write the four pictures."""
    screens = f"http://127.0.0.1:{product.port}/admin/reconciliation/"
    (run,) = product.query(
        "SELECT id FROM reconciliation_run WHERE mode = 'full' AND tenant_id = %s "
        "ORDER BY (counts->>'found')::int DESC, id DESC LIMIT 1",
        TENANT,
    )[0]
    (schedule,) = product.query(
        "SELECT id FROM reconciliation_schedule WHERE tenant_id = %s", TENANT
    )[0]
    for name, path, height in (
        ("reconciliation", f"overview/?tenant={TENANT}", 1180),
        ("run", f"run/{run}/change/", 1180),
        ("mismatches", f"reconciliation/?tenant__slug__exact={TENANT}", 900),
        ("schedule", f"schedule/{schedule}/change/", 1700),
    ):
        page.set_viewport_size({"width": 1440, "height": height})
        page.goto(screens + path)
        page.wait_for_timeout(1500)  # plots draw themselves
        page.screenshot(path=images / f"{name}.png")
