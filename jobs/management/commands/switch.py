"""`manage.py switch`: show and turn what may happen to the jobs of whom."""

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError

from jobs import handlers
from jobs.models import Switch
from jobs.switches import switch_set
from tenants.management.product_command import ProductCommand, command_errors
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError
from tenants.services import tenant_pause, tenant_resume, tenant_switch

#: Option, field of a `Switch`.
_SWITCHES: Final = {
    "accept": "is_accepting",
    "dispatch": "is_dispatching",
    "schedule": "is_scheduling",
}


class Command(ProductCommand):
    help = (
        "Stop or let go on: accepting new jobs, dispatching queued ones, queueing "
        "scheduled ones, of a tenant, a kind or a pool. Without a name: list what is "
        "off."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("scope", nargs="?", choices=["tenant", "kind", "pool"])
        parser.add_argument("name", nargs="?")
        for option, what in (
            ("accept", "new jobs are taken"),
            ("dispatch", "queued jobs are handed to workers"),
            ("schedule", "scheduled jobs are queued when their time comes"),
        ):
            parser.add_argument(f"--{option}", choices=["on", "off"], help=what)
        parser.add_argument("--reason", help="one line, shown where the jobs wait")
        self.add_common_arguments(parser)

    def handle(self, *_: Any, as_json: bool, **options: Any) -> None:
        """Turn what is named, then list what is off."""
        with (
            command_errors(UnknownTenantError),
            all_tenants(reason="manage.py switch"),
        ):
            if options["scope"]:
                self._turn(**options)
            report = _off()
        text = "\n".join(map(_line, report)) or "Everything is on."
        self.write(text, report, as_json=as_json)

    def _turn(self, *, scope: str, name: str | None, **options: Any) -> None:
        turned = {option: options[option] == "on" for option in _SWITCHES}
        turned = {option: turned[option] for option in _SWITCHES if options[option]}
        if not name or not turned:
            raise CommandError(
                f"Say which {scope}, and --accept, --dispatch or --schedule on or off."
            )
        if scope == "kind" and name not in handlers.names():
            known = ", ".join(handlers.names())
            raise CommandError(f"There is no kind {name!r}; there are {known}.")
        if scope != "tenant":
            on = {_SWITCHES[option]: value for option, value in turned.items()}
            switch_set(scope=scope, name=name, reason=options["reason"], **on)
            return
        dispatch = turned.pop("dispatch", None)
        if dispatch is not None:
            if dispatch:
                tenant_resume(slug=name)
            else:
                tenant_pause(slug=name, reason=options["reason"] or "")
        on = {_SWITCHES[option]: value for option, value in turned.items()}
        tenant_switch(slug=name, **on)


def _off() -> list[dict[str, Any]]:
    found = [
        {
            "scope": "tenant",
            "name": tenant.slug,
            "accept": tenant.is_accepting,
            "dispatch": not tenant.is_paused,
            "schedule": tenant.is_scheduling,
            "reason": tenant.paused_reason,
        }
        for tenant in Tenant.objects.order_by("slug")
    ]
    for switch in Switch.objects.order_by("scope", "name"):
        on = {option: getattr(switch, field) for option, field in _SWITCHES.items()}
        names = {"scope": switch.scope, "name": switch.name}
        found.append({**names, **on, "reason": switch.reason})
    return [row for row in found if not all(row[option] for option in _SWITCHES)]


def _line(row: dict[str, Any]) -> str:
    off = ", ".join(option for option in _SWITCHES if not row[option])
    why = f"  ({row['reason']})" if row["reason"] else ""
    return f"{row['scope']} {row['name']}  off: {off}{why}"
