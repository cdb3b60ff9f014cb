"""How a worker gets rid of a message that nobody can work on.

Where RabbitMQ keeps what is refused, the message is rejected, and the consumer of
`jobs.dead` writes it down (jobs/dead_letter_consumer.py). On a queue without dead
letters the worker writes it down itself, and then acknowledges it.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

from celery import bootsteps
from django.db import Error, connection
from kombu.message import Message

from jobs import dead_messages, messages
from jobs.dead_messages import Found
from jobs.messages import INVALID, UnreadableMessageError
from jobs.queues import DEAD_LETTER_QUEUE, RUN_ATTEMPT, has_dead_letters

logger = logging.getLogger(__name__)

Handle = Callable[[Message], Any]

#: When a message that could not be written down is tried again.
AGAIN_SECONDS: Final = 5.0


class DeadLetterQueue(bootsteps.StartStopStep):
    """Declares `jobs.dead` on each new connection, ahead of the first refusal.

    RabbitMQ keeps a refused message that it finds no way for, but looks for a way again
    only minutes later.
    """

    requires = ("celery.worker.consumer:Connection",)

    def start(self, c: Any) -> None:
        """Declare it, with its exchange, where the broker is RabbitMQ."""
        if c.connection.transport.driver_type == "amqp":
            DEAD_LETTER_QUEUE(c.connection.default_channel).declare()


def guarded(handle: Handle, consumer: Any) -> Handle:
    """Return Celery's handler of messages behind a look at each of them."""

    def on_message(message: Message) -> Any:
        try:
            if messages.task_of(message) == RUN_ATTEMPT:
                messages.attempts_of(message)
            return handle(message)
        except UnreadableMessageError as error:
            refuse(consumer, message, error.reason, error.detail)
        except (*consumer.connection_errors, *consumer.connection.channel_errors):
            raise
        except Exception as error:
            # An exception here would end the worker, and the next one as well.
            logger.exception("Unable to handle a message")
            refuse(consumer, message, INVALID, f"{type(error).__name__} on handling it")
        return None

    return on_message


def refuse(consumer: Any, message: Message, reason: str, detail: str) -> None:
    """Have the message kept as a dead one, and off the queue."""
    queue = queue_of(message)
    # The body may hold anything, so no log says more of it.
    logger.error("Refused a message of %s, %s: %s", queue, reason, detail)
    errors = consumer.connection_errors
    is_rabbitmq = consumer.connection.transport.driver_type == "amqp"
    if is_rabbitmq and has_dead_letters(queue):
        message.reject_log_error(logger, errors)
        return
    try:
        dead_messages.keep(found(message, queue, reason, detail))
    except Error:
        logger.exception("Unable to keep a dead message; trying again")
        connection.close()
        again = (consumer, message, reason, detail)
        consumer.timer.call_after(AGAIN_SECONDS, refuse, again)
        return
    message.ack_log_error(logger, errors)


def queue_of(message: Message) -> str:
    """Return the queue that a message was read from."""
    # Each queue of the product has a direct exchange, and a key of its own name.
    return str((message.delivery_info or {}).get("routing_key") or "")


def found(
    message: Message,
    queue: str,
    reason: str,
    detail: str,
    attempt_ids: list[int] | None = None,
) -> Found:
    """Return a message as it is written down."""
    return Found(
        queue=queue,
        reason=reason,
        detail=detail,
        body=messages.raw_body(message),
        content_type=message.content_type or "",
        content_encoding=message.content_encoding or "",
        headers=message.headers,
        attempt_ids=attempt_ids,
    )
