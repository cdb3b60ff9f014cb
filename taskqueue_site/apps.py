"""The composition root as Django applications."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class SiteConfig(AppConfig):
    """Carries the commands that run the product as a whole."""

    name = "taskqueue_site"
    default = True

    def ready(self) -> None:
        """Make the Celery application the current one in every process."""
        import taskqueue_site.celery  # noqa: F401


class AdminConfig(admin_apps.AdminConfig):
    """Django's admin with the product's own site."""

    default = False
    default_site = "taskqueue_site.site.Site"
