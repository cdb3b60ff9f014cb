"""`manage.py prune`: remove jobs that ended long ago, with their attempts."""

from argparse import ArgumentTypeError
from collections import Counter
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from jobs.pruning import BATCH_JOBS, Plan, plan, prune, retention_days
from tenants.management.product_command import ProductCommand, command_errors
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError, tenant_get, tenant_list


def batch(text: str) -> int:
    """Return a number of jobs."""
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 to 10000")
    return int(text)


class Command(ProductCommand):
    help = (
        "Remove jobs that ended longer ago than their tenant's retention, with their "
        "attempts and events. Usage stays. May be stopped at any time and run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        self.add_common_arguments(parser)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="remove nothing; say what would go and what is held back",
        )
        parser.add_argument("--tenant", metavar="SLUG", help="of this tenant only")
        parser.add_argument(
            "--batch",
            type=batch,
            default=BATCH_JOBS,
            metavar="N",
            help=f"jobs removed in one transaction ({BATCH_JOBS})",
        )

    def handle(
        self,
        *_: Any,
        dry_run: bool,
        tenant: str | None,
        batch: int,
        as_json: bool,
        **__: Any,
    ) -> None:
        """Prune tenant by tenant, or say what that would do."""
        with command_errors(UnknownTenantError):
            tenants = _tenants(tenant)
            if dry_run:
                reports = [_planned(each) for each in tenants]
            else:
                reports = [_pruned(each, batch) for each in tenants]
        text = "\n".join(_line(report) for report in reports) or "No tenants."
        self.write(text, reports, as_json=as_json)


def _tenants(slug: str | None) -> list[Tenant]:
    with all_tenants(reason="manage.py prune"):
        return list(tenant_list()) if slug is None else [tenant_get(slug=slug)]


def _planned(tenant: Tenant) -> dict[str, Any]:
    found: Plan = plan(tenant=tenant, now=timezone.now())
    return {**found.to_json(), "dry_run": True}


def _pruned(tenant: Tenant, batch: int) -> dict[str, Any]:
    gone: Counter[str] = Counter()
    for removed in prune(tenant=tenant, now=timezone.now(), batch=batch):
        gone.update(removed)
    return {
        "tenant": tenant.slug,
        "retention_days": retention_days(tenant),
        "jobs": gone.pop("jobs", 0),
        "rows": dict(gone),
        "dry_run": False,
    }


def _line(report: dict[str, Any]) -> str:
    went = [f"{report['jobs']:,} jobs"]
    went += [f"{count:,} {name}" for name, count in report["rows"].items() if count]
    held = [f"{n:,} by {name}" for name, n in report.get("held", {}).items() if n]
    verb = "would go" if report["dry_run"] else "removed"
    line = f"{report['tenant']}  kept {report['retention_days']} days  {verb}: "
    line += ", ".join(went)
    return f"{line}; held back: {', '.join(held)}" if held else line
