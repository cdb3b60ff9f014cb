"""Who the work belongs to: tenants, their tiers, members and API keys."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        """Register the checks, the grants after a migration and new connections."""
        from tenants import checks, connections, rls

        checks.register()
        connections.prepare_connections()
        post_migrate.connect(rls.grant_platform_tables, sender=self)
