"""How much a tenant may use: weight, caps and rates."""

from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"
