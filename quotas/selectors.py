"""Reads of quotas."""

from quotas.models import Quota
from tenants.selectors import UnknownTenantError


def quota_get(*, slug: str) -> Quota:
    """Return a tenant's quota with the tenant and its tier.

    Raises UnknownTenantError.
    """
    try:
        quota: Quota = Quota.objects.select_related("tenant__tier").get(tenant_id=slug)
    except Quota.DoesNotExist:
        raise UnknownTenantError(f"There is no tenant {slug!r}.") from None
    return quota
