"""The queues on the broker, declared alike by whoever publishes and consumes.

On RabbitMQ a pool has a quorum queue whose refused messages go to `jobs.dead`; the
Redis transport ignores such arguments.
"""

from kombu import Exchange, Queue

#: The task that a message on a pool's queue names.
RUN_ATTEMPT = "jobs.tasks.run_attempt"

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


def has_dead_letters(name: str) -> bool:
    """Return whether RabbitMQ keeps what is refused on the queue of that name."""
    return name.startswith("jobs.") and name != DEAD_LETTER_QUEUE.name
