"""`manage.py switch`: show and turn what may happen to the jobs of whom."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from jobs import handlers
from jobs.switches import FIELDS, is_pool_known, switch_set, turned_off
from tenants.management.product_command import ProductCommand, command_errors
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError
from tenants.services import tenant_pause, tenant_resume, tenant_switch


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
        parser.add_argument("--reason", help="one line, shown to staff only")
        parser.add_argument(
            "--force", action="store_true", help="a pool that nobody is in yet, too"
        )
        self.add_common_arguments(parser)

    def handle(self, *_: Any, as_json: bool, **options: Any) -> None:
        """Turn what is named, then list what is off."""
        with (
            command_errors(UnknownTenantError),
            all_tenants(reason="manage.py switch"),
        ):
            if options["scope"]:
                self._turn(**options)
            report = turned_off()
        text = "\n".join(map(_line, report)) or "Everything is on."
        self.write(text, report, as_json=as_json)

    def _turn(self, *, scope: str, name: str | None, **options: Any) -> None:
        turned = {option: options[option] == "on" for option in FIELDS}
        turned = {option: turned[option] for option in FIELDS if options[option]}
        if not name or not turned:
            raise CommandError(
                f"Say which {scope}, and --accept, --dispatch or --schedule on or off."
            )
        if scope == "kind" and name not in handlers.names():
            known = ", ".join(handlers.names())
            raise CommandError(f"There is no kind {name!r}; there are {known}.")
        if scope == "pool" and not (options["force"] or is_pool_known(name)):
            raise CommandError(
                f"No tenant, tier or worker is in a pool {name!r}. Say --force if one "
                "will be."
            )
        if scope != "tenant":
            on = {FIELDS[option]: value for option, value in turned.items()}
            switch_set(scope=scope, name=name, reason=options["reason"], **on)
            return
        _turn_tenant(name, turned, options["reason"])


def _turn_tenant(slug: str, turned: dict[str, bool], reason: str | None) -> None:
    dispatch = turned.pop("dispatch", None)
    if reason is not None and dispatch is not False:
        raise CommandError(
            "A tenant's reason is kept with --dispatch off only. Nothing was turned."
        )
    if dispatch is not None:
        if dispatch:
            tenant_resume(slug=slug)
        else:
            tenant_pause(slug=slug, reason=reason or "")
    on = {FIELDS[option]: value for option, value in turned.items()}
    tenant_switch(slug=slug, **on)


def _line(row: dict[str, Any]) -> str:
    off = ", ".join(option for option in FIELDS if not row[option])
    why = f"  ({row['reason']})" if row["reason"] else ""
    return f"{row['scope']} {row['name']}  off: {off}{why}"
