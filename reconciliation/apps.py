"""The internal ledger against what banks and networks report."""

from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    name = "reconciliation"

    def ready(self) -> None:
        """Register the kinds of jobs, and what prunings mean to their rows."""
        from jobs import handlers
        from reconciliation import pruning
        from reconciliation.handlers import RECONCILE
        from reconciliation.report_handlers import REPORT_KIND

        for kind in (RECONCILE, REPORT_KIND):
            handlers.register(kind)
        pruning.register()
