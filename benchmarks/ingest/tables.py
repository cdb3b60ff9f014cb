"""The tables that files are loaded into, the floor, and the loads themselves."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import psutil
from django.core.management import call_command
from django.db import connection
from psycopg2.extras import execute_values

from benchmarks.ingest.files import path_of
from benchmarks.ingest.worker import TENANT
from ingestion.sources import upi
from ingestion.sources.base import Row
from tenants.scoping import all_tenants

_COLUMNS: Final = (
    "tenant_id, source, file_id, txn_id, source_txn_id, reference_id, account_id,"
    " counterparty_account, vpa_or_ifsc, amount, currency, status, direction,"
    " txn_timestamp, raw_row, row_hash"
)
_TENANT: Final = """
INSERT INTO tenants_tenant (slug, tier_id) VALUES (%(tenant)s, 'standard')
"""
_QUOTA: Final = "INSERT INTO quotas_quota (tenant_id, weight) VALUES (%(tenant)s, 1)"
_FLOOR: Final = """
DROP TABLE IF EXISTS floor_transactions;
CREATE TABLE floor_transactions (LIKE fintech_transactions INCLUDING ALL);
ALTER TABLE floor_transactions
    ADD FOREIGN KEY (tenant_id, file_id)
        REFERENCES ingestion_ingestedfile (tenant_id, id);
GRANT INSERT ON floor_transactions TO dtq_platform;
"""
_FILL: Final = """
INSERT INTO {table} (tenant_id, source, file_id, txn_id, source_txn_id, reference_id,
                     amount, currency, status, direction, txn_timestamp, raw_row,
                     row_hash)
SELECT %(tenant)s, 'UPI', (SELECT max(id) FROM ingestion_ingestedfile),
       md5(n::text), md5(n::text), lpad(n::text, 12, '0'), 1, 'INR', 'SUCCESS', 'D',
       now(), '{{}}', decode(md5(n::text), 'hex')
FROM generate_series(1, %(rows)s) AS n
"""
_BULK: Final = f"""
INSERT INTO floor_transactions ({_COLUMNS}) VALUES %s ON CONFLICT DO NOTHING
"""  # noqa: S608
_CLEAN: Final = Path(gettempdir()) / f"dtq-clean-{os.getpid()}.csv"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load took, and what it found."""

    seconds: float
    #: Processor seconds, of the loading process and of the database's.
    client_cpu: float
    server_cpu: float
    idle: int
    peak: int
    counts: dict[str, Any]
    #: How often its connection to the store broke.
    breaks: int

    @property
    def grown(self) -> int:
        """Return the bytes of its peak above the idle process."""
        return self.peak - self.idle


def prepare() -> None:
    """Make the schema and the tenant in an empty database."""
    call_command("migrate", verbosity=0)
    with all_tenants(reason="benchmark"):
        run(_TENANT, tenant=TENANT)
        run(_QUOTA, tenant=TENANT)


def load(
    name: str, *more: str, loaders: int, alone: bool = True, **environ: str
) -> Loaded:
    """Load a stored file in a process of its own; see its options."""
    cpu = server_cpu()
    command = [sys.executable, "-m", "benchmarks.ingest.worker", name, *more]
    done = subprocess.run(
        [*command, "--loaders", str(loaders), *(["--alone"] if alone else [])],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, **environ},
    )
    told = json.loads(done.stdout.splitlines()[-1])
    if told["state"] != "succeeded":
        raise SystemExit(f"{name}: {told['state']}, {told['error']}")
    return Loaded(
        told["seconds"],
        told["cpu_seconds"],
        server_cpu() - cpu,
        told["idle"],
        told["peak"],
        told["result"],
        told["breaks"],
    )


def server_cpu() -> float:
    """Return the processor seconds of the database so far; 0 if it is elsewhere."""
    (pid,) = run("SELECT pg_backend_pid()")
    try:
        server = psutil.Process(pid).parent()
        if server is None:
            return 0.0
        while True:
            ended = server.cpu_times()
            times = [ended, *_times_of(server.children())]
            # A process that ends meanwhile is counted twice, or not at all.
            if server.cpu_times().children_user == ended.children_user:
                break
    except psutil.Error:
        return 0.0
    own = sum(each.user + each.system for each in times)
    return float(ended.children_user + ended.children_system + own)


def _times_of(processes: Iterable[psutil.Process]) -> Iterator[Any]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            yield process.cpu_times()


def empty() -> None:
    """Forget what was loaded."""
    run("TRUNCATE fintech_transactions, ingestion_keptoutrow")


def keep_clean_rows() -> None:
    """Write what is stored to a file, as the floor loads it; make the floor's table."""
    query = f"SELECT {_COLUMNS} FROM fintech_transactions ORDER BY id"  # noqa: S608
    with (
        all_tenants(reason="benchmark"),
        connection.cursor() as cursor,
        _CLEAN.open("wb") as file,
    ):
        cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT csv)", file)
    run(_FLOOR)


def floor(*, keep: bool = False) -> float:
    """Return the seconds of `\\copy` of the clean rows into an equal table."""
    if not keep:
        run("TRUNCATE floor_transactions")
    copy = rf"\copy floor_transactions ({_COLUMNS}) FROM '{_CLEAN}' (FORMAT csv)"
    began = time.perf_counter()
    psql = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", os.environ["DATABASE_URL"]]
    subprocess.run([*psql, "-c", copy], check=True)
    return time.perf_counter() - began


def bulk_inserts(name: str, rows: int) -> float:
    """Return the seconds of inserting validated rows a thousand at a time."""
    run("TRUNCATE floor_transactions")
    (file_id,) = run("SELECT max(id) FROM ingestion_ingestedfile", scoped=True)
    began = time.perf_counter()
    with path_of(name).open("rb") as file, connection.cursor() as cursor:
        found = upi.read(iter(lambda: file.read(1 << 18), b""))
        accepted = (row for row in found if isinstance(row, Row))
        values = (
            (TENANT, "UPI", file_id, *row[1:14]) for row in islice(accepted, rows)
        )
        execute_values(cursor, _BULK, values, page_size=1000)
    return time.perf_counter() - began


def fill(rows: int) -> None:
    """Put many rows into both tables."""
    with all_tenants(reason="benchmark"):
        run(_FILL.format(table="fintech_transactions"), tenant=TENANT, rows=rows)
    run("TRUNCATE floor_transactions")
    with all_tenants(reason="benchmark"):
        run(_FILL.format(table="floor_transactions"), tenant=TENANT, rows=rows)
    run("VACUUM (ANALYZE)")


def run(statement: str, *, scoped: bool = False, **values: Any) -> Any:
    if scoped:
        with all_tenants(reason="benchmark"):
            return run(statement, **values)
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchone() if cursor.description else None
