"""The Celery application and the queues it declares."""

import os

from celery import Celery
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")

app = Celery("taskqueue_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

#: Where RabbitMQ puts a message that it gave up on.
DEAD_LETTER_EXCHANGE = Exchange("jobs.dlx", type="fanout", durable=True)
DEAD_LETTER_QUEUE = Queue(
    "jobs.dead",
    DEAD_LETTER_EXCHANGE,
    durable=True,
    queue_arguments={"x-queue-type": "quorum"},
)
MAINTENANCE_QUEUE = Queue("maintenance", Exchange("maintenance"), "maintenance")


def pool_queue(pool: str) -> Queue:
    """Return the queue of one pool, declared alike by dispatcher and workers.

    The delivery limit only guards against a message that kills its consumer for ever;
    whether a job is dead is decided in the ledger, never by this count.
    """
    name = f"jobs.{pool}"
    return Queue(
        name,
        Exchange(name, type="direct", durable=True),
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": 20,
            "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


app.conf.task_queues = (MAINTENANCE_QUEUE,)
app.conf.task_routes = {"jobs.tasks.housekeeping": {"queue": "maintenance"}}
