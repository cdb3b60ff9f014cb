"""How fast two sides are matched, beside `psql \\copy` of as many rows in one run.

make bench-reconcile [ARGS="--rows 1000000 --rounds 3"]
"""

import argparse
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
django.setup()

from benchmarks.ingest import files  # noqa: E402 - they need Django set up
from benchmarks.ingest import tables as ingest_tables  # noqa: E402
from benchmarks.reconcile import tables  # noqa: E402
from ingestion.models import IngestedFile  # noqa: E402
from reconciliation import opening, passes, telling  # noqa: E402
from reconciliation.matching import Key, Rule, Terms  # noqa: E402
from reconciliation.models import Run  # noqa: E402
from tenants.scoping import tenant_scope  # noqa: E402

STARTS = datetime(2026, 1, 14, 18, 30, tzinfo=UTC)
ENDS = STARTS + timedelta(days=1)
TERMS = Terms(
    internal=["LEDGER"],
    external=["UPI"],
    rules=[
        Rule(key=Key.REFERENCE, days=1),
        Rule(key=Key.ACCOUNT, amount=Decimal("0.50"), days=0, is_confirmed=False),
    ],
    zone=ZoneInfo("Asia/Kolkata"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench-reconcile", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    floor = _floor(options.rows)
    differ = tables.fill(options.rows, _files())
    ingest_tables.run("VACUUM (ANALYZE) fintech_transactions")
    for _ in range(options.rounds):
        _round(options.rows, floor, differ)
    return 0


def _floor(rows: int) -> float:
    ingest_tables.prepare()
    files.make("file.csv", rows)
    ingest_tables.load("file.csv", loaders=2)
    ingest_tables.keep_clean_rows()
    taken = statistics.median(ingest_tables.floor() for _ in range(2))
    ingest_tables.empty()
    ingest_tables.run("TRUNCATE floor_transactions")
    print(f"floor: {rows:,} rows by \\copy in {taken:.1f} s", flush=True)
    return taken


def _files() -> tuple[int, int]:
    with tenant_scope(tables.TENANT):
        made = [
            IngestedFile.objects.create(
                tenant_id=tables.TENANT, source=source, path=source, size=1
            ).pk
            for source in ("LEDGER", "UPI")
        ]
    return made[0], made[1]


def _round(rows: int, floor: float, differ: dict[str, int]) -> None:
    began = time.perf_counter()
    with tenant_scope(tables.TENANT):
        found = list(IngestedFile.objects.values_list("pk", flat=True))
        run = Run.objects.create(
            tenant_id=tables.TENANT,
            profile_id=1,
            period_starts_at=STARTS,
            period_ends_at=ENDS,
            as_of=ENDS,
            file_ids=found,
            terms={},
        )
    period = opening.Period(run.pk, tables.TENANT, found, STARTS, ENDS)
    with tenant_scope(tables.TENANT):
        ranges = opening.ranges_of(period, TERMS, rows=250_000)
    steps = []
    plain = opened = 0
    for one in ranges:
        at = time.perf_counter()
        with tenant_scope(tables.TENANT):
            counted = opening.open_range(period, TERMS, one)
        plain, opened = plain + counted.plain, opened + counted.opened
        steps.append(time.perf_counter() - at)
    at = time.perf_counter()
    with tenant_scope(tables.TENANT):
        opening.open_without_key(period, TERMS)
    unkeyed = time.perf_counter() - at
    at = time.perf_counter()
    with tenant_scope(tables.TENANT):
        passes.apply_rules(run.pk, TERMS)
    ruled = time.perf_counter() - at
    at = time.perf_counter()
    with tenant_scope(tables.TENANT):
        mismatches = telling.mismatches(run.pk, TERMS, as_of=ENDS)
    told = time.perf_counter() - at
    total = time.perf_counter() - began
    print(
        f"{total:.2f} s, {total / floor:.2f} of the floor: ranges "
        f"{' '.join(f'{s:.2f}' for s in steps)}, unkeyed {unkeyed:.2f}, rules "
        f"{ruled:.2f}, told {told:.2f}; plain {plain:,}, opened {opened:,}, "
        f"{dict(Counter(kind for kind, *_ in mismatches))} of {differ}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
