"""What the publisher puts on the real broker."""

from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from jobs.broker import Publisher
from jobs.queues import RUN_ATTEMPT, pool_queue
from taskqueue_site.chaos.proxy import FaultProxy

#: Differs from message to message, or names who sent it.
OF_ONE_MESSAGE = {"id", "root_id", "origin"}


def taken(broker_url: str, pool: str) -> dict[str, Any]:
    """Take the one message of a pool's queue: headers, body and how it is kept."""
    with Connection(broker_url) as broker:
        queue = pool_queue(pool).bind(broker.channel())
        message = queue.get(no_ack=True)
        assert message is not None
        assert queue.get() is None
    kept = {key: message.properties[key] for key in ("delivery_mode", "priority")}
    headers = {k: v for k, v in message.headers.items() if k not in OF_ONE_MESSAGE}
    return {"headers": headers, "body": message.decode(), **kept}


def test_a_message_is_what_celery_itself_would_have_sent(
    app: Celery, publisher: Publisher, pool: str, broker_url: str
):
    publisher.publish(pool_queue(pool), [[1, 2]])
    ours = taken(broker_url, pool)
    app.amqp.queues.add(pool_queue(pool))
    app.send_task(
        RUN_ATTEMPT,
        kwargs={"attempt_ids": [1, 2]},
        queue=pool_queue(pool).name,
        ignore_result=True,
    )
    assert ours == taken(broker_url, pool)
    assert ours["headers"]["ignore_result"] is True


def test_each_message_has_an_id_of_its_own(
    publisher: Publisher, pool: str, broker_url: str
):
    publisher.publish(pool_queue(pool), [[1], [2]])
    with Connection(broker_url) as broker:
        queue = pool_queue(pool).bind(broker.channel())
        ids = [queue.get(no_ack=True).headers["id"] for _ in range(2)]
    assert len(set(ids)) == 2


def test_a_queue_that_vanished_is_an_error_once_and_declared_anew(
    publisher: Publisher, pool: str, broker_url: str
):
    publisher.publish(pool_queue(pool), [[1]])
    with Connection(broker_url) as broker:
        pool_queue(pool).bind(broker.channel()).delete()
    with pytest.raises(OperationalError):
        publisher.publish(pool_queue(pool), [[2]])
    publisher.publish(pool_queue(pool), [[3]])
    assert taken(broker_url, pool)["body"][1] == {"attempt_ids": [3]}


@pytest.mark.parametrize("is_declared", [True, False], ids=["confirm", "declare"])
def test_a_broker_that_freezes_is_given_up(
    pool: str, broker_url: str, is_declared: bool
):
    """Else the dispatcher hangs with it, and the lease of the leader runs out."""
    broker = urlsplit(broker_url)
    proxy = FaultProxy((broker.hostname or "", broker.port or 5672))
    login, _, _ = broker.netloc.rpartition("@")
    url = broker._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()
    app = Celery("test", broker=url, set_as_current=False)
    publisher = Publisher(app)
    publisher.open()
    if is_declared:
        publisher.publish(pool_queue(pool), [[1]])
    failures: list[OperationalError] = []

    def publish() -> None:
        try:
            publisher.publish(pool_queue(pool), [[2]])
        except OperationalError as error:
            failures.append(error)

    proxy.freeze()
    again = Thread(target=publish, daemon=True)
    again.start()
    again.join(20)
    is_held_up = again.is_alive()
    proxy.heal()
    again.join()
    publisher.close()
    proxy.close()
    app.close()
    assert not is_held_up
    assert len(failures) == 1
