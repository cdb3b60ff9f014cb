"""What the demonstration shows at its end: sums over what the API said of the jobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from statistics import fmean
from typing import Any

COUNTS = ("rows", "inserted", "duplicate", "conflicting", "rejected")
WIDTHS = (-9, -17, 7, 9, 5, 9, 9, 8, 8, 17)


@dataclass(frozen=True, slots=True)
class Share:
    """A tenant's part of the worker time while every tenant had work waiting."""

    entitled: float
    received: float


def shares(
    weights: Mapping[str, Decimal], jobs: Mapping[str, Sequence[Any]]
) -> dict[str, Share]:
    """Compare the worker time each tenant got with its weight.

    Only the window counts in which every tenant had a job waiting: from the last
    enqueue to the first moment a tenant's last job starts.
    """
    begin = max(_at(job["created_at"]) for own in jobs.values() for job in own)
    end = min(
        max(_at(job["started_at"]) for job in own if job["started_at"])
        for own in jobs.values()
    )
    used = {tenant: _used(own, begin, end) for tenant, own in jobs.items()}
    total = sum(used.values()) or 1.0
    return {
        tenant: Share(
            entitled=float(weight / sum(weights.values())),
            received=used[tenant] / total,
        )
        for tenant, weight in weights.items()
    }


def _used(jobs: Sequence[Any], begin: float, end: float) -> float:
    return sum(
        max(0.0, min(_at(run["finished_at"]), end) - max(_at(run["started_at"]), begin))
        for job in jobs
        for run in job["attempts"]
        if run["started_at"]
    )


def _at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def table(
    paths: Sequence[str],
    jobs: Mapping[str, Sequence[Any]],
    given: Mapping[str, Share],
) -> list[str]:
    """Return a line for each tenant's file; files of one folder share a line."""
    head = ("tenant", "file", "rows", "inserted", "dup", "conflict", "rejected")
    lines = [_line(*head, "waited", "ran", "share (entitled)")]
    lines.append("-" * len(lines[0]))
    for tenant, own in jobs.items():
        share = given[tenant]
        text = f"{share.received:.1%} ({share.entitled:.1%})"
        for name, group in _by_folder(paths, own):
            lines.append(_group_line(tenant, name, group, text))
            text = ""
    return lines


def _by_folder(
    paths: Sequence[str], jobs: Sequence[Any]
) -> list[tuple[str, list[Any]]]:
    pairs = groupby(zip(paths, jobs, strict=True), key=lambda pair: _name(pair[0]))
    return [(name, [job for _, job in group]) for name, group in pairs]


def _name(path: str) -> str:
    folder, slash, _ = path.rpartition("/")
    return f"{folder}/*" if slash else path


def _group_line(tenant: str, name: str, jobs: Sequence[Any], share: str) -> str:
    done = [job for job in jobs if job["state"] == "succeeded"]
    if len(done) < len(jobs):
        failed = next(job for job in jobs if job["state"] != "succeeded")
        return _line(tenant, name, failed["state"], *[""] * 6, share)
    label = name if len(jobs) == 1 else f"{name} ({len(jobs)} files)"
    counts = (sum(job["result"][count] for job in done) for count in COUNTS)
    waited = fmean(_at(job["started_at"]) - _at(job["created_at"]) for job in done)
    ran = sum(_at(job["finished_at"]) - _at(job["started_at"]) for job in done)
    return _line(tenant, label, *counts, f"{waited:.2f} s", f"{ran:.2f} s", share)


def _line(*cells: object) -> str:
    pairs = zip(cells, WIDTHS, strict=True)
    return " ".join(
        f"{cell!s:<{-width}}" if width < 0 else f"{cell!s:>{width}}"
        for cell, width in pairs
    )


def reject_files(jobs: dict[str, list[Any]], shown: Callable[[str], str]) -> list[str]:
    """Return where each file of rejected rows lies."""
    return [
        f"{tenant:<9} {shown(job['result']['rejects_path'])}"
        for tenant, own in jobs.items()
        for job in own
        if job["result"] and job["result"]["rejects_path"]
    ]
