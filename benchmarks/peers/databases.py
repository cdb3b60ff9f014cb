"""Databases and queues made for one run, and removed after it."""

from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from amqp.exceptions import AMQPError
from kombu import Connection
from psycopg2 import sql


def create_database(url: str, suffix: str) -> str:
    """Create a database beside the one of `url`, named after it; return its URL."""
    parts = urlsplit(url)
    name = f"{parts.path.strip('/')}_{suffix}"
    _execute(url, "CREATE DATABASE {}", name)
    return urlunsplit(parts._replace(path=f"/{name}"))


def drop_database(url: str, name: str) -> None:
    """Drop a database and whoever is still connected to it."""
    _execute(url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def database_name(url: str) -> str:
    """Return the name of the database in a URL."""
    return urlsplit(url).path.strip("/")


def delete_queues(broker_url: str, names: list[str]) -> None:
    """Delete queues from the broker; those that are not there stay so."""
    with suppress(OSError, AMQPError), Connection(broker_url) as connection:
        channel: Any = connection.channel()
        for name in names:
            channel.queue_delete(name)


def _execute(url: str, statement: str, name: str) -> None:
    with closing(psycopg2.connect(url, connect_timeout=5)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(sql.Identifier(name)))
