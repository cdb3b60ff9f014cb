"""The three servers of a run, each behind a proxy that can misbehave."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit, urlunsplit

import redis
from amqp.exceptions import NotFound
from kombu import Connection

from taskqueue_site.chaos.proxy import FaultProxy, Target
from taskqueue_site.embedded import EmbeddedPostgres, EmbeddedValkey
from taskqueue_site.embedded_rabbitmq import EmbeddedRabbitMQ, find_program
from taskqueue_site.processes import ServiceError
from taskqueue_site.stack_programs import component_line

HOW_TO_GET_RABBITMQ = (
    "rabbitmq-server is missing: install it (Debian: apt-get install rabbitmq-server; "
    "macOS: brew install rabbitmq), or run with --broker redis"
)


class Server(Protocol):
    """What a fault may do to a server."""

    name: str

    def start(self) -> str:
        """Start it, or start it again on the same data and address."""

    def crash(self) -> None:
        """End it without a goodbye."""

    def stop(self) -> None:
        """Stop it in order."""

    def alive(self) -> bool:
        """Return whether it runs."""

    def describe(self) -> str:
        """Return version and place."""


class Servers:
    """PostgreSQL, Valkey and, unless told otherwise, RabbitMQ."""

    def __init__(self, folder: Path, *, broker: str, path: str) -> None:
        """Prepare servers in a folder; `broker` is `rabbitmq` or `redis`.

        Raises ServiceError if RabbitMQ is wanted and not installed.
        """
        self.postgres = EmbeddedPostgres(folder)
        self.valkey = EmbeddedValkey(folder)
        self.rabbitmq: EmbeddedRabbitMQ | None = None
        if broker == "rabbitmq":
            if find_program("rabbitmq-server", path) is None:
                raise ServiceError(HOW_TO_GET_RABBITMQ)
            self.rabbitmq = EmbeddedRabbitMQ(folder)
        self._folder = folder
        self._cleanup = ExitStack()
        self._proxies: dict[str, FaultProxy] = {}
        self._direct: dict[str, str] = {}

    def start(self, say: Callable[[str], None]) -> Mapping[str, str]:
        """Start all; returns the URLs of their proxies by variable.

        Raises ServiceError if one does not come up.
        """
        urls = {"DATABASE_URL": self._start(self.postgres, say)}
        urls["REDIS_URL"] = self._start(self.valkey, say)
        if self.rabbitmq is not None:
            urls["BROKER_URL"] = self._start(self.rabbitmq, say)
        else:
            urls["BROKER_URL"] = _replaced(urls["REDIS_URL"], path="/1")
        return urls

    def stop(self) -> None:
        """Stop whatever was started."""
        self._cleanup.close()

    @property
    def database_url(self) -> str:
        """The address of PostgreSQL itself."""
        return self._direct["postgresql"]

    def proxy(self, server: Server) -> FaultProxy:
        """Return the proxy in front of a server."""
        return self._proxies[server.name]

    @property
    def broker(self) -> Server:
        """The server that carries the messages."""
        return self.valkey if self.rabbitmq is None else self.rabbitmq

    def versions(self) -> dict[str, str]:
        """Return the version of each server."""
        servers = (self.postgres, self.valkey, self.rabbitmq)
        return {each.name: each.version for each in servers if each is not None}

    def crash(self, server: Server) -> None:
        """End a server without a goodbye; nobody listens at its address from then."""
        server.crash()
        self.proxy(server).refuse()

    def start_again(self, server: Server) -> None:
        """Start a server that is down, on the data that it has."""
        server.start()
        self.proxy(server).heal()

    def heal(self) -> None:
        """Start what is down and let everything pass."""
        for server in (self.postgres, self.valkey, self.rabbitmq):
            if server is not None and not server.alive():
                server.start()
        for proxy in self._proxies.values():
            proxy.heal()

    # --- What only one of them can suffer ---------------------------------------------

    def flush_valkey(self) -> None:
        """Empty Valkey: with it the messages, if it is the broker too."""
        with redis.Redis.from_url(self._direct["valkey"]) as client:
            client.flushall()

    def empty_valkey(self) -> None:
        """Kill Valkey and remove its data."""
        self.crash(self.valkey)
        shutil.rmtree(self._folder / "valkey" / "appendonlydir", ignore_errors=True)

    def purge_queue(self, name: str) -> None:
        """Drop every message that waits on a queue of the broker."""
        with Connection(self._broker_url) as opened:
            channel: Any = opened.default_channel
            # A queue that is not there holds no message.
            with suppress(NotFound):
                channel.queue_purge(name)

    def delete_queue(self, name: str) -> None:
        """Remove a queue of the broker with all that is on it."""
        with Connection(self._broker_url) as opened:
            channel: Any = opened.default_channel
            channel.queue_delete(name)

    @property
    def _broker_url(self) -> str:
        if self.rabbitmq is not None:
            return self._direct["rabbitmq"]
        return _replaced(self._direct["valkey"], path="/1")

    def _start(self, server: Server, say: Callable[[str], None]) -> str:
        self._cleanup.callback(server.stop)
        url = self._direct[server.name] = server.start()
        target = _target(url)
        proxy = FaultProxy(target, speaks_amqp=server is self.rabbitmq)
        self._cleanup.callback(proxy.close)
        self._proxies[server.name] = proxy
        say(component_line(server.name, server.describe()))
        return _behind(url, proxy)


def _target(url: str) -> Target:
    """Return where a server listens: PostgreSQL on a socket, the others on a port."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if "host" in query:
        return Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
    return parts.hostname or "", parts.port or 0


def _behind(url: str, proxy: FaultProxy) -> str:
    """Return the URL with the proxy's address instead of the server's."""
    login = urlsplit(url).netloc.rpartition("@")[0]
    netloc = f"{login}@127.0.0.1:{proxy.port}"
    return _replaced(url, netloc=netloc, query="")


def _replaced(url: str, **parts: str) -> str:
    return urlunsplit(urlsplit(url)._replace(**parts))
