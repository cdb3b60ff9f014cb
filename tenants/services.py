"""Writes to tenants and to their keys."""

import hmac
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q

from tenants import keys
from tenants.models import ApiKey, Tenant, check_line, slug_validator
from tenants.selectors import api_key_find, tenant_get, tier_get

#: How old `last_used_at` may be before a use of the key writes it again.
LAST_USED_PRECISION = timedelta(minutes=1)


class TenantExistsError(ValueError):
    """A tenant with this slug was created before."""


class UnknownKeyError(LookupError):
    """No API key has this id."""


class KeyRefusedError(ValueError):
    """An API key that opens nothing, with a code that says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def tenant_create(
    *,
    slug: str,
    name: str = "",
    tier: str = "standard",
    pool: str = "",
    retention_days: int | None = None,
) -> Tenant:
    """Write a tenant; its quota is another package's business (quotas/services.py).

    Raises UnknownTierError, TenantExistsError, or ValidationError for a bad slug.
    """
    tenant = Tenant(
        slug=slug,
        name=name,
        tier=tier_get(name=tier),
        pool=pool,
        retention_days=retention_days,
    )
    _check(tenant)
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
    except IntegrityError:
        raise TenantExistsError(f"The tenant {slug!r} exists already.") from None
    return tenant


def tenant_update(
    *,
    slug: str,
    name: str | None = None,
    tier: str | None = None,
    pool: str | None = None,
    retention_days: int | None = None,
) -> Tenant:
    """Change what is given of a tenant and leave the rest; 0 days mean the default.

    Raises UnknownTenantError, UnknownTierError or ValidationError.
    """
    tenant = tenant_get(slug=slug)
    given: dict[str, Any] = {
        "name": name,
        "pool": pool,
        "retention_days": retention_days,
    }
    given["tier"] = None if tier is None else tier_get(name=tier)
    changed = {field: value for field, value in given.items() if value is not None}
    if retention_days == 0:
        changed["retention_days"] = None
    for field, value in changed.items():
        setattr(tenant, field, value)
    _check(tenant)
    # What was read of the rest may be old by now.
    tenant.save(update_fields=sorted(changed))
    return tenant


def _check(tenant: Tenant) -> None:
    tenant.full_clean(validate_unique=False, validate_constraints=False)
    if not tenant.pool:
        return
    try:
        slug_validator(tenant.pool)  # it becomes the name of a queue
    except ValidationError as error:
        raise ValidationError({"pool": error}) from None


def tenant_pause(*, slug: str, reason: str) -> Tenant:
    """Stop dispatching a tenant's jobs; what runs goes on, and the API still accepts.

    Raises UnknownTenantError, or ValidationError for a reason that is not one line.
    """
    check_line("reason", reason)
    return _set_paused(slug=slug, is_paused=True, reason=reason)


def tenant_resume(*, slug: str) -> Tenant:
    """Dispatch a tenant's jobs again.

    Raises UnknownTenantError.
    """
    return _set_paused(slug=slug, is_paused=False, reason="")


def tenant_switch(
    *, slug: str, is_accepting: bool | None = None, is_scheduling: bool | None = None
) -> Tenant:
    """Let a tenant's new jobs in or not, and its scheduled ones be queued or not.

    Raises UnknownTenantError.
    """
    tenant = tenant_get(slug=slug)
    given = {"is_accepting": is_accepting, "is_scheduling": is_scheduling}
    changed = {field: value for field, value in given.items() if value is not None}
    for field, value in changed.items():
        setattr(tenant, field, value)
    # What was read of the rest may be old by now.
    tenant.save(update_fields=sorted(changed))
    return tenant


def _set_paused(*, slug: str, is_paused: bool, reason: str) -> Tenant:
    tenant = tenant_get(slug=slug)
    tenant.is_paused, tenant.paused_reason = is_paused, reason
    tenant.save(update_fields=["is_paused", "paused_reason"])
    return tenant


def api_key_create(
    *, slug: str, now: datetime, name: str = "", expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Write a key and return it with its full text, which exists nowhere else.

    Raises UnknownTenantError.
    """
    tenant = tenant_get(slug=slug)
    text = keys.make()
    parsed = keys.parse(text)
    api_key = ApiKey.objects.create(
        id=parsed.id,
        digest=parsed.digest,
        tenant=tenant,
        name=name,
        created_at=now,
        expires_at=expires_at,
    )
    return api_key, text


def api_key_revoke(*, key_id: str, now: datetime) -> ApiKey:
    """Make a key open nothing from now on; a revoked one keeps its first time.

    Raises UnknownKeyError.
    """
    ApiKey.objects.filter(id=key_id, revoked_at=None).update(revoked_at=now)
    api_key = api_key_find(key_id=key_id)
    if api_key is None:
        raise UnknownKeyError(f"There is no API key {key_id!r}.")
    return api_key


def api_key_use(*, key: keys.Key, now: datetime) -> ApiKey:
    """Return the stored key that a presented one opens, and note its use.

    Raises KeyRefusedError. An unknown id costs the same comparison as a wrong secret.
    """
    api_key = api_key_find(key_id=key.id)
    stored = "" if api_key is None else api_key.digest
    if not hmac.compare_digest(stored, key.digest) or api_key is None:
        raise KeyRefusedError("authentication_failed", "The API key is not valid.")
    if api_key.revoked_at is not None:
        raise KeyRefusedError("key_revoked", "The API key was revoked.")
    if api_key.expires_at is not None and api_key.expires_at <= now:
        raise KeyRefusedError("key_expired", "The API key has expired.")
    _note_use(api_key, now)
    return api_key


def _note_use(api_key: ApiKey, now: datetime) -> None:
    stale = now - LAST_USED_PRECISION
    if api_key.last_used_at is not None and api_key.last_used_at > stale:
        return
    # The condition is repeated, so that of many requests at once one writes.
    ApiKey.objects.filter(
        Q(last_used_at=None) | Q(last_used_at__lte=stale), id=api_key.id
    ).update(last_used_at=now)
