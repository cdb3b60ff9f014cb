"""How fast files are loaded, beside `psql \\copy` of the same clean rows in one run.

    make bench-ingest [ARGS="--rows 1000000 --rounds 3 --existing 10000000 --huge"]

The floor is `\\copy` of what a load has stored, every column, into an empty table with
the same columns, indexes, checks and foreign key: nothing can load faster. A ratio of 1
is as fast as that. As `\\copy` has nobody to share with, loads run as those that nobody
waits behind; one yields, to show what that costs. Rounds take turns, so that a busy
machine disturbs all alike.
"""

import argparse
import os
import statistics
from collections.abc import Sequence
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
django.setup()

from benchmarks.ingest import files, tables  # noqa: E402 - they need Django set up
from benchmarks.ingest.tables import Loaded  # noqa: E402

#: The part of a run that bulk inserts are measured on: they are slow.
_INSERTED_PART: Final = 10
#: Two loaders as well, that give their slot to others every few seconds.
_YIELDING: Final = "loaders 2, yielding"
MIB: Final = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _options(arguments)
    tables.prepare()
    truth = files.make("file.csv", options.rows)
    print(f"{options.rows:,} rows, {files.size('file.csv') / MIB:.0f} MiB: {truth}\n")
    tables.load("file.csv", loaders=1)
    tables.keep_clean_rows()
    floor = _rounds(options.rounds, options.rows)
    if options.existing:
        _on_a_full_table(options.existing, options.rows, floor)
    if options.huge:
        _memory()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-ingest", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--existing", type=int, default=0, metavar="N")
    parser.add_argument("--huge", action="store_true", help="files of 100 MB and 2 GB")
    return parser.parse_args(arguments)


def _rounds(rounds: int, rows: int) -> float:
    """Measure everything on an empty table; returns the floor's seconds."""
    taken: dict[str, list[float]] = {}
    loaded: dict[str, Loaded] = {}
    for _ in range(rounds):
        taken.setdefault("floor", []).append(tables.floor())
        for loaders in (1, 2):
            name = f"loaders {loaders}"
            tables.empty()
            loaded[name] = tables.load("file.csv", loaders=loaders)
            taken.setdefault(name, []).append(loaded[name].seconds)
        files.copy_with_a_blank_line("file.csv", "again.csv")
        loaded["again"] = tables.load("again.csv", loaders=2)
        taken.setdefault("again", []).append(loaded["again"].seconds)
        tables.empty()
        loaded[_YIELDING] = tables.load("file.csv", loaders=2, alone=False)
        taken.setdefault(_YIELDING, []).append(loaded[_YIELDING].seconds)
    inserts = tables.bulk_inserts("file.csv", rows // _INSERTED_PART) * _INSERTED_PART
    taken["bulk inserts of 1,000"] = [inserts]
    floor = statistics.median(taken["floor"])
    _print(rows, taken, loaded)
    again, first = (statistics.median(taken[n]) for n in ("again", "loaders 2"))
    print(
        f"\nthe same rows again: {again / first:.2f} of the first load's time, "
        f"{loaded['again'].counts['inserted']} inserted"
    )
    print(f"against bulk inserts: {inserts / first:.1f} times")
    return floor


def _print(rows: int, taken: dict[str, list[float]], loaded: dict[str, Loaded]) -> None:
    floor = statistics.median(taken["floor"])
    print(
        f"{'':<24}{'seconds':>9}{'min':>8}{'max':>8}{'rows/s':>10}{'ratio':>7}"
        f"{'MiB':>6}{'us/row here':>13}{'there':>7}"
    )
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        line = f"{name:<24}{middle:>9.1f}{min(seconds):>8.1f}{max(seconds):>8.1f}"
        line += f"{rows / middle:>10,.0f}{floor / middle:>7.2f}"
        if name in loaded:
            found = loaded[name]
            line += f"{found.grown / MIB:>6.0f}{1e6 * found.client_cpu / rows:>13.1f}"
            line += f"{1e6 * found.server_cpu / rows:>7.1f}"
        print(line)


def _on_a_full_table(existing: int, rows: int, floor_when_empty: float) -> None:
    tables.empty()
    tables.fill(existing)
    floor = tables.floor(keep=True)
    ours = tables.load("file.csv", loaders=2).seconds
    tables.empty()
    empty = tables.load("file.csv", loaders=2).seconds
    of_empty = floor / ours / (floor_when_empty / empty)
    print(
        f"\nwith {existing:,} rows present: floor {floor:.1f} s, two loaders "
        f"{ours:.1f} s, ratio {floor / ours:.2f}, {of_empty:.2f} of the empty table's"
    )


def _memory() -> None:
    print()
    for name, mib in (("100 MB", 100), ("2 GB", 2000)):
        tables.empty()
        files.make_large("large.csv", mib * 1_000_000)
        found = tables.load("large.csv", loaders=2)
        print(
            f"{name:<8}{found.counts['rows']:>12,} rows  {found.seconds:>6.0f} s  "
            f"{found.grown / MIB:.0f} MiB above {found.idle / MIB:.0f} MiB idle"
        )


if __name__ == "__main__":
    raise SystemExit(main())
