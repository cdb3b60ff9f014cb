"""Reads of tenants and of their keys."""

from django.db.models import QuerySet

from tenants.models import ApiKey, Tenant, Tier


class UnknownTenantError(LookupError):
    """No tenant has this slug."""


class UnknownTierError(LookupError):
    """No tier has this name."""


def tenant_get(*, slug: str) -> Tenant:
    """Return a tenant with its tier.

    Raises UnknownTenantError.
    """
    try:
        tenant: Tenant = Tenant.objects.select_related("tier").get(slug=slug)
    except Tenant.DoesNotExist:
        raise UnknownTenantError(f"There is no tenant {slug!r}.") from None
    return tenant


def tenant_list() -> QuerySet[Tenant]:
    """Return every tenant in view with its tier and quota, by slug."""
    return Tenant.objects.select_related("tier", "quota").order_by("slug")


def tier_get(*, name: str) -> Tier:
    """Return a tier.

    Raises UnknownTierError, which names the tiers that exist.
    """
    tiers = {tier.name: tier for tier in Tier.objects.all()}
    try:
        return tiers[name]
    except KeyError:
        known = ", ".join(sorted(tiers))
        raise UnknownTierError(
            f"There is no tier {name!r}; use one of: {known}."
        ) from None


def api_key_find(*, key_id: str) -> ApiKey | None:
    """Return the key with this public id, if there is one."""
    return ApiKey.objects.filter(id=key_id).first()


def api_key_list(*, slug: str) -> QuerySet[ApiKey]:
    """Return a tenant's keys, newest first."""
    return ApiKey.objects.filter(tenant_id=slug).order_by("-created_at", "id")
