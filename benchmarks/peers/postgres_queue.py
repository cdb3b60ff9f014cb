"""A queue in PostgreSQL whose slots are worker processes of one Python module each."""

from collections.abc import Sequence
from typing import ClassVar

from benchmarks.live.meters import POSTGRESQL
from benchmarks.live.scenarios import Tenant
from benchmarks.live.workspace import Workspace
from benchmarks.peers import databases
from benchmarks.peers.system import System
from benchmarks.peers.variables import RECORDS


class PostgresQueue(System):
    """What the queues in PostgreSQL have in common.

    The sender's module makes the schema if told to `install`, and is a worker if told
    to `work`.
    """

    servers = frozenset({POSTGRESQL})
    has_batches = True
    sender: ClassVar[str]

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self.database_url = ""

    def prepare(self, tenants: Sequence[Tenant]) -> None:
        """Make a database with the queue's tables."""
        self.database_url = databases.create_database(
            self.space.servers.database_url, self.space.name
        )
        argv = self.space.python("-m", self.sender, "install")
        self.space.run("install", argv, self.environment(), limit=60)

    def release(self) -> None:
        """Start a worker process for each slot."""
        argv = self.space.python("-m", self.sender, "work")
        for number in range(self.space.slots):
            self.space.start(f"worker-{number}", argv, self.environment())

    def environment(self) -> dict[str, str]:
        """Return the variables of its workers and producers."""
        return {"DATABASE_URL": self.database_url, RECORDS: str(self.records)}

    def database(self) -> str:
        """Return the name of its own database."""
        return databases.database_name(self.database_url)

    def clean(self) -> None:
        """Drop the database."""
        if self.database_url:
            databases.drop_database(self.space.servers.database_url, self.database())
