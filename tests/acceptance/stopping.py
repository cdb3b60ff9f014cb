"""A load of every sort in the middle of its work, and what a stop may leave of it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from jobs import draining
from taskqueue_site.embedded_postgres import EmbeddedPostgres
from taskqueue_site.processes import OWNER_VARIABLE
from tests.acceptance.conftest import LargeFile
from tests.acceptance.product import Product, wait_for

#: One file, jobs in many steps, jobs in one step that outlasts the drain, and tiny
#: jobs, which travel in bundles. All but the tiny ones have a slot at once.
TENANTS = ("files", "steps", "long", "tiny")
TINY = 200
CHUNK_ROWS = settings.INGEST_CHUNK_ROWS
LONG = {"seconds": 11}
STEPS = {"seconds": 14, "steps": 70}
TINY_JOB = {"seconds": 0.02}

_CREATE = """
import json, sys
from django.utils import timezone
from quotas.services import tenant_create
from tenants.services import api_key_create
from tenants.scoping import all_tenants
keys = {}
with all_tenants(reason="test"):
    for slug in %r:
        # One message of tiny jobs at a time, so that they last.
        most = 2 if slug == "tiny" else None
        tenant_create(slug=slug, weight=1, max_in_flight=most)
        keys[slug] = api_key_create(slug=slug, name="", now=timezone.now())[1]
print("KEYS", json.dumps(keys))
"""
#: The hour is over at once.
_NOW_DUE = """
UPDATE jobs_job SET run_after = now()
WHERE tenant_id = ANY(%s) AND state = 'scheduled' RETURNING id
"""
_BY_STATE = """
SELECT tenant_id, state, count(*)::int FROM jobs_job
WHERE tenant_id = ANY(%s) GROUP BY tenant_id, state
"""
_ATTEMPTS = """
SELECT tenant_id, outcome, started_at IS NOT NULL, count(*)::int
FROM jobs_attempt WHERE tenant_id = ANY(%s) GROUP BY 1, 2, 3
"""
_SPENT = """
SELECT id FROM jobs_job
WHERE tenant_id = ANY(%s) AND failed_count + lost_count + innocent_count > 0
"""
_GIVEN_BACK = """
SELECT tenant_id, count(*)::int FROM jobs_jobevent
WHERE tenant_id = ANY(%s) AND event = 'yielded' AND reason = %s GROUP BY tenant_id
"""
_LOADED = """
SELECT (SELECT count(*)::int FROM fintech_transactions WHERE tenant_id = 'files'),
       count(*) FILTER (WHERE why = 'rejected')::int,
       count(*) FILTER (WHERE why = 'conflicting')::int
FROM ingestion_keptoutrow WHERE tenant_id = 'files'
"""
_USED = """
SELECT meter, count(*)::int, sum(quantity)::bigint FROM usage_events
WHERE job_id = %s AND meter IN ('rows', 'bytes') GROUP BY meter
"""


@dataclass
class Load:
    """Jobs of several tenants on one product."""

    product: Product
    file: LargeFile
    keys: dict[str, str]
    file_job: str = ""

    def enqueue(self, tenant: str, **payload: Any) -> str:
        """Have a job sleep; returns its id."""
        body = {"tenant_id": tenant, **payload}
        status, job = self.product.call(self.keys[tenant], "/enqueue/sleep", body)
        assert status == 202, job
        return str(job["id"])

    def read(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Read what concerns the tenants of the load."""
        return self.product.query(statement, list(TENANTS), *values)

    def states(self) -> dict[tuple[str, str], int]:
        """Return how many jobs of a tenant are in a state."""
        return {(t, state): many for t, state, many in self.read(_BY_STATE)}

    def in_flight(self) -> dict[str, int]:
        """Return how many jobs are in each state that is not an end."""
        found: dict[str, int] = {}
        for (_, state), many in self.states().items():
            if state != "succeeded":
                found[state] = found.get(state, 0) + many
        return found

    def progress(self) -> float:
        """Return how much of the file is loaded."""
        ((done, total),) = self.product.query(
            "SELECT progress_done, progress_total FROM jobs_job WHERE id = %s",
            self.file_job,
        )
        return float(done or 0) / float(total or 1)

    def is_at_work(self, *tenants: str) -> bool:
        """Return whether all jobs of these tenants run."""
        of_them = {pair for pair in self.states() if pair[0] in tenants}
        return of_them == {(tenant, "running") for tenant in tenants}

    def is_done(self) -> bool:
        """Return whether every job has succeeded."""
        return {state for _, state in self.states()} == {"succeeded"}


def begin(product: Product, file: LargeFile) -> Load:
    """Enqueue the load; returns when something of every sort is in the middle of it."""
    told = product.manage("shell", "--no-imports", "-c", _CREATE % (TENANTS,))
    load = Load(product, file, json.loads(told.split("KEYS")[1]))
    product.manage("upload", "files", file.path)
    # What such a job costs is learnt first: only known tiny jobs are bundled.
    for _ in range(5):
        load.enqueue("tiny", **TINY_JOB)
    wait_for(load.is_done, 60)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with ThreadPoolExecutor(8) as producers:
        for _ in range(TINY):
            producers.submit(load.enqueue, "tiny", **TINY_JOB, run_after=later)
    for _ in range(2):
        load.enqueue("steps", **STEPS)
    load.file_job = product.enqueue_ingest(load.keys["files"], "files", file.path.name)
    wait_for(lambda: load.progress() > 0.1, 60)
    assert len(load.read(_NOW_DUE)) == TINY
    wait_for(lambda: load.states()["tiny", "succeeded"] > 10, 60)
    for _ in range(2):
        load.enqueue("long", **LONG)
    wait_for(lambda: load.is_at_work("long", "steps", "files"), 60)
    states = load.states()
    assert states["tiny", "queued"] > TINY // 4, states
    return load


@contextmanager
def database_of(product: Product) -> Iterator[None]:
    """Have the ledger of a product that is stopped at hand."""
    if "DATABASE_URL" in product.environment or product.is_running:
        yield
        return
    server = EmbeddedPostgres(product.data)
    product.environment["DATABASE_URL"] = server.start()
    try:
        yield
    finally:
        del product.environment["DATABASE_URL"]
        server.stop()


def check_nothing_is_spent(load: Load) -> None:
    """No attempt failed, was lost or is still at work, and no job counts one."""
    attempts = load.read(_ATTEMPTS)
    assert {outcome for _, outcome, _, _ in attempts} <= {"succeeded", "yielded", None}
    assert [row for row in attempts if row[1] is None and row[2]] == []
    assert load.read(_SPENT) == []
    states = {state for _, state in load.states()}
    assert states <= {"succeeded", "queued", "dispatched"}


def check_rows_end_at_the_checkpoint(load: Load) -> None:
    """The file is loaded up to its checkpoint, or by the loaders' chunks further."""
    ((checkpoint,),) = load.product.query(
        "SELECT checkpoint FROM jobs_job WHERE id = %s", load.file_job
    )
    chunks = checkpoint["chunk"]
    columns = "rows, inserted, rejected, conflicting"
    (found,) = load.product.query(
        f"SELECT {columns} FROM ingestion_ingestedfile WHERE job_id = %s",  # noqa: S608
        load.file_job,
    )
    counts = dict(zip(columns.split(", "), found, strict=True))
    assert 0 < counts["rows"] < load.file.counts["rows"]
    assert load.product.query(_LOADED) == [
        (counts["inserted"], counts["rejected"], counts["conflicting"])
    ]
    counted = used(load)
    assert counted["bytes"] == (chunks, checkpoint["position"]["offset"])
    times, rows = counted["rows"]
    assert times == chunks
    # What a loader has written ahead of its step is counted with the step, later.
    assert 0 <= counts["rows"] - rows <= 2 * CHUNK_ROWS


def used(load: Load) -> dict[str, tuple[int, int]]:
    """Return how often and how much of each meter the file used."""
    found = load.product.query(_USED, load.file_job)
    return {meter: (times, quantity) for meter, times, quantity in found}


def given_back(load: Load) -> dict[str, int]:
    """Return how many attempts of each tenant came back because of the stop."""
    return dict(load.read(_GIVEN_BACK, draining.WHY))


def left_running(product: Product) -> list[psutil.Process]:
    """Return the processes of a product, and of its servers."""
    return [each for each in psutil.process_iter() if _serves(each, product.data)]


def _serves(process: psutil.Process, data: Path) -> bool:
    try:
        owner = process.environ().get(OWNER_VARIABLE, "")
        return str(data) in owner or str(data) in process.cwd()
    except (psutil.Error, OSError):
        return False
