"""Whether a reconciliation finds the same, undisturbed and under `kill -9`.

    make reconcile-exact [ARGS="--rows 300000 --kills 5 --seed 1"]

What differs between the two sides is known; the run is killed at random points and
started again, and what stands in the end is compared, mismatch by mismatch.
"""

import argparse
import os
from collections.abc import Sequence
from random import Random
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
django.setup()

from benchmarks.ingest import tables as ingest_tables  # noqa: E402 - they need Django
from benchmarks.ingest.exact import run_killed  # noqa: E402
from benchmarks.reconcile import tables  # noqa: E402
from reconciliation.models import Match, MismatchEvent, Reconciliation  # noqa: E402
from tenants.scoping import tenant_scope  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and return 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="make reconcile-exact", description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    ingest_tables.prepare()
    wanted = tables.fill(options.rows)
    ingest_tables.run("VACUUM (ANALYZE) fintech_transactions")
    rng = Random(options.seed)
    calm = _run(0, rng)
    tables.forget_runs()
    killed = _run(options.kills, rng)
    faults = [name for name, found in calm.items() if found != killed[name]]
    if calm["counts"]["mismatches"] != wanted:
        faults.append(f"mismatches {calm['counts']['mismatches']}, not {wanted}")
    print("; ".join(f"{name}: {_size(found)}" for name, found in killed.items()))
    print(f"otherwise: {', '.join(faults)}" if faults else "the same")
    return 1 if faults else 0


def _run(kills: int, rng: Random) -> dict[str, Any]:
    job = tables.order()
    counts = run_killed(job.pk, "-", kills=kills, rng=rng, seconds=(0.8, 1.8))
    with tenant_scope(tables.TENANT):
        told = Reconciliation.objects.values_list(
            *("mismatch_type", "internal_id", "external_id", "state", "notes")
        )
        events = MismatchEvent.objects.values_list("mismatch__internal_id", "action")
        return {
            "counts": {name: found for name, found in counts.items() if name != "run"},
            "mismatches": sorted(told, key=str),
            "events": sorted(events, key=str),
            "matches": sorted(Match.objects.values_list("lead", "rule", "state")),
        }


def _size(found: Any) -> Any:
    return found if isinstance(found, dict) else len(found)


if __name__ == "__main__":
    raise SystemExit(main())
