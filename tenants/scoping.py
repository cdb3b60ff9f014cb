"""The two walls between tenants.

Wall one is here and in Python: a tenant-owned model is reached through `ScopedManager`,
which raises outside a scope and filters inside one. Wall two is in PostgreSQL: a scope
opens a transaction as a role that row-level security binds (tenants/rls.py), so that a
query which forgot its filter finds nothing instead of another tenant's rows.

    with tenant_scope("t1"):                     # role dtq_tenant, rows of t1 only
        Job.objects.count()
    with all_tenants(reason="dispatch"):         # role dtq_platform, every row
        Job.objects.count()

The hot path writes single statements; `apart` sends each with its scope in one trip.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection, models, transaction

from tenants import acting

TENANT_ROLE = "dtq_tenant"
PLATFORM_ROLE = "dtq_platform"

_ENTER = f"""
{acting.TELL.rstrip()},
       set_config('role', %(scope_role)s, true),
       set_config('app.tenant', %(scope_tenant)s, true)
"""

ModelT = TypeVar("ModelT", bound=models.Model)


class UnscopedQueryError(RuntimeError):
    """A tenant-owned table was reached outside `tenant_scope` and `all_tenants`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What the running code may see: one tenant's rows, or every row for a reason."""

    tenant: str | None
    reason: str = ""

    @property
    def role(self) -> str:
        """Return the PostgreSQL role that enforces this scope."""
        return PLATFORM_ROLE if self.tenant is None else TENANT_ROLE


_current: ContextVar[Scope | None] = ContextVar("scope", default=None)


def current_scope() -> Scope:
    """Return the scope in force.

    Raises UnscopedQueryError outside any.
    """
    scope = _current.get()
    if scope is None:
        raise UnscopedQueryError(
            "tenant-owned rows are read inside tenant_scope(slug) "
            "or all_tenants(reason=…)"
        )
    return scope


@contextmanager
def tenant_scope(slug: str) -> Iterator[None]:
    """Open a transaction that sees and writes the rows of one tenant only."""
    if not slug:
        raise ValueError("tenant_scope needs a tenant's slug")
    with _scope(Scope(tenant=slug)):
        yield


@contextmanager
def all_tenants(*, reason: str) -> Iterator[None]:
    """Open a transaction that sees every tenant; the reason is for the reader."""
    with _scope(Scope(tenant=None, reason=reason)):
        yield


@contextmanager
def _scope(scope: Scope) -> Iterator[None]:
    nested = connection.in_atomic_block
    outer = _current.get()
    with transaction.atomic():
        _enter(scope)
        token = _current.set(scope)
        try:
            yield
        finally:
            _current.reset(token)
        # A savepoint that is released keeps SET LOCAL, so the outer scope is put back;
        # the end of a transaction, or of a savepoint rolled back, does it by itself.
        if nested and not connection.needs_rollback:
            _enter(outer)


def _enter(scope: Scope | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ENTER, _settings_of(scope))


def _settings_of(scope: Scope | None) -> dict[str, str]:
    return acting.told() | {
        "scope_role": "none" if scope is None else scope.role,
        "scope_tenant": "" if scope is None else scope.tenant or "",
    }


_apart: ContextVar[Scope | None] = ContextVar("apart", default=None)


@contextmanager
def apart(*, tenant: str | None = None, reason: str = "") -> Iterator[None]:
    """Run each statement of `scoped` in a transaction of its own, in one round trip.

    For one tenant, or for every tenant with a reason. The managers refuse to be used in
    here; inside an open transaction it is an ordinary scope.
    """
    scope = Scope(tenant=tenant, reason=reason)
    if connection.in_atomic_block:
        with _scope(scope):
            yield
        return
    token = _apart.set(scope)
    try:
        yield
    finally:
        _apart.reset(token)


def scoped(statement: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the statement to execute, with its values, under the scope in force.

    Raises UnscopedQueryError outside any.
    """
    scope = _apart.get()
    if scope is None or connection.in_atomic_block:
        current_scope()
        return statement, dict(values)
    # Statements of one message are one transaction to PostgreSQL.
    return f"{_ENTER};{statement}", {**values, **_settings_of(scope)}


class ScopedManager(models.Manager[ModelT]):
    """Refuses unscoped queries and filters by the tenant in force."""

    def __init__(self, tenant_field: str = "tenant_id") -> None:
        super().__init__()
        self.tenant_field = tenant_field

    def get_queryset(self) -> models.QuerySet[ModelT]:
        """Return the rows of the scope in force."""
        rows = super().get_queryset()
        scope = current_scope()
        if scope.tenant is None:
            return rows
        return rows.filter(**{self.tenant_field: scope.tenant})


class SharedManager(ScopedManager[ModelT]):
    """Refuses unscoped queries; a tenant sees its own rows and the platform's."""

    def get_queryset(self) -> models.QuerySet[ModelT]:
        """Return the rows of the scope in force, and those of no tenant."""
        rows = models.Manager.get_queryset(self)
        scope = current_scope()
        if scope.tenant is None:
            return rows
        own = models.Q(**{self.tenant_field: scope.tenant})
        return rows.filter(own | models.Q(**{self.tenant_field: None}))


class TenantOwned(models.Model):
    """Base of every table whose rows belong to one tenant.

    The migration that creates such a table also calls `rls.protect` on it.
    """

    # Every such table has an index or a key that begins with the tenant: an index on
    # the tenant alone would only slow its writes.
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False
    )

    objects: ScopedManager[Any] = ScopedManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"
        default_manager_name = "objects"


class TenantByParent(TenantOwned):
    """Base of such tables whose rows are many, and point at others of their tenant.

    A key of two columns, or the only writer, says that it is the same tenant: a look at
    the tenants for each row, when a transaction ends, would only slow its writes.
    """

    tenant = models.ForeignKey(
        "tenants.Tenant",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )

    class Meta(TenantOwned.Meta):
        abstract = True


class TenantShared(models.Model):
    """Base of every table with rows of tenants and rows of the platform for all.

    Rows without a tenant are the platform's: every tenant reads them, and none may
    change them. The migration that creates such a table also calls `rls.share` on it.
    """

    tenant = models.ForeignKey(
        "tenants.Tenant",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )

    objects: SharedManager[Any] = SharedManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"
        default_manager_name = "objects"
