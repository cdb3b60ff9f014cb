"""Publishing: the only place that puts attempts on the broker."""

import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final
from uuid import uuid4

from celery import Celery
from kombu import Connection, Producer, Queue
from kombu.exceptions import OperationalError

from jobs.queues import RUN_ATTEMPT

#: How long a batch may wait for the broker's confirms, and a new connection for its
#: answer. Shorter than the dispatcher's lease, which nobody renews meanwhile.
CONFIRM_SECONDS: Final = 2.0
CONNECT_SECONDS: Final = 1.5


class Publisher:
    """Publishes bundles of attempt ids to pools, confirmed by the broker where it can.

    The confirms of a batch are collected together: one wait for all its messages.
    """

    def __init__(self, app: Celery) -> None:
        self.app = app
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._confirms: _Confirms | None = None

    def open(self) -> None:
        """Open the connection ahead of the first message, which then need not wait.

        Raises kombu's OperationalError or OSError when the broker is away.
        """
        self._open()

    def publish(
        self,
        queue: Queue,
        bundles: Sequence[Sequence[int]],
        limits: Sequence[int] = (),
    ) -> None:
        """Put one message for each bundle on a pool's queue.

        `limits` are the seconds after which a worker stops a bundle by force, for as
        many of them as are given.

        Returns once the broker has them all. Raises kombu's OperationalError or OSError
        when the broker is away, refuses one or has no such queue; messages may have
        arrived all the same, which does no harm: an attempt starts once.
        """
        try:
            producer = self._open()
            producer.maybe_declare(queue)
            for attempt_ids, limit in zip_longest(bundles, limits):
                self._send(producer, queue, attempt_ids, limit)
            if self._confirms is not None:
                self._confirms.wait(CONFIRM_SECONDS)
        except Exception as error:
            broken = self._connection
            self._drop()
            if broken is not None and isinstance(error, _lost(broken)):
                raise OperationalError(str(error)) from error
            raise

    def close(self) -> None:
        """Let the connection go; the next message opens another one."""
        if self._connection is not None:
            self._connection.release()
        self._connection = self._producer = self._confirms = None

    def _drop(self) -> None:
        """Let the connection go without a word: a broker that hangs says no farewell.

        To wait for one would hold the dispatcher up for as long as the broker hangs.
        """
        if self._connection is not None:
            self._connection.collect(CONNECT_SECONDS)
        self._connection = self._producer = self._confirms = None

    def _send(
        self,
        producer: Producer,
        queue: Queue,
        attempt_ids: Sequence[int],
        limit: int | None,
    ) -> None:
        """Send a task as Celery's send_task does, without finding its way each time."""
        message = self.app.amqp.create_task_message(
            str(uuid4()),
            RUN_ATTEMPT,
            kwargs={"attempt_ids": list(attempt_ids)},
            ignore_result=True,
            time_limit=limit,
        )
        producer.publish(
            message.body,
            serializer="json",
            headers=message.headers,
            exchange="",
            routing_key=queue.name,
            mandatory=True,
            **message.properties,
        )

    def _open(self) -> Producer:
        if self._producer is None:
            self._connection = self.app.connection_for_write(
                connect_timeout=CONNECT_SECONDS,
                transport_options={
                    "confirm_publish": False,
                    # Of the socket: they bound what has no timeout of its own.
                    "read_timeout": CONFIRM_SECONDS,
                    "write_timeout": CONFIRM_SECONDS,
                },
            )
            self._connection.ensure_connection(max_retries=1, interval_start=0)
            channel = self._connection.channel()
            self._producer = Producer(channel, auto_declare=False)
            if hasattr(channel, "confirm_select"):
                self._confirms = _Confirms(channel)
        return self._producer


class _Confirms:
    """Counts what a channel published against what the broker confirmed."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._published = 0
        self._unconfirmed: set[int] = set()
        self._refusal: Exception | None = None
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        send = channel.basic_publish

        def publish(*args: Any, **kwargs: Any) -> Any:
            self._published += 1
            self._unconfirmed.add(self._published)
            return send(*args, **kwargs)

        channel.basic_publish = publish

    def wait(self, seconds: float) -> None:
        """Return once everything is confirmed.

        Raises OperationalError when it takes longer, or when a message was returned:
        RabbitMQ confirms what it could not route.
        """
        deadline = time.monotonic() + seconds
        while self._unconfirmed and self._refusal is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise OperationalError("the broker did not confirm in time")
            try:
                self._channel.connection.drain_events(timeout=left)
            except TimeoutError as error:
                raise OperationalError("the broker did not confirm in time") from error
        if self._refusal is not None:
            raise OperationalError(str(self._refusal)) from self._refusal

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        if multiple:
            self._unconfirmed = {t for t in self._unconfirmed if t > delivery_tag}
        else:
            self._unconfirmed.discard(delivery_tag)

    def _on_nack(self, *_: Any) -> None:
        # The queue is full or its quorum is gone; which message it was is no matter.
        self._refusal = OperationalError("the broker refused a message")

    def _on_return(self, refusal: Exception, *_: Any) -> None:
        self._refusal = refusal


def _lost(connection: Connection) -> tuple[type[BaseException], ...]:
    return (*connection.connection_errors, *connection.channel_errors)
