"""Who the work belongs to: tenants, their tiers, members and API keys."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        """Register the system checks and the grants that follow each migration."""
        from tenants import checks, rls

        checks.register()
        post_migrate.connect(rls.grant_platform_tables, sender=self)
