"""Which source a name stands for: a format of the product, or a dialect in a row.

A format goes before a dialect, and a tenant's own dialect before the platform's. What
the product brings along in ingestion/dialects/ is written to rows after each migration;
rows that somebody has edited since stay as they are.
"""

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F

from ingestion.models import DialectProfile
from ingestion.sources import registry
from ingestion.sources.base import Source
from ingestion.sources.dialect.definition import Dialect, DialectError
from ingestion.sources.dialect.source import source_of
from ingestion.sources.registry import UnknownSourceError, source_get
from jobs.handlers import JSONDict
from tenants.scoping import all_tenants, tenant_scope

FOLDER: Final = Path(__file__).parent / "dialects"
#: What a definition leaves to columns of the row.
OUTSIDE: Final = frozenset({"name", "title"})


class UnusableProfileError(UnknownSourceError):
    """The dialect of that name is no longer one that can be read by."""

    def __init__(self, source: str, error: DialectError) -> None:
        super().__init__(source)
        self._error = error

    def __str__(self) -> str:
        return f"The dialect {self.source} cannot be used: {self._error}"


def source_for(*, tenant: str, name: str) -> Source:
    """Return the source that a tenant means by a name.

    Raises UnknownSourceError.
    """
    return source_named(name, dialect_for(tenant=tenant, name=name))


def dialect_for(*, tenant: str, name: str) -> JSONDict | None:
    """Return the dialect that a tenant means by a name; None for a format.

    Whoever reads a file piece by piece keeps it: the row may change in the meantime.
    Raises UnknownSourceError.
    """
    if name in registry.SOURCES:
        return None
    with tenant_scope(tenant):
        own_first = F("tenant").asc(nulls_last=True)
        rows = DialectProfile.objects.filter(name=name).order_by(own_first)
        profile: DialectProfile | None = rows.first()
        if profile is None:
            raise UnknownSourceError(name, _names())
        return profile.dialect_json


def source_named(name: str, dialect: JSONDict | None) -> Source:
    """Return the source of a dialect, or the format of that name.

    Raises UnknownSourceError.
    """
    if dialect is None:
        return source_get(name)
    try:
        return source_of(Dialect.from_json(dialect))
    except DialectError as error:
        raise UnusableProfileError(name, error) from error


def source_names() -> list[str]:
    """Return the names of all sources in the scope in force, in order."""
    return sorted({*registry.SOURCES, *_names()})


def _names() -> list[str]:
    return list(DialectProfile.objects.values_list("name", flat=True).distinct())


# --- What the product brings along ----------------------------------------------------


@cache
def built_in() -> dict[str, tuple[str, JSONDict]]:
    """Return title and definition of each dialect in ingestion/dialects/, by name."""
    found: dict[str, tuple[str, JSONDict]] = {}
    for file in sorted(FOLDER.glob("*.json")):
        dialect = Dialect.from_json(json.loads(file.read_text("utf-8"))).to_json()
        found[dialect["name"]] = (dialect["title"], definition_of(dialect))
    return found


def definition_of(dialect: JSONDict) -> JSONDict:
    """Return what a row keeps of a dialect beside its name and title."""
    return {name: value for name, value in dialect.items() if name not in OUTSIDE}


def bring_built_in(*, using: str = DEFAULT_DB_ALIAS, **named: Any) -> None:
    """Write the product's dialects to rows of the platform, after a migration.

    A row that was edited keeps what it says, and learns what is shipped now.
    """
    if not _has_table(named.get("apps")) or using != DEFAULT_DB_ALIAS:
        return
    with all_tenants(reason="dialects of the product"):
        rows = {row.name: row for row in DialectProfile.objects.filter(tenant=None)}
        missing = built_in().keys() - rows.keys()
        DialectProfile.objects.bulk_create(
            DialectProfile(name=name, title=title, definition=shipped, shipped=shipped)
            for name, (title, shipped) in built_in().items()
            if name in missing
        )
        for name, (title, shipped) in built_in().items():
            row = rows.get(name)
            if row is not None and row.is_built_in and row.shipped != shipped:
                _renew(row, title, shipped)


def _has_table(apps: Any) -> bool:
    """Return whether the migrations that were run came as far as the table."""
    if apps is None:
        return True
    try:
        apps.get_model("ingestion", "DialectProfile")
    except LookupError:
        return False
    return True


def _renew(row: DialectProfile, title: str, shipped: JSONDict) -> None:
    if not row.is_edited:
        row.title, row.definition = title, shipped
    row.shipped = shipped
    row.save(update_fields=["title", "definition", "shipped"])


def profile_restore(*, profile: DialectProfile, now: datetime) -> None:
    """Put back what the product brought along; without that nothing changes."""
    if profile.shipped is None:
        return
    profile.title, _ = built_in().get(profile.name, (profile.title, None))
    profile.definition = profile.shipped
    profile.changed_at = now
    profile.save(update_fields=["title", "definition", "changed_at"])
