"""How fast two sides are matched, beside `psql \\copy` of as many rows in one run.

Rows come in the order of their references, as numbers of a series do; at last, once
more in any order.

make bench-reconcile [ARGS="--rows 1000000 --rounds 3 --threefold"]
"""

import argparse
import os
import statistics
from collections.abc import Sequence
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
django.setup()

from benchmarks.ingest import files  # noqa: E402 - they need Django set up
from benchmarks.ingest import tables as ingest_tables  # noqa: E402
from benchmarks.ingest.tables import Loaded  # noqa: E402
from benchmarks.reconcile import tables  # noqa: E402

MIB = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench-reconcile", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--threefold", action="store_true", help="match three times as many as well"
    )
    options = parser.parse_args(arguments)
    floor = _floor(options.rows)
    full = _measure(options.rows, options.rounds, floor)
    if options.threefold:
        more = _measure(3 * options.rows, options.rounds, 3 * floor)
        print(f"three times as many rows: {more / full:.2f} times as long")
    print("in any order:")
    other = _measure(options.rows, options.rounds, floor, is_shuffled=True)
    print(f"in any order: {other / full:.2f} times as long")
    return 0


def _measure(
    rows: int, rounds: int, floor: float, *, is_shuffled: bool = False
) -> float:
    """Match so many rows of each side, a few times; returns the median seconds."""
    ingest_tables.empty()
    wanted = tables.fill(rows, is_shuffled=is_shuffled)
    ingest_tables.run("VACUUM (ANALYZE) fintech_transactions")
    taken = []
    for _ in range(rounds):
        tables.forget_runs()
        found = _reconcile()
        taken.append(found.seconds)
        _print(f"{rows:,} rows a side", found, f"{found.seconds / floor:.2f} of \\copy")
        if found.counts["mismatches"] != wanted:
            raise SystemExit(f"{found.counts['mismatches']}, and not {wanted}")
    again = _reconcile()
    _print("nothing new", again, f"{again.seconds / taken[-1]:.2f} of the full run")
    tables.add(rows // 100)
    changed = _reconcile()
    _print(
        "1 % new rows", changed, f"{changed.seconds / taken[-1]:.2f} of the full run"
    )
    if changed.counts["plain"] != rows // 100:
        raise SystemExit(f"{changed.counts}")
    return statistics.median(taken)


def _print(what: str, found: Loaded, ratio: str) -> None:
    counts: dict[str, Any] = found.counts
    names = ("rows", "plain", "opened", "found", "closed")
    print(
        f"{what}: {found.seconds:.2f} s, {ratio}; client {found.client_cpu:.1f} s, "
        f"server {found.server_cpu:.1f} s of a processor, {found.grown / MIB:.0f} MiB "
        f"above {found.idle / MIB:.0f} idle; {counts['mode']}: "
        + ", ".join(f"{name} {counts[name]:,}" for name in names),
        flush=True,
    )


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


def _reconcile() -> Loaded:
    return ingest_tables.load("-", "--job", str(tables.order().pk), loaders=1)


if __name__ == "__main__":
    raise SystemExit(main())
