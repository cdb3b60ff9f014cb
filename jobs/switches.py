"""Three switches for a tenant, a kind and a pool: accept, dispatch, schedule.

All are on unless somebody turns them off. Without *accept* new jobs are refused,
without *dispatch* none is handed to a worker, without *schedule* a scheduled job stays
so when its time comes. What runs goes on to its end, and what was accepted is kept. A
tenant's own switches are on its row (`is_accepting`, `is_paused`, `is_scheduling`),
those of kinds and pools are rows of `Switch`.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models import Switch
from jobs.statements import rows
from tenants.models import Tenant, check_line

#: How long a process goes by what it read of a tenant's switches.
READ_SECONDS: Final = 1.0
_MOST_READ: Final = 10_000

#: What a person calls a switch, and its field.
FIELDS: Final = {
    "accept": "is_accepting",
    "dispatch": "is_dispatching",
    "schedule": "is_scheduling",
}

_POOL_KNOWN: Final = """
SELECT EXISTS (SELECT FROM jobs_worker WHERE pool = %(pool)s)
    OR EXISTS (SELECT FROM tenants_tenant WHERE pool = %(pool)s)
    OR EXISTS (SELECT FROM tenants_tier WHERE default_pool = %(pool)s)
    OR EXISTS (SELECT FROM jobs_switch WHERE scope = 'pool' AND name = %(pool)s)
"""

# Those that are off and concern the tenant's jobs; `name` is empty for its own.
_OFF = """
SELECT 'tenant', t.slug, '' FROM tenants_tenant t
WHERE t.slug = %(tenant)s AND {own}
UNION ALL
SELECT s.scope, s.name, s.reason
FROM jobs_switch s, tenants_tenant t JOIN tenants_tier tier ON tier.name = t.tier_id
WHERE t.slug = %(tenant)s AND NOT s.{switch}
  AND (s.scope = 'kind'
       OR s.name = COALESCE(NULLIF(t.pool, ''), tier.default_pool))
"""
_ACCEPTING: Final = _OFF.format(own="NOT t.is_accepting", switch="is_accepting")
_SCHEDULING: Final = _OFF.format(own="NOT t.is_scheduling", switch="is_scheduling")
# That a tenant is paused is known in other ways: it is a gate of the scheduler.
_DISPATCHING: Final = _OFF.format(own="false", switch="is_dispatching")


@dataclass(frozen=True, slots=True)
class Off:
    """A switch that is off, of what and why."""

    scope: str
    name: str
    reason: str

    def concerns(self, kind: str) -> bool:
        """Return whether it stops jobs of this kind."""
        return self.scope != Switch.Scope.KIND or self.name == kind

    def __str__(self) -> str:
        """Return it in words: `the kind ingest`. The reason is for staff only."""
        return f"the {self.scope} {self.name}"


@dataclass(frozen=True, slots=True)
class Stops:
    """The kinds and pools of which nothing is to be dispatched."""

    kinds: frozenset[str] = frozenset()
    pools: frozenset[str] = frozenset()


def stops() -> Stops:
    """Return what is not to be dispatched; a tenant's pause is in its settings."""
    found = rows("SELECT scope, name FROM jobs_switch WHERE NOT is_dispatching", {})
    return Stops(
        kinds=frozenset(name for scope, name in found if scope == Switch.Scope.KIND),
        pools=frozenset(name for scope, name in found if scope == Switch.Scope.POOL),
    )


class NotAcceptingError(RuntimeError):
    """New jobs of this tenant, kind or pool are refused for now."""

    def __init__(self, off: Off) -> None:
        super().__init__(
            f"No new jobs are taken for {off}. Nothing was written; try again later."
        )


_read: dict[str, tuple[float, list[Off]]] = {}


def check_accepting(*, tenant: str, kind: str) -> None:
    """Return if new jobs are taken; within a second of a change. Call it in a scope.

    Raises NotAcceptingError.
    """
    until, found = _read.get(tenant, (0.0, []))
    if time.monotonic() >= until:
        if len(_read) >= _MOST_READ:
            _read.clear()
        found = _off(_ACCEPTING, tenant)
        _read[tenant] = time.monotonic() + READ_SECONDS, found
    for off in found:
        if off.concerns(kind):
            raise NotAcceptingError(off)


def not_dispatching(*, tenant: str, kind: str) -> Off | None:
    """Return which switch of a kind or pool keeps a job from workers, if any."""
    return _first(_off(_DISPATCHING, tenant), kind)


def not_scheduling(*, tenant: str, kind: str) -> Off | None:
    """Return which switch keeps a tenant's job scheduled, if any."""
    return _first(_off(_SCHEDULING, tenant), kind)


def _off(statement: str, tenant: str) -> list[Off]:
    return [Off(*row) for row in rows(statement, {"tenant": tenant})]


def _first(found: Iterable[Off], kind: str) -> Off | None:
    return next((off for off in found if off.concerns(kind)), None)


def switch_set(*, scope: str, name: str, reason: str | None = None, **on: bool) -> Any:
    """Turn switches of a kind or a pool; `is_accepting=False` turns that one off.

    What is not named stays as it is; with everything on no reason is left. Returns the
    row. Raises ValidationError for a reason that is not one line.
    """
    with transaction.atomic():
        locked = Switch.objects.select_for_update()
        switch, _ = locked.get_or_create(scope=scope, name=name)
        for field, value in on.items():
            setattr(switch, field, value)
        if reason is not None:
            check_line("reason", reason)
            switch.reason = reason
        switch.changed_at = Now()
        switch.full_clean(exclude=["changed_at"], validate_unique=False)
        switch.save()
        forget_reason(switch)
    switch.refresh_from_db()
    return switch


def forget_reason(switch: Switch) -> None:
    """Take a reason away that explains nothing, lest it come back with another."""
    all_on = dict.fromkeys(FIELDS.values(), True)
    Switch.objects.filter(pk=switch.pk, **all_on).update(reason="")


def is_pool_known(name: str) -> bool:
    """Return whether a worker, a tenant or a tier names this pool, or a switch does."""
    ((is_known,),) = rows(_POOL_KNOWN, {"pool": name})
    return bool(is_known)


def turned_off() -> list[dict[str, Any]]:
    """Return whose switches are off, which, and why. Call it in a scope."""
    off = Q(is_accepting=False) | Q(is_scheduling=False)
    found: list[dict[str, Any]] = [
        {
            "scope": "tenant",
            "name": tenant.slug,
            "accept": tenant.is_accepting,
            "dispatch": not tenant.is_paused,
            "schedule": tenant.is_scheduling,
            "reason": tenant.paused_reason,
        }
        for tenant in Tenant.objects.filter(off | Q(is_paused=True)).order_by("slug")
    ]
    switched = Switch.objects.filter(off | Q(is_dispatching=False))
    for switch in switched.order_by("scope", "name"):
        on = {option: getattr(switch, field) for option, field in FIELDS.items()}
        names = {"scope": switch.scope, "name": switch.name}
        found.append({**names, **on, "reason": switch.reason})
    return found
