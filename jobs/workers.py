"""How a Celery worker takes part: it reports its slots, and its children's deaths.

The heartbeat runs in the consumer's own loop, so a row that is fresh means a worker
that takes messages.
"""

import logging
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Celery, Task, bootsteps
from celery.apps import worker as celery_app
from celery.signals import task_failure, worker_process_init, worker_shutting_down
from celery.worker import consumer as celery_consumer
from celery.worker import heartbeat
from celery.worker.consumer.heart import Heart as CeleryHeart
from django.conf import settings
from django.db import Error, connection
from kombu.message import Message

from jobs import collector, draining, limits, refusals, suspects, sweeps
from jobs.lease import Proxy
from jobs.messages import INVALID, UNDECODABLE, UNKNOWN_TASK
from jobs.queues import RUN_ATTEMPT
from jobs.wake import wake_dispatcher
from tenants.acting import acting
from tenants.scoping import all_tenants

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
EVENT_SECONDS = 0.5
RECONNECT_SECONDS = 2.0

#: The name of this process's worker, as attempts are claimed by.
_hostname = ""

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

    That step would declare 28 queues for delays, which the ledger keeps instead. A
    message that nobody can work on becomes a dead message, whatever it is.
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

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and try again every two seconds while the broker is away.

        kombu waits longer and longer, up to half a minute: so long slots would stay
        idle after the broker is back.
        """
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_max=RECONNECT_SECONDS
        )
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Look at each message before Celery does."""
        handle = super().create_task_handler(*args, **kwargs)
        return refusals.guarded(handle, self)

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep a message whose body cannot be decoded."""
        refusals.refuse(self, message, UNDECODABLE, f"{type(exc).__name__} on decoding")

    def on_unknown_message(self, body: Any, message: Message) -> None:
        """Keep a message that names no task."""
        refusals.refuse(self, message, INVALID, "the message names no task")

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:
        """Keep a message whose task this version does not have."""
        refusals.refuse(self, message, UNKNOWN_TASK, "this worker has no such task")

    def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:
        """Keep a message that Celery refuses to read."""
        refusals.refuse(self, message, INVALID, f"{type(exc).__name__} on reading it")

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
        self.worker = worker
        self.is_leaving = False
        self.is_gone = False
        self._leases = Proxy(lease_seconds=settings.LEASE_SECONDS)
        worker_shutting_down.connect(self._leave)

    def start(self, worker: Any) -> None:
        """Report at once, then every two seconds."""
        # In the parent a task's own request has no host.
        global _hostname
        _hostname = worker.hostname
        for name in ("SIGINT", "SIGQUIT"):
            # Celery's own would drop the jobs, at the second Ctrl-C or at once.
            celery_app.install_worker_term_handler(  # type: ignore[attr-defined]
                worker, sig=name
            )
        self._report(worker)
        wake_dispatcher()
        worker.timer.call_repeatedly(HEARTBEAT_SECONDS, self._report, (worker,))

    def stop(self, worker: Any) -> None:
        """Take the row away; a killed worker's goes stale instead."""
        # The loop may turn once more while the children end.
        self.is_leaving = self.is_gone = True
        self._execute(_FORGET, {"name": worker.hostname})

    def _leave(self, *, sig: str, **_: Any) -> None:
        # Runs inside a signal handler: the loop's next tick does the rest.
        is_again, self.is_leaving = self.is_leaving, True
        draining.begin()
        if sig == "SIGQUIT" or (is_again and sig == "SIGINT"):
            self._stop_children_in(0)
        elif not is_again:
            self._stop_children_in(settings.DRAIN_SECONDS)

    def _stop_children_in(self, seconds: float) -> None:
        last_resort = threading.Timer(seconds, self._stop_children)
        last_resort.daemon = True
        last_resort.start()

    def _stop_children(self) -> None:
        """Give back what no checkpoint gave back in time, and kill who is at it."""
        draining.end_now()
        taken = _give_back(self.worker.hostname)
        pool = self.worker.pool._pool
        for child in list(pool._pool) if pool else ():
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        logger.warning("Stopped with %s attempts in the middle of a step", taken)

    def _report(self, worker: Any) -> None:
        if self.is_gone:
            return
        slots = 0 if self.is_leaving else worker.concurrency
        pool = worker.app.conf.dtq_pool
        values = {"name": worker.hostname, "pool": pool, "slots": slots}
        self._execute(_REPORT, values)
        try:
            self._leases.renew()
        except Error as error:
            logger.warning("Unable to renew leases: %s", error)
            connection.close()

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
    app.steps["consumer"].add(refusals.DeadLetterQueue)
    task_failure.connect(_child_died, weak=False)
    worker_process_init.connect(_prepare_child, weak=False)


def _prepare_child(**_: Any) -> None:
    """Have a child live on when the whole group of processes is told to stop.

    As a service manager does it; the parent takes care that the child ends.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    collector.collect_seldom()


def _give_back(worker: str) -> int:
    """Queue again what a worker holds that stops; returns how many attempts."""
    try:
        with acting(why=draining.WHY), all_tenants(reason="stop a worker"):
            taken = sweeps.give_back(worker=worker)
    except Error:
        logger.exception("Unable to give attempts back; their leases will run out")
        return 0
    finally:
        # Of a thread that ends, or of a process that does.
        connection.close()
    wake_dispatcher(*{ended.tenant for ended in taken})
    return len(taken)


def _child_died(
    *,
    sender: Task[Any, Any],
    exception: BaseException,
    kwargs: dict[str, Any],
    **_: Any,
) -> None:
    """End the attempts of a child that was killed, without waiting for their lease."""
    is_lost = isinstance(exception, WorkerLostError)
    is_overdue = isinstance(exception, TimeLimitExceeded)
    if sender.name != RUN_ATTEMPT or not (is_lost or is_overdue):
        return
    attempt_ids = kwargs["attempt_ids"]
    at_work = suspects.among(attempt_ids)
    # Of no child any more: nobody may take it for at work.
    suspects.clear(at_work)
    try:
        if is_overdue:
            _end_overdue(attempt_ids, at_work)
        elif draining.is_over():
            # This worker killed it; it may have begun something just before.
            _give_back(_hostname)
        else:
            _lose(attempt_ids, at_work)
    except Error:
        logger.exception("Unable to end the attempts of a dead child; the sweep will")
        connection.close()
    wake_dispatcher()


def _end_overdue(attempt_ids: Sequence[int], at_work: Sequence[int]) -> None:
    jobs = limits.end_overdue(attempt_ids=at_work, code=limits.TIME_LIMIT)
    back = limits.hand_back_of_worker(
        worker=_hostname, attempt_ids=attempt_ids, at_work=at_work
    )
    logger.warning("Jobs %s took too long; handed back %s behind them", jobs, back)


def _lose(attempt_ids: Sequence[int], at_work: Sequence[int]) -> None:
    why = "its worker's process died"
    with acting(why=why), all_tenants(reason="a worker's child died"):
        sweeps.lose_of_worker(
            worker=_hostname,
            attempt_ids=attempt_ids,
            suspects=at_work,
            max_losses=settings.MAX_LOSSES,
        )
