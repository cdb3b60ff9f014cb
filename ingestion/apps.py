"""Files of transactions, brought in row by row with honest rejects."""

from django.apps import AppConfig


class IngestionConfig(AppConfig):
    name = "ingestion"

    def ready(self) -> None:
        """Register the job kind that loads a file."""
        from ingestion.handlers import INGEST
        from jobs import handlers

        handlers.register(INGEST)
