"""The internal ledger against what banks and networks report."""

from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    name = "reconciliation"

    def ready(self) -> None:
        """Register the job kinds of reconciliation."""
        from jobs import handlers
        from reconciliation.handlers import RECONCILE

        handlers.register(RECONCILE)
