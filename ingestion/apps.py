"""Files of transactions, brought in row by row with honest rejects."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class IngestionConfig(AppConfig):
    name = "ingestion"

    def ready(self) -> None:
        """Register the job kind that loads a file, and what files ask of the ledger."""
        from ingestion import profiles, pruning
        from ingestion.handlers import INGEST
        from ingestion.invariants import INVARIANTS
        from jobs import handlers, invariants

        handlers.register(INGEST)
        invariants.register(*INVARIANTS)
        pruning.register()
        post_migrate.connect(profiles.bring_built_in, sender=self)
