"""How a Celery worker takes part: it reports its slots, and its children's deaths.

The heartbeat runs in the consumer's own loop, so a row that is fresh means a worker
that takes messages.
"""

import logging
import os
import signal
import threading
from contextlib import suppress
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery, Task, bootsteps
from celery.signals import task_failure, worker_shutting_down
from celery.worker import consumer as celery_consumer
from django.conf import settings
from django.db import Error, connection

from jobs import draining, suspects, sweeps
from jobs.queues import RUN_ATTEMPT
from jobs.wake import wake_dispatcher
from tenants.acting import acting
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
            step
            for step in celery_consumer.Consumer.Blueprint.default_steps
            if not step.endswith(":DelayedDelivery")
        ]


class Heartbeat(bootsteps.StartStopStep):
    """Keeps this worker's row fresh from the consumer's loop."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.worker = worker
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
        draining.begin()
        last_resort = threading.Timer(settings.DRAIN_SECONDS, self._stop_children)
        last_resort.daemon = True
        last_resort.start()

    def _stop_children(self) -> None:
        """Give back what no checkpoint gave back in time, and kill who is at it."""
        try:
            with acting(why=draining.WHY), all_tenants(reason="stop a worker"):
                taken = sweeps.give_back(worker=self.worker.hostname)
        except Error:
            logger.exception("Unable to give attempts back; their leases will run out")
            taken = []
        finally:
            connection.close()
        for child in self.worker.pool._pool._pool:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        logger.warning("Stopped with %s attempts in the middle of a step", len(taken))
        wake_dispatcher(*{ended.tenant for ended in taken})

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
        with (
            acting(why="its worker's process died"),
            all_tenants(reason="a worker's child died"),
        ):
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
