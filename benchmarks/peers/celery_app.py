"""The Celery application of the peers: what its workers and producers import.

The safest usual settings: late acknowledgement, one message ahead, confirmed
publishing. Everything else is Celery's default.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import django
from celery import Celery
from kombu import Queue

from benchmarks.peers import recording
from benchmarks.peers.plan import JobSpec
from benchmarks.peers.variables import PER_TENANT, QUEUES, RESULTS

if RESULTS in os.environ:
    django.setup()  # a producer does it itself; Celery would do it in a worker

_names: list[str] = json.loads(Path(os.environ[QUEUES]).read_text(encoding="utf-8"))
_per_tenant = PER_TENANT in os.environ

app = Celery("bench", set_as_current=True)
app.conf.update(
    broker_url=os.environ["BROKER_URL"],
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_queues=[Queue(name, routing_key=name) for name in _names],
    task_default_queue=_names[0],
    task_ignore_result=RESULTS not in os.environ,
)
if RESULTS in os.environ:
    app.conf.update(
        result_backend="django-db",
        task_track_started=True,
        # Without it Celery closes the connection before and after every task.
        CELERY_DB_REUSE_MAX=1_000_000_000,
    )


@app.task(name="bench.job")  # type: ignore[misc,unused-ignore] # typed by celery-types
def job(tenant: str, called_at: float, seconds: float, steps: int) -> None:
    """Do one job."""
    recording.perform(tenant, called_at, seconds, steps)


class CelerySender:
    """Publishes one message per job."""

    def __init__(self) -> None:
        # Without confirms for floods: the fastest that a producer can be.
        options = {"confirm_publish": False}
        self._connection = app.connection_for_write(transport_options=options)
        self._channel: Any = self._connection.channel()
        self._unconfirmed = app.amqp.Producer(self._channel, auto_declare=False)

    def send(self, spec: JobSpec, called_at: float) -> str:
        """Publish one job, confirmed by the broker."""
        self._publish(spec, called_at)
        return ""

    def send_many(self, specs: Sequence[JobSpec], called_at: float) -> list[str]:
        """Publish jobs without waiting for the broker: Celery has no batches."""
        for spec in specs:
            self._publish(spec, called_at, producer=self._unconfirmed)
        return [""] * len(specs)

    def close(self) -> None:
        """Close the connection once the broker has taken everything from it."""
        # A call that is answered: what was written before it has arrived.
        self._channel.basic_qos(0, 0, False)
        self._connection.release()

    def _publish(self, spec: JobSpec, called_at: float, **options: Any) -> None:
        queue = spec.alias if _per_tenant else _names[0]
        arguments = (spec.tenant, called_at, spec.seconds, spec.steps)
        job.apply_async(arguments, queue=queue, **options)


def sender() -> CelerySender:
    """Return what hands jobs to Celery."""
    return CelerySender()
