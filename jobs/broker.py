"""Publishing: the only place that puts attempts on the broker."""

from collections.abc import Sequence

from celery import Celery
from kombu import Queue

from jobs.queues import RUN_ATTEMPT


class Publisher:
    """Publishes attempt ids to pools, confirmed by the broker where it can."""

    def __init__(self, app: Celery) -> None:
        self.app = app

    def publish(self, queue: Queue, attempt_ids: Sequence[int]) -> None:
        """Put one message on a pool's queue.

        Returns once the broker has it. Raises kombu's OperationalError or OSError when
        the broker is away or has no such queue; the message may still have arrived,
        which does no harm: an attempt starts once.
        """
        if queue.name not in self.app.amqp.queues:
            self.app.amqp.queues.add(queue)
        self.app.send_task(
            RUN_ATTEMPT,
            kwargs={"attempt_ids": list(attempt_ids)},
            queue=queue.name,
            mandatory=True,
        )
