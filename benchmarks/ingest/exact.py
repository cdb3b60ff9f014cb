"""Whether a large file is loaded exactly: each row, each reject, also after `kill -9`.

    make ingest-exact [ARGS="--rows 1000000 --kills 5 --seed 1"]

A seeded file with every kind of fault is loaded twice in a row, and then anew by a
process that is killed at random points and started again. Each time what the database
holds must equal what the generator knows.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
os.environ.setdefault("LEASE_SECONDS", "3")
django.setup()

from benchmarks.ingest import files, tables  # noqa: E402 - they need Django set up
from benchmarks.ingest.worker import TENANT, enqueue  # noqa: E402
from ingestion.models import KeptOutRow  # noqa: E402
from jobs import sweeps  # noqa: E402
from jobs.models import Attempt, Job  # noqa: E402
from samples.generate import Truth  # noqa: E402
from tenants.scoping import all_tenants, tenant_scope  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, compare, and print; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="make ingest-exact")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    tables.prepare()
    truth = files.make_with_truth("exact.csv", options.rows, seed=options.seed)
    reasons = {reason for _, _, reason in truth.rejects}
    print(
        f"{truth.rows:,} rows, {len(truth.rejects):,} rejects of {len(reasons)} kinds"
    )
    first = tables.load("exact.csv", loaders=2).counts
    faults = [*_differences("first load", truth, first, again=False)]
    files.copy_with_a_blank_line("exact.csv", "again.csv")
    again = tables.load("again.csv", loaders=2).counts
    faults += _differences("second load", truth, again, again=True)
    tables.empty()
    killed = _killed("exact.csv", kills=options.kills, rng=Random(options.seed))
    faults += _differences("killed load", truth, killed, again=False)
    print("\n".join(faults) or "exact: every row, every reject, every count")
    return 1 if faults else 0


def _killed(name: str, *, kills: int, rng: Random) -> dict[str, Any]:
    """Load a file by processes that are killed; returns the job's counts."""
    with tenant_scope(TENANT):
        job = enqueue(name)
    return run_killed(job, name, kills=kills, rng=rng, seconds=(2, 6))


def run_killed(
    job: UUID, name: str, *, kills: int, rng: Random, seconds: tuple[float, float]
) -> dict[str, Any]:
    """Run a job by processes that are killed after so long; returns its result."""
    command = [sys.executable, "-m", "benchmarks.ingest.worker", name]
    done = 0
    while True:
        process = subprocess.Popen(
            [*command, "--job", str(job)], stdout=subprocess.DEVNULL
        )
        try:
            process.wait(rng.uniform(*seconds) if done < kills else None)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
            _recover()
    with tenant_scope(TENANT):
        found = Job.objects.get(pk=job)
        lost = Attempt.objects.filter(job_id=job, outcome="lost").count()
    print(f"killed {done} times, {lost} attempts lost; {found.state}")
    return found.result or {}


def _recover() -> None:
    """Wait for the leases to run out, and queue the job again."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with all_tenants(reason="benchmark"):
            if sweeps.lose_expired(max_losses=1_000_000):
                return
            if not Attempt.objects.filter(outcome=None).exists():
                return
        time.sleep(0.5)


def _differences(
    name: str, truth: Truth, counts: dict[str, Any], *, again: bool
) -> list[str]:
    """Return what differs from the truth, a line for each."""
    rejects = len(truth.rejects)
    new = truth.good - truth.same_again - truth.conflicting
    wanted = {
        "rows": truth.rows,
        "inserted": 0 if again else new,
        "duplicate": truth.same_again + (new if again else 0),
        "conflicting": truth.conflicting,
        "rejected": rejects,
    }
    found = {key: counts.get(key) for key in wanted}
    print(f"{name:<12} {found}")
    faults = [] if found == wanted else [f"{name}: {found}, not {wanted}"]
    with all_tenants(reason="benchmark"):
        (file_id,) = tables.run("SELECT max(id) FROM ingestion_ingestedfile")
        stored = KeptOutRow.objects.filter(file_id=file_id, why="rejected")
        told = list(stored.order_by("line").values_list("line", "column", "reason"))
    planted = [(line, column or "", reason) for line, column, reason in truth.rejects]
    if told != planted:
        odd = sorted(set(told) ^ set(planted))[:5]
        faults.append(f"{name}: rejects differ, such as {odd}")
    return faults


if __name__ == "__main__":
    raise SystemExit(main())
