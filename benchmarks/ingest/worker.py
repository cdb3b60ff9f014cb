"""One load in a process of its own, as a worker's child runs it; reports as JSON.

python -m benchmarks.ingest.worker PATH --loaders 2
"""

import argparse
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import django

TENANT: Final = "bench"
_HOLDER: Final = "benchmark"


def main() -> None:
    """Load the stored file and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", help="of the file, below the tenant's prefix")
    parser.add_argument("--loaders", type=int, default=2)
    parser.add_argument("--job", help="id of a queued job to go on with")
    parser.add_argument(
        "--alone", action="store_true", help="nobody waits: give the slot back never"
    )
    options = parser.parse_args()
    os.environ["INGEST_LOADERS"] = str(options.loaders)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
    django.setup()
    _prepare()
    if options.alone:
        threading.Thread(target=_say_that_nobody_waits, daemon=True).start()
    print(json.dumps(load(options.path, options.job)))


def load(path: str, job_id: str | None) -> dict[str, Any]:
    """Run the job to its end; returns seconds, memory in bytes, and the counts."""
    breaks = _Breaks()
    logging.getLogger("ingestion.s3_store").addHandler(breaks)
    from jobs.models import Job
    from tenants.scoping import tenant_scope

    with tenant_scope(TENANT):
        job = Job.objects.get(pk=job_id or enqueue(path))
    idle = _memory("VmRSS")
    _forget_peak()
    began, cpu = time.perf_counter(), time.process_time()
    while job.finished_at is None:
        _attempt(str(job.pk))
        with tenant_scope(TENANT):
            job = Job.objects.get(pk=job.pk)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "idle": idle,
        "peak": _memory("VmHWM"),
        "state": job.state,
        "result": job.result,
        "error": job.error,
        "breaks": breaks.count,
    }


def enqueue(path: str) -> UUID:
    """Enqueue the load of a stored file, in the tenant's scope; returns its job."""
    from django.utils import timezone

    from jobs.services import job_enqueue

    # Each round loads what the rounds before have loaded.
    payload = {"s3_path": path, "source": "UPI", "reload": True}
    job = job_enqueue(
        tenant_id=TENANT, kind="ingest", payload=payload, now=timezone.now()
    )
    return job.pk


def _prepare() -> None:
    from jobs.collector import collect_seldom

    collect_seldom()


class _Breaks(logging.Handler):
    """Counts what the store says about broken connections."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += 1


def _say_that_nobody_waits() -> None:
    from jobs import pressure

    while True:
        pressure.publish("shared", pressure.Pressure([], {}))
        time.sleep(1)


def _attempt(job_id: str) -> None:
    from jobs import leadership, ledger, runner
    from jobs.ledger import Pick
    from tenants.scoping import all_tenants

    term = leadership.acquire(name="dispatcher", holder=_HOLDER, ttl_seconds=3600)
    if term is None:
        raise SystemExit("Another dispatcher leads in this database.")
    with all_tenants(reason="benchmark"):
        attempts = ledger.dispatch(
            lease=("dispatcher", _HOLDER, term),
            pool="shared",
            picks=[Pick(job_id, 1000, 1000)],
        )
    runner.run(attempt_ids=list(attempts.values()), worker="benchmark")


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
