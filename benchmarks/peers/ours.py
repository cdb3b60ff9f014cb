"""Our own product: the whole stack as a user starts it, on the servers of the peers.

Starts and times are read from its ledger. What a slot was held for includes the
product's own bookkeeping there, while a peer's worker only times the job itself.
"""

import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg2

from benchmarks.live.history import Begun, History, Span
from benchmarks.live.meters import POSTGRESQL, RABBITMQ, REDIS
from benchmarks.live.scenarios import CAPS, REWEIGHTING, WEIGHTS, Change, Tenant
from benchmarks.live.workspace import Workspace
from benchmarks.peers import databases
from benchmarks.peers.plan import Plan
from benchmarks.peers.system import Producing, System
from benchmarks.peers.variables import KEYS, URL
from tests.services.process import free_port

HTTP, SERVICE = "benchmarks.peers.ours_http", "benchmarks.peers.ours_service"
#: Beyond so many tenants nobody sends over HTTP.
MOST_KEYS: Final = 2000
#: The dispatcher reads its settings once a second.
SETTLE_SECONDS: Final = 2.5
QUEUES: Final = ["jobs.shared", "jobs.dead", "maintenance"]

_ATTEMPTS = """
SELECT j.id::text, j.tenant_id, extract(epoch FROM j.created_at)::float8,
       extract(epoch FROM a.started_at)::float8,
       COALESCE(a.settled_us / 1e6,
                extract(epoch FROM clock_timestamp() - a.started_at))::float8,
       COALESCE((j.payload ->> 'seconds')::float8, 0),
       COALESCE((j.payload ->> 'steps')::int, 1)
FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id
WHERE a.started_at IS NOT NULL
ORDER BY a.id
"""
_FINISHED = "SELECT count(*) FROM jobs_job WHERE finished_at IS NOT NULL"
_SLOTS = "SELECT COALESCE(sum(slots), 0) FROM jobs_worker"


class Ours(System):
    """`manage.py stack` with RabbitMQ as its broker."""

    name = "ours"
    offers = frozenset({WEIGHTS, REWEIGHTING, CAPS})
    settings = (
        "manage.py stack --concurrency {slots}: web, dispatcher, worker, maintenance "
        "worker and beat, all counted; RabbitMQ, PostgreSQL, Redis; floods by the "
        "product's service, single jobs over HTTP; everything as by default"
    )
    packages = ("django", "celery", "psycopg2-binary", "gunicorn")
    servers = frozenset({POSTGRESQL, RABBITMQ, REDIS})
    sender = SERVICE
    one_by_one = {"over HTTP": HTTP, "by the service": SERVICE}
    has_batches = True

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self.port = free_port()
        self.database_url = ""
        self._has_keys = False
        self._held: list[str] = []

    # --- Life -------------------------------------------------------------------------

    def prepare(self, tenants: Sequence[Tenant]) -> None:
        """Start the stack on a new database, and create the tenants."""
        self.database_url = databases.create_database(
            self.space.servers.database_url, self.space.name
        )
        options = ("--port", self.port, "--concurrency", self.space.slots)
        data = ("--data", self._data())
        argv = self.space.python("manage.py", "stack", *options, *data)
        self.space.start("stack", argv, self.environment())
        self.space.wait_for(self._is_up, limit=180, what="our stack")
        self._create(tenants)
        time.sleep(SETTLE_SECONDS)

    def hold(self) -> None:
        """Pause every tenant."""
        self._held = ["bench"]
        self._manage("pause", "tenant", "pause", *self._held)
        time.sleep(SETTLE_SECONDS)

    def release(self) -> None:
        """Resume what was held; the workers run since `prepare`."""
        for slug in self._held:
            self._manage("resume", "tenant", "resume", slug)

    def change(self, change: Change) -> None:
        """Change a tenant with the product's own command."""
        words: list[object] = ["tenant", "set", change.tenant]
        if change.weight is not None:
            words += ["--weight", change.weight]
        if change.cap is not None:
            words += ["--max-in-flight", change.cap]
        self._manage("change", *words)

    def stop(self) -> None:
        """Stop the stack; running attempts are let end."""
        self.space.stop(self.space.processes, patience=60)

    def clean(self) -> None:
        """Drop the database and the queues, whose messages name its rows."""
        databases.delete_queues(self.space.servers.broker_url, QUEUES)
        if self.database_url:
            databases.drop_database(self.space.servers.database_url, self.database())

    def environment(self) -> dict[str, str]:
        """Return the variables of the stack and of its producers."""
        return {
            "BROKER_URL": self.space.servers.broker_url,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.space.servers.redis_url,
            "STACK_DATA": str(self._data()),
            "SYNTHETIC_KINDS": "1",
            "DJANGO_SETTINGS_MODULE": "taskqueue_site.settings",
            URL: f"http://127.0.0.1:{self.port}",
            KEYS: str(self.space.folder / "keys.json"),
        }

    def database(self) -> str:
        """Return the name of its own database."""
        return databases.database_name(self.database_url)

    # --- Jobs -------------------------------------------------------------------------

    def produce(self, plan: Plan, *, sender: str = "") -> Producing:
        """Send by the service; a tenant that uses several keys sends over HTTP."""
        if not sender and any(job.alias != job.tenant for job in plan.jobs):
            sender = HTTP
        return super().produce(plan, sender=sender)

    def produce_one_by_one(self, plan: Plan) -> Producing:
        """Send over HTTP, as a producer would."""
        return self.produce(plan, sender=HTTP if self._has_keys else SERVICE)

    def finished(self) -> int:
        """Return how many jobs have reached their end."""
        return int(self._query(_FINISHED)[0][0])

    def happened(self) -> History:
        """Return the starts and the spans, as the ledger has them."""
        called = {
            job.reference: job.called_at
            for producing in self.producers
            if producing.process.poll() is not None
            for job in producing.sent()
        }
        history, seen = History(), set()
        for job, tenant, created, started, held, seconds, steps in self._query(
            _ATTEMPTS
        ):
            # Only a job of one step is known to have done all its work in one attempt.
            work = min(seconds, held) if steps == 1 else held
            history.spans.append(Span(tenant, started, started + held, work))
            if job not in seen:
                seen.add(job)
                history.begun.append(Begun(tenant, called.get(job, created), started))
        return history

    # --- Helpers ----------------------------------------------------------------------

    def _data(self) -> Path:
        return self.space.folder / "stack"

    def _create(self, tenants: Sequence[Tenant]) -> None:
        self._has_keys = len(tenants) <= MOST_KEYS
        path = self.space.folder / "tenants.json"
        rows = [
            [one.name, one.weight, one.cap, one.aliases if self._has_keys else 0]
            for one in tenants
        ]
        path.write_text(json.dumps(rows), encoding="utf-8")
        argv = self.space.python("-m", "benchmarks.peers.ours_setup", path)
        self.space.run("setup", argv, self.environment(), limit=600)

    def _is_up(self) -> bool:
        log = self.space.log("stack").read_text(encoding="utf-8", errors="replace")
        if f"ready http://127.0.0.1:{self.port}" not in log:
            return False
        return int(self._query(_SLOTS)[0][0]) >= self.space.slots

    def _manage(self, name: str, *words: object) -> None:
        argv = self.space.python("manage.py", *words)
        self.space.run(name, argv, self.environment(), limit=60)

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        """Read across the tenants, straight from the database."""
        with (
            closing(psycopg2.connect(self.database_url)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET LOCAL ROLE dtq_platform")
            cursor.execute(statement)
            return list(cursor.fetchall())


class OursAlone(Ours):
    """The same without bundles: what a job costs that travels by itself."""

    name = "ours-alone"
    settings = "as ours, but BUNDLE_JOBS=1: every job in a message of its own"

    def environment(self) -> dict[str, str]:
        """Return the variables of the stack and of its producers."""
        return {**super().environment(), "BUNDLE_JOBS": "1"}
