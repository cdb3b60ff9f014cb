"""System checks on how the product logs in to PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning
from django.core.checks import register as register_check
from django.db import connection

_LOGIN_ROLE = """
SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user
"""
EXEMPT = "The database role bypasses row-level security outside a tenant scope."
EXEMPT_HINT = (
    "Give DATABASE_URL a role made by "
    "CREATE ROLE dtq LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS."
)


def register() -> None:
    """Register the checks; Django runs them before `migrate` and with `check`."""
    register_check(login_role_is_bound, Tags.database)


def login_role_is_bound(
    *, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Warn when the login role is exempt from row-level security outside a scope."""
    if not databases or connection.alias not in databases:
        return []
    if not login_role_is_exempt():
        return []
    return [Warning(EXEMPT, hint=EXEMPT_HINT, id="tenants.W001")]


def login_role_is_exempt() -> bool:
    """Return whether row-level security does not bind the login role."""
    with connection.cursor() as cursor:
        cursor.execute(_LOGIN_ROLE)
        (is_exempt,) = cursor.fetchone()
    return bool(is_exempt)
