"""The servers of a run: those that the tests find or start, in corners of our own."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from kombu import Connection
from redis import Redis

from benchmarks.live.workspace import BenchError, Servers
from tests.services import postgresql, rabbitmq, redis
from tests.services.service import Wish

#: The tests use number 9, people mostly 0.
REDIS_DATABASES: Final = range(10, 16)


@contextmanager
def servers(scratch: Path, *, private: bool) -> Iterator[Servers]:
    """Provide PostgreSQL, RabbitMQ and Redis, and leave nothing in them.

    With `private`, servers of our own are started; otherwise the running ones are
    taken where they admit us. Raises ServiceError or BenchError.
    """
    wish = Wish(environ=os.environ, scratch=scratch, private=private)
    with ExitStack() as stack:
        database = stack.enter_context(postgresql.provide(wish))
        broker = stack.enter_context(rabbitmq.provide(wish))
        cache = stack.enter_context(redis.provide(wish))
        database_url = database.environment["DATABASE_URL"]
        broker_url = broker.environment["BROKER_URL"]
        redis_url = _empty_database(cache.environment["REDIS_URL"])
        stack.callback(_flush, redis_url)
        for service in (database, broker, cache):
            print(service, flush=True)
        yield Servers(
            database_url=database_url,
            broker_url=broker_url,
            redis_url=redis_url,
            versions={
                "PostgreSQL": _postgresql_version(database_url),
                "RabbitMQ": _rabbitmq_version(broker_url),
                "Redis": _redis_version(redis_url),
            },
        )


def _empty_database(url: str) -> str:
    """Return the URL of a numbered database in which there is nothing."""
    parts = urlsplit(url)
    for number in REDIS_DATABASES:
        candidate = urlunsplit(parts._replace(path=f"/{number}"))
        with Redis.from_url(candidate) as client:
            if client.dbsize() == 0:
                return candidate
    raise BenchError("no Redis database from 10 to 15 is empty")


def _flush(url: str) -> None:
    with Redis.from_url(url) as client:
        client.flushdb()


def _postgresql_version(url: str) -> str:
    with closing(psycopg2.connect(url)) as connection:
        return str(connection.info.parameter_status("server_version"))


def _rabbitmq_version(url: str) -> str:
    with Connection(url) as connection:
        connection.connect()
        properties = connection.connection.server_properties
    return str(properties.get("version", "unknown"))


def _redis_version(url: str) -> str:
    with Redis.from_url(url) as client:
        return str(client.info("server")["redis_version"])
