"""How a Celery worker takes part: it reports its slots, and its children's deaths.

The heartbeat runs in the consumer's own loop, so a row that is fresh means a worker
that takes messages.
"""

import logging
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery, Task, bootsteps
from celery.signals import task_failure, worker_shutting_down
from celery.worker import consumer as celery_consumer
from celery.worker import heartbeat
from celery.worker.consumer.heart import Heart as CeleryHeart
from django.conf import settings
from django.db import Error, connection

from jobs import suspects, sweeps
from jobs.queues import RUN_ATTEMPT
from jobs.wake import wake_dispatcher
from tenants.scoping import all_tenants

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
EVENT_SECONDS = 0.5

_REPORT = """
INSERT INTO jobs_worker (name, pool, slots) VALUES (%(name)s, %(pool)s, %(slots)s)
ON CONFLICT (name) DO UPDATE
SET last_seen_at = clock_timestamp(), slots = EXCLUDED.slots
"""
_FORGET = "DELETE FROM jobs_worker WHERE name = %(name)s"


class SignsOfLife(heartbeat.Heart):
    """Tells Flower every two seconds that this worker lives, and waits for nobody.

    Celery's own tries for ever when the broker is away, in the consumer's loop: seen to
    hold a worker up for good, which then took no message and did not leave either.
    """

    def _send(self, event: str, retry: bool = False) -> Any:
        """Send an event, or keep it for the next connection."""
        return super()._send(event, retry=False)  # type: ignore[misc]


class Heart(CeleryHeart):
    """Celery's step, with the signs of life above."""

    def start(self, c: Any) -> None:
        """Begin with the consumer."""
        interval = self.heartbeat_interval  # type: ignore[attr-defined]
        c.heart = SignsOfLife(c.timer, c.event_dispatcher, interval)
        c.heart.start()


class Consumer(celery_consumer.Consumer):
    """Celery's consumer without native delayed delivery, and with fewer event messages.

    That step would declare 28 queues for delays, which the ledger keeps instead.
    """

    hub: Any
    event_dispatcher: Any
    _flush_is_due = False

    def on_send_event_buffered(self) -> Any:
        """Send the events for Flower twice a second, not once for each message."""
        if self.hub and not self._flush_is_due:
            self._flush_is_due = True
            self.hub.call_later(EVENT_SECONDS, self._flush_soon)

    def _flush_soon(self) -> None:
        self._flush_is_due = False
        if self.event_dispatcher:
            self.event_dispatcher.flush()

    class Blueprint(celery_consumer.Consumer.Blueprint):  # type: ignore[misc,valid-type]
        default_steps = [
            *(
                step
                for step in celery_consumer.Consumer.Blueprint.default_steps
                if not step.endswith((":DelayedDelivery", ":Heart"))
            ),
            Heart,
        ]


class Heartbeat(bootsteps.StartStopStep):
    """Keeps this worker's row fresh from the consumer's loop."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.is_leaving = False
        self.is_gone = False
        worker_shutting_down.connect(self._leave)

    def start(self, worker: Any) -> None:
        """Report at once, then every two seconds."""
        self._report(worker)
        wake_dispatcher()
        worker.timer.call_repeatedly(HEARTBEAT_SECONDS, self._report, (worker,))

    def stop(self, worker: Any) -> None:
        """Take the row away; a killed worker's goes stale instead."""
        # The loop may turn once more while the children end.
        self.is_leaving = self.is_gone = True
        self._execute(_FORGET, {"name": worker.hostname})

    def _leave(self, **_: Any) -> None:
        # Runs inside a signal handler: the loop's next tick does the rest.
        self.is_leaving = True

    def _report(self, worker: Any) -> None:
        if self.is_gone:
            return
        slots = 0 if self.is_leaving else worker.concurrency
        pool = worker.app.conf.dtq_pool
        values = {"name": worker.hostname, "pool": pool, "slots": slots}
        self._execute(_REPORT, values)

    def _execute(self, statement: str, values: dict[str, Any]) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
        except Error as error:
            logger.warning("Unable to report this worker: %s", error)
            connection.close()


def install(app: Celery, *, pool: str) -> None:
    """Make a worker of this process serve a pool."""
    app.conf.dtq_pool = pool
    # A pool's worker publishes nothing but events for Flower, several for each message;
    # to wait for a confirm of each would hold the next message up.
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "confirm_publish": False,
    }
    app.steps["worker"].add(Heartbeat)
    task_failure.connect(_child_died, weak=False)


def _child_died(
    *,
    sender: Task[Any, Any],
    exception: BaseException,
    kwargs: dict[str, Any],
    **_: Any,
) -> None:
    """End the attempts of a child that was killed, without waiting for their lease."""
    if sender.name != RUN_ATTEMPT or not isinstance(exception, WorkerLostError):
        return
    try:
        with all_tenants(reason="a worker's child died"):
            sweeps.lose_of_worker(
                worker=str(sender.request.hostname),
                attempt_ids=kwargs["attempt_ids"],
                suspects=suspects.among(kwargs["attempt_ids"]),
                max_losses=settings.MAX_LOSSES,
            )
    except Error:
        logger.exception("Unable to end the attempts of a dead child; the sweep will")
        connection.close()
    wake_dispatcher()
