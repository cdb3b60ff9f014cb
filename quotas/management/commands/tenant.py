"""`manage.py tenant`: create, list, pause, resume and change tenants.

It lives here because a tenant's weight and caps are quotas.
"""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandParser

from quotas import services as quotas
from quotas.models import MAX_WEIGHT, MIN_WEIGHT, Quota
from quotas.selectors import quota_get
from tenants import services as tenants
from tenants.management.product_command import ProductCommand, command_errors
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError, UnknownTierError, tenant_list
from tenants.wording import plain

Action = Callable[..., tuple[str, Any]]


class Command(ProductCommand):
    help = "Create, list, pause, resume and change tenants."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare one subcommand for each thing that can be done with tenants."""
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="create a tenant")
        create.add_argument(
            "--exist-ok",
            action="store_true",
            help="leave a tenant that exists as it is",
        )
        shown = actions.add_parser("list", help="show every tenant")
        pause = actions.add_parser("pause", help="stop dispatching a tenant's jobs")
        pause.add_argument("--reason", default="", help="shown beside the tenant")
        resume = actions.add_parser("resume", help="dispatch a tenant's jobs again")
        change = actions.add_parser("set", help="change a tenant; the rest stays")
        for subparser in (create, pause, resume, change):
            subparser.add_argument("slug", metavar="SLUG", help="the tenant's key")
        for subparser in (create, change):
            _add_fields(subparser)
        for subparser in (create, shown, pause, resume, change):
            self.add_common_arguments(subparser)

    def handle(self, *_: Any, action: str, as_json: bool, **options: Any) -> None:
        """Run one subcommand."""
        act: dict[str, Action] = {
            "create": self._create,
            "list": self._list,
            "pause": self._pause,
            "resume": self._resume,
            "set": self._set,
        }
        with (
            command_errors(
                UnknownTenantError, UnknownTierError, tenants.TenantExistsError
            ),
            all_tenants(reason=f"manage.py tenant {action}"),
        ):
            text, value = act[action](**options)
        self.write(text, value, as_json=as_json)

    def _create(self, *, slug: str, exist_ok: bool, **options: Any) -> tuple[str, Any]:
        try:
            quota = quotas.tenant_create(slug=slug, **_given(options))
        except tenants.TenantExistsError:
            if not exist_ok:
                raise
            return f"The tenant {slug} existed.", _report(quota_get(slug=slug))
        return f"Created the tenant {slug}.", _report(quota)

    def _list(self, **_: Any) -> tuple[str, Any]:
        reports = [_report(tenant.quota) for tenant in tenant_list()]
        return "\n".join(map(_line, reports)) or "No tenants.", reports

    def _pause(self, *, slug: str, reason: str, **_: Any) -> tuple[str, Any]:
        tenants.tenant_pause(slug=slug, reason=reason)
        return f"The tenant {slug} is paused.", _report(quota_get(slug=slug))

    def _resume(self, *, slug: str, **_: Any) -> tuple[str, Any]:
        tenants.tenant_resume(slug=slug)
        return f"The tenant {slug} is not paused.", _report(quota_get(slug=slug))

    def _set(self, *, slug: str, **options: Any) -> tuple[str, Any]:
        given = _given(options)
        limits = {name: given.pop(name) for name in _LIMITS if name in given}
        tenants.tenant_update(slug=slug, **given)
        quotas.quota_update(slug=slug, **limits)
        report = _report(quota_get(slug=slug))
        return _line(report), report


_LIMITS = ("weight", "max_in_flight", "elastic_cap", "rate_per_second", "burst")
_FIELDS = ("name", "tier", "pool", "retention_days", *_LIMITS)


def _add_fields(parser: ArgumentParser) -> None:
    parser.add_argument("--name", help="for people")
    parser.add_argument("--tier", help="weighted class of tenants (new: standard)")
    parser.add_argument("--pool", help="own pool of workers; '' means the tier's")
    parser.add_argument(
        "--weight",
        type=_number,
        metavar="W",
        help=f"share between tenants, {MIN_WEIGHT} to {MAX_WEIGHT} (new: 1)",
    )
    parser.add_argument(
        "--max-in-flight",
        type=int,
        metavar="N",
        help="most jobs at work at once; `set … 0` lifts the cap (new: no cap)",
    )
    parser.add_argument(
        "--elastic-cap",
        type=int,
        metavar="N",
        help="the same, but only while another tenant's job could start instead",
    )
    parser.add_argument(
        "--rate",
        type=_number,
        dest="rate_per_second",
        metavar="R",
        help="most jobs started per second, over time; `set … 0` lifts it (new: none)",
    )
    parser.add_argument(
        "--burst",
        type=int,
        metavar="N",
        help="jobs that may start at once after a quiet while (with a rate; else 1)",
    )
    parser.add_argument(
        "--retention-days",
        type=int,
        metavar="N",
        help="days that jobs are kept after their end; `set … 0` means the default "
        "(new: RETENTION_DAYS)",
    )


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not number.is_finite():
        raise ArgumentTypeError(f"{text!r} is not a number")
    return number


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in _FIELDS if options.get(name) is not None}


def _report(quota: Quota) -> dict[str, Any]:
    tenant, rate = quota.tenant, quota.rate_per_second
    return {
        "tenant_id": tenant.slug,
        "name": tenant.name,
        "tier": tenant.tier_id,
        "pool": tenant.pool_name,
        # At most three decimals: a float shows them exactly.
        "weight": float(quota.weight),
        "max_in_flight": quota.max_in_flight,
        "elastic_cap": quota.elastic_cap,
        "rate_per_second": None if rate is None else float(rate),
        "burst": quota.burst,
        "retention_days": tenant.retention_days,
        "is_paused": tenant.is_paused,
        "paused_reason": tenant.paused_reason,
        "created_at": tenant.created_at.isoformat(),
    }


def _line(report: dict[str, Any]) -> str:
    limits = [(word, report[name]) for name, word in _WORDS if report[name]]
    return "  ".join(
        [
            report["tenant_id"],
            f"tier {report['tier']}",
            f"weight {_plain(report['weight'])}",
            f"pool {report['pool']}",
            *(f"{word} {_plain(limit)}" for word, limit in limits),
            *([_paused(report["paused_reason"])] if report["is_paused"] else []),
        ]
    )


def _plain(number: float) -> str:
    return plain(Decimal(str(number)))


def _paused(reason: str) -> str:
    return f"paused: {reason}" if reason else "paused"


#: Limits that a tenant may have, and how a line names them.
_WORDS = (
    ("max_in_flight", "cap"),
    ("elastic_cap", "elastic cap"),
    ("rate_per_second", "rate/s"),
    ("burst", "burst"),
    ("retention_days", "retention days"),
)
