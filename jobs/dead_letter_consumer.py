"""The consumer of `jobs.dead`: it brings what RabbitMQ gave up in line with the ledger.

It runs in the loop of the maintenance worker. There Celery looks after the connection
and starts it again after a restart of the broker, and the dispatcher, whose turns last
milliseconds, never waits for a message. If no such worker runs, messages stay in
`jobs.dead`, and the dispatcher replaces their attempts by time.

A message that names attempts decides nothing: an attempt that nobody has started is
given back, and one that was started or settled is let be. The job then gets an attempt
of a new id, so a message that comes twice finds nothing the second time; how often a
job may be given back is bounded by the ledger, as losses of its worker are. What cannot
be read is written down. Only then is the message acknowledged.
"""

import logging
from typing import Any, Final

from celery import Celery, bootsteps
from django.conf import settings
from django.db import Error, connection
from kombu import Consumer
from kombu.message import Message

from jobs import dead_messages, handlers, messages, sweeps
from jobs.lifecycle import State
from jobs.messages import UnreadableMessageError
from jobs.queues import DEAD_LETTER_QUEUE
from jobs.refusals import AGAIN_SECONDS, found
from jobs.statements import look_after_connection
from jobs.wake import wake_dispatcher
from tenants.acting import acting
from tenants.scoping import all_tenants

logger = logging.getLogger(__name__)

#: Messages on their way at once; large ones among them are held in memory.
PREFETCHED: Final = 4


class DeadLetters(bootsteps.ConsumerStep):
    """Consumes `jobs.dead` on a channel of its own; does nothing without RabbitMQ."""

    def start(self, c: Any) -> None:
        """Declare the queue and consume from it, on each new connection."""
        self._worker = c
        if c.connection.transport.driver_type == "amqp":
            super().start(c)

    def get_consumers(self, channel: Any) -> list[Consumer]:
        """Return the one consumer, which gives bodies as they are."""
        channel.auto_decode = False
        consumer = Consumer(
            channel,
            queues=[DEAD_LETTER_QUEUE],
            accept=["json"],
            on_message=self.take,
            prefetch_count=PREFETCHED,
        )
        consumer.on_decode_error = lambda message, _: self.take(message)
        return [consumer]

    def take(self, message: Message) -> None:
        """Reconcile a message and acknowledge it; try again later without a ledger."""
        try:
            look_after_connection()
            reconcile(message)
        except Error:
            logger.exception("Unable to reconcile a dead letter; trying again")
            connection.close()
            self._worker.timer.call_after(AGAIN_SECONDS, self.take, (message,))
            return
        message.ack_log_error(logger, self._worker.connection_errors)


def reconcile(message: Message) -> None:
    """Give back what the message's attempts have left, or write the message down.

    Raises django.db.Error.
    """
    queue, word = _death_of(message)
    try:
        attempt_ids = messages.attempts_of(message)
    except UnreadableMessageError as error:
        dead_messages.keep(found(message, queue, error.reason, error.detail))
        return
    why = "the broker gave its message up"
    with acting(why=why), all_tenants(reason="reconcile a dead letter"):
        ended = sweeps.replace_given_up(
            attempt_ids=attempt_ids, max_losses=settings.MAX_LOSSES
        )
        for job in ended:
            logger.warning("Job %s of %s: %s", job.job_id, job.tenant, job.state)
            if job.state == State.DEAD:
                handlers.end_unfinished(job.kind, job.job_id)
        if ended:
            detail = f"{len(ended)} of its jobs had not started; published anew"
            dead_messages.keep(found(message, queue, word, detail, attempt_ids))
    if ended:
        wake_dispatcher(*{job.tenant for job in ended})


def _death_of(message: Message) -> tuple[str, str]:
    """Return the queue that gave the message up, and the broker's word for why."""
    headers: Any = message.headers
    deaths = headers.get("x-death") if isinstance(headers, dict) else None
    first: Any = deaths[0] if isinstance(deaths, list) and deaths else {}
    if not isinstance(first, dict):
        first = {}
    queue = str(first.get("queue") or DEAD_LETTER_QUEUE.name)
    return queue, str(first.get("reason") or "rejected")


def install(app: Celery) -> None:
    """Make a worker of this process consume the dead letters."""
    app.steps["consumer"].add(DeadLetters)
