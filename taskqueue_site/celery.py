"""The Celery application. jobs/queues.py has the queues."""

import os

from celery import Celery

from jobs.queues import MAINTENANCE_QUEUE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")

app = Celery("taskqueue_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.task_queues = (MAINTENANCE_QUEUE,)
