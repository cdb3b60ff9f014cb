"""Writes to quotas, and the creation of a tenant that has one."""

from decimal import Decimal

from django.db import transaction

from quotas.models import Quota
from quotas.selectors import quota_get
from tenants import services as tenants


def tenant_create(
    *,
    slug: str,
    name: str = "",
    tier: str = "standard",
    pool: str = "",
    weight: Decimal = Decimal(1),
    max_in_flight: int | None = None,
    elastic_cap: int | None = None,
    rate_per_second: Decimal | None = None,
    burst: int | None = None,
    retention_days: int | None = None,
) -> Quota:
    """Write a tenant and its quota in one transaction.

    Raises UnknownTierError, TenantExistsError or ValidationError.
    """
    with transaction.atomic():
        tenant = tenants.tenant_create(
            slug=slug, name=name, tier=tier, pool=pool, retention_days=retention_days
        )
        quota = Quota(
            tenant=tenant,
            weight=weight,
            max_in_flight=max_in_flight,
            elastic_cap=elastic_cap,
            rate_per_second=rate_per_second,
            burst=burst,
        )
        quota.full_clean(validate_unique=False, validate_constraints=False)
        quota.save(force_insert=True)
    return quota


def quota_update(
    *,
    slug: str,
    weight: Decimal | None = None,
    max_in_flight: int | None = None,
    elastic_cap: int | None = None,
    rate_per_second: Decimal | None = None,
    burst: int | None = None,
) -> Quota:
    """Change what is given of a quota and leave the rest; 0 lifts a cap or a rate.

    A rate that is lifted takes its burst along, so that a later one starts afresh.

    Raises UnknownTenantError or ValidationError.
    """
    quota = quota_get(slug=slug)
    limits = {
        "max_in_flight": max_in_flight,
        "elastic_cap": elastic_cap,
        "rate_per_second": rate_per_second,
        "burst": burst,
    }
    if weight is not None:
        quota.weight = weight
    for name, limit in limits.items():
        if limit is not None:
            setattr(quota, name, limit or None)
    if rate_per_second == 0:
        quota.burst = None
    quota.full_clean(validate_unique=False, validate_constraints=False)
    quota.save(update_fields=["weight", *limits])
    return quota
