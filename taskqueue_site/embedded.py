"""Servers from Python wheels, for a machine that has none installed.

    server = EmbeddedPostgres(Path("/some/folder"))
    url = server.start()
    ...
    server.stop()

The same folder gives the same data at the next start. Start a server from the main
thread: on Linux it ends with the thread that started it.
"""

from typing import Protocol

from taskqueue_site.embedded_postgres import EmbeddedPostgres
from taskqueue_site.embedded_valkey import EmbeddedValkey
from taskqueue_site.processes import ServiceError

__all__ = ["EmbeddedPostgres", "EmbeddedServer", "EmbeddedValkey", "ServiceError"]


class EmbeddedServer(Protocol):
    """What every embedded server offers."""

    name: str

    def start(self) -> str:
        """Start the server and return the URL at which the product reaches it."""

    def stop(self) -> None:
        """Stop the server and wait until it is gone."""

    def alive(self) -> bool:
        """Return whether the server runs."""

    def describe(self) -> str:
        """Return version and place, for the operator."""
