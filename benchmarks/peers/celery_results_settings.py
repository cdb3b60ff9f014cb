"""Django settings of a Celery worker that keeps results with django-celery-results."""

import os

import environ

SECRET_KEY = "benchmark"  # noqa: S105 # signs nothing
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_results"]
DATABASES = {
    "default": {
        **environ.Env.db_url_config(os.environ["DATABASE_URL"]),
        "CONN_MAX_AGE": None,
    }
}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
