"""Celery on RabbitMQ: one queue, a queue per tenant, and with results kept."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.live.meters import POSTGRESQL, RABBITMQ
from benchmarks.live.scenarios import Tenant, aliases
from benchmarks.live.workspace import Workspace
from benchmarks.peers import databases
from benchmarks.peers.system import System
from benchmarks.peers.variables import PER_TENANT, QUEUES, RECORDS, RESULTS

READY = " ready."


class CeleryOneQueue(System):
    """Plain Celery: every tenant's jobs in one queue."""

    name = "celery"
    settings = (
        "Celery, prefork pool of {slots}, RabbitMQ classic queue; acks_late, "
        "prefetch multiplier 1, publisher confirms (floods without), no results; "
        "without gossip, mingle and heartbeat; the rest as by default"
    )
    packages: ClassVar[tuple[str, ...]] = ("celery", "kombu", "amqp")
    servers = frozenset({RABBITMQ})
    sender = "benchmarks.peers.celery_app"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self.queues: list[str] = []

    def prepare(self, tenants: Sequence[Tenant]) -> None:
        """Name the queues; producer and worker declare them."""
        self.queues = self.queue_names(tenants)
        self._queues_file().write_text(json.dumps(self.queues), encoding="utf-8")

    def queue_names(self, _tenants: Sequence[Tenant]) -> list[str]:
        """Return the names of the queues, the default one first."""
        return [f"{self.space.name}-jobs"]

    def environment(self) -> dict[str, str]:
        """Return the variables of its workers and producers."""
        return {
            "BROKER_URL": self.space.servers.broker_url,
            QUEUES: str(self._queues_file()),
            RECORDS: str(self.records),
        }

    def release(self) -> None:
        """Start the worker."""
        argv = [
            *self.space.python("-m", "celery", "-A", "benchmarks.peers.celery_app"),
            *("worker", "--pool", "prefork", "--concurrency", self.space.slots),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            *("--hostname", f"{self.space.name}@localhost", "--loglevel", "INFO"),
        ]
        self.space.start("worker", argv, self.environment())
        log = self.space.log("worker")
        self.space.wait_for(
            lambda: READY in log.read_text(encoding="utf-8", errors="replace"),
            limit=240,
            what="the Celery worker",
        )

    def clean(self) -> None:
        """Delete the queues."""
        databases.delete_queues(self.space.servers.broker_url, self.queues)

    def _queues_file(self) -> Path:
        return self.space.folder / "queues.json"


class CeleryQueuePerTenant(CeleryOneQueue):
    """Celery with a queue for each tenant, all read by one worker."""

    name = "celery-queues"
    settings = f"{CeleryOneQueue.settings}; one queue per tenant, one worker on all"

    def queue_names(self, tenants: Sequence[Tenant]) -> list[str]:
        """Return a queue for each name under which a tenant sends."""
        return [name for tenant in tenants for name in aliases(tenant)]

    def environment(self) -> dict[str, str]:
        """Return the variables of its workers and producers."""
        return {**super().environment(), PER_TENANT: "1"}


class CeleryWithResults(CeleryOneQueue):
    """Celery that keeps results and states in PostgreSQL."""

    name = "celery-results"
    settings = (
        f"{CeleryOneQueue.settings}; results in PostgreSQL by django-celery-results, "
        "track_started, connections reused (CELERY_DB_REUSE_MAX)"
    )
    servers = frozenset({RABBITMQ, POSTGRESQL})
    packages: ClassVar[tuple[str, ...]] = (
        *CeleryOneQueue.packages,
        "django",
        "django-celery-results",
        "psycopg2-binary",
    )

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self.database_url = ""

    def prepare(self, tenants: Sequence[Tenant]) -> None:
        """Make the database and its tables too."""
        super().prepare(tenants)
        self.database_url = databases.create_database(
            self.space.servers.database_url, self.space.name
        )
        argv = self.space.python("-m", "django", "migrate", "--noinput")
        self.space.run("migrate", argv, self.environment(), limit=120)

    def environment(self) -> dict[str, str]:
        """Return the variables of its workers and producers."""
        return {
            **super().environment(),
            RESULTS: "1",
            "DATABASE_URL": self.database_url,
            "DJANGO_SETTINGS_MODULE": "benchmarks.peers.celery_results_settings",
        }

    def database(self) -> str:
        """Return the name of its own database."""
        return databases.database_name(self.database_url)

    def clean(self) -> None:
        """Delete the queues and the database."""
        super().clean()
        if self.database_url:
            databases.drop_database(self.space.servers.database_url, self.database())
