"""The ledger of jobs, and the processes that work through it."""

from django.apps import AppConfig
from django.conf import settings


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        """Register the synthetic kind where load tests ask for it."""
        if settings.SYNTHETIC_KINDS:
            from jobs import handlers, synthetic

            handlers.register(synthetic.SLEEP)
