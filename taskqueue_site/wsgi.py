"""WSGI entry point: `gunicorn taskqueue_site.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")

application = get_wsgi_application()
