"""The composition root as Django applications."""

import gc

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.contrib.staticfiles import apps as static_apps


class SiteConfig(AppConfig):
    """Carries the commands that run the product as a whole."""

    name = "taskqueue_site"
    default = True

    def ready(self) -> None:
        """Make the Celery application the current one in every process.

        All has been imported by now: garbage is looked for in what comes after it, and
        children share the memory of what came before.
        """
        import taskqueue_site.celery  # noqa: F401

        gc.freeze()
        gc.enable()


class AdminConfig(admin_apps.AdminConfig):
    """Django's admin with the product's own site."""

    default = False
    default_site = "taskqueue_site.site.Site"


class StaticFilesConfig(static_apps.StaticFilesConfig):
    """Static files without those of pages that the product does not have."""

    default = False
    ignore_patterns = [
        *static_apps.StaticFilesConfig.ignore_patterns,
        "redoc",
        "rest_framework",
    ]
