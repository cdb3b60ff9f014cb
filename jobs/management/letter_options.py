"""Which dead letters `manage.py dlq` is about, and how it prints what others wrote."""

from argparse import ArgumentParser
from typing import Any, Final
from uuid import UUID

from django.core.management.base import CommandError
from django.db.models import QuerySet

from jobs.models import DeadLetter
from tenants.selectors import tenant_get

#: Option, field of a dead letter.
FILTERS: Final = {
    "tenant": "tenant_id",
    "kind": "kind",
    "code": "error__code",
    "fingerprint": "fingerprint",
}


def add_filters(parser: ArgumentParser) -> None:
    """Declare the filters."""
    parser.add_argument("--tenant", metavar="SLUG")
    parser.add_argument("--kind")
    parser.add_argument("--code", help="of the error")
    parser.add_argument("--fingerprint")


def filters_of(options: dict[str, Any]) -> dict[str, str]:
    """Return the filters that were given.

    Raises CommandError for an empty one, which is a shell's variable that is not set.
    """
    given = {name: options[name] for name in FILTERS if options.get(name) is not None}
    for name, value in given.items():
        if not value.strip():
            raise CommandError(f"--{name} is empty: give it a value, or leave it out.")
    return given


def check_meant(jobs: list[UUID], options: dict[str, Any]) -> None:
    """Return if jobs, filters or `--all` say which are meant, and one of them only.

    Raises CommandError.
    """
    said = [bool(jobs), bool(filters_of(options)), bool(options.get("all"))]
    if not any(said):
        raise CommandError("Name jobs, filters such as --tenant, or --all of them.")
    if sum(said) > 1:
        raise CommandError("Name jobs, or filters, or --all: one of the three.")


def filtered(rows: QuerySet[DeadLetter], options: dict[str, Any]) -> Any:
    """Return those of the rows that the filters let through. Call it in a scope.

    Raises CommandError, or UnknownTenantError.
    """
    given = filters_of(options)
    if "tenant" in given:
        tenant_get(slug=given["tenant"])
    return rows.filter(**{FILTERS[name]: value for name, value in given.items()})
