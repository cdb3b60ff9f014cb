"""The internal ledger against what banks and networks report."""

from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    name = "reconciliation"
