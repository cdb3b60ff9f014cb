"""How tests drive a dispatcher by hand, and stand in for its workers."""

from datetime import timedelta

from django.utils import timezone
from kombu import Connection

from jobs.dispatcher import Dispatcher
from jobs.models import Worker
from jobs.queues import pool_queue
from tenants.scoping import all_tenants
from tests.arrange import finish, make_tenant, start


def tenants(pool: str, **weights: int) -> None:
    for slug, weight in weights.items():
        make_tenant(slug, weight=weight, pool=pool)


def add_worker(pool: str, slots: int) -> None:
    """Have a worker that has been there for long and is seen to the end of the test."""
    now, hour = timezone.now(), timedelta(hours=1)
    Worker.objects.create(
        name=f"w-{pool}",
        pool=pool,
        slots=slots,
        started_at=now - hour,
        last_seen_at=now + hour,
    )


def tick(dispatcher: Dispatcher) -> None:
    """Do one whole round now, whenever the last one was."""
    dispatcher._next_round = dispatcher._next_config = 0.0
    dispatcher.chores.hasten()
    dispatcher.tick()
    while dispatcher.term is not None and dispatcher.chores.are_due:
        dispatcher.tick()


def published(broker_url: str, pool: str) -> list[int]:
    """Take every message off the pool's queue; returns the attempts they name."""
    found: list[int] = []
    with Connection(broker_url) as broker:
        queue = pool_queue(pool).bind(broker.channel())
        queue.declare()
        while message := queue.get(no_ack=True):
            _, kwargs, _ = message.decode()
            found += kwargs["attempt_ids"]
    return found


def end(attempt_id: int, *, seconds: float) -> None:
    """Start an attempt, and finish it as if it had run so long."""
    assignment = start(attempt_id).assignment
    with all_tenants(reason="test"):
        finish(assignment, {}, ran_us=round(seconds * 1_000_000))
