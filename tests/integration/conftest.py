"""A dispatcher with a pool of its own on the real broker."""

import secrets
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Connection

from jobs import switches
from jobs.broker import Publisher
from jobs.dispatcher import Dispatcher
from jobs.queues import pool_queue


@pytest.fixture
def pool(broker_url: str) -> Iterator[str]:
    """A pool of its own, whose queue is removed after the test."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    with Connection(broker_url) as connection:
        for used in (name, f"{name}-before"):
            pool_queue(used).bind(connection.channel()).delete()


@pytest.fixture
def app(broker_url: str) -> Iterator[Celery]:
    """A Celery application that publishes with confirms."""
    app = Celery("test", broker=broker_url, set_as_current=False)
    app.conf.broker_transport_options = {"confirm_publish": True}
    app.conf.task_publish_retry = False
    yield app
    app.close()


@pytest.fixture
def publisher(app: Celery) -> Iterator[Publisher]:
    publisher = Publisher(app)
    yield publisher
    publisher.close()


@pytest.fixture
def dispatcher(publisher: Publisher) -> Dispatcher:
    return Dispatcher(holder="test", publisher=publisher)


@pytest.fixture(autouse=True)
def no_switch_is_known() -> None:
    """Forget what the process has read of the last test's switches."""
    switches._read.clear()
