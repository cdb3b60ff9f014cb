"""`manage.py apikey`: create, list and revoke the API keys of a tenant."""

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from tenants.management.product_command import ProductCommand, command_errors
from tenants.models import ApiKey
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError, api_key_list, tenant_get
from tenants.services import UnknownKeyError, api_key_create, api_key_revoke

Action = Callable[..., tuple[str, Any]]


class Command(ProductCommand):
    help = "Create, list and revoke the API keys of a tenant."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare one subcommand for each thing that can be done with keys."""
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a key; it is printed once")
        create.add_argument("slug", metavar="SLUG", help="the tenant")
        create.add_argument("--name", default="", help="what the key is for")
        shown = actions.add_parser("list", help="show a tenant's keys, never in full")
        shown.add_argument("slug", metavar="SLUG", help="the tenant")
        revoke = actions.add_parser("revoke", help="make a key open nothing")
        revoke.add_argument("key_id", metavar="ID", help="the 8 characters of its id")
        subparsers: list[ArgumentParser] = [create, shown, revoke]
        for subparser in subparsers:
            self.add_common_arguments(subparser)

    def handle(self, *_: Any, action: str, as_json: bool, **options: Any) -> None:
        """Run one subcommand."""
        act: dict[str, Action] = {
            "create": self._create,
            "list": self._list,
            "revoke": self._revoke,
        }
        with (
            command_errors(UnknownTenantError, UnknownKeyError),
            all_tenants(reason=f"manage.py apikey {action}"),
        ):
            text, value = act[action](**options)
        self.write(text, value, as_json=as_json)

    def _create(self, *, slug: str, name: str, **_: Any) -> tuple[str, Any]:
        api_key, text = api_key_create(slug=slug, name=name, now=timezone.now())
        return text, {"key": text, "id": api_key.id, "tenant_id": api_key.tenant_id}

    def _list(self, *, slug: str, **_: Any) -> tuple[str, Any]:
        tenant_get(slug=slug)
        found = list(api_key_list(slug=slug))
        lines = [f"{key.id}  {_standing(key):<8}  {key.name}".rstrip() for key in found]
        return "\n".join(lines) or "No keys.", [_report(key) for key in found]

    def _revoke(self, *, key_id: str, **_: Any) -> tuple[str, Any]:
        api_key = api_key_revoke(key_id=key_id, now=timezone.now())
        return f"{api_key.id} of {api_key.tenant_id} is revoked.", _report(api_key)


def _standing(api_key: ApiKey) -> str:
    if api_key.revoked_at is not None:
        return "revoked"
    if api_key.expires_at is not None and api_key.expires_at <= timezone.now():
        return "expired"
    return "active"


def _report(api_key: ApiKey) -> dict[str, Any]:
    return {
        "id": api_key.id,
        "tenant_id": api_key.tenant_id,
        "name": api_key.name,
        "standing": _standing(api_key),
        "created_at": _text(api_key.created_at),
        "last_used_at": _text(api_key.last_used_at),
        "expires_at": _text(api_key.expires_at),
        "revoked_at": _text(api_key.revoked_at),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
