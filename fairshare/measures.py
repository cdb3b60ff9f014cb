"""Measure a finished run: shares, waits and slowdowns, for people to read.

Results are floating point, in seconds where they are times; percentiles are by
nearest rank. A job that never started or never ended counts as infinitely late.
"""

from collections.abc import Iterable
from math import ceil

from fairshare.trace import Job, NodeTrace, Trace

__all__ = [
    "attained_us",
    "jain",
    "percentile",
    "responses",
    "shares",
    "waits",
]

_SECOND_US = 1_000_000


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value at this percentile by nearest rank; NaN if there is none.

    >>> percentile([10, 20, 30, 40], 50), percentile([10, 20, 30, 40], 99)
    (20, 40)
    """
    ranked = sorted(values)
    if not ranked:
        return float("nan")
    return ranked[max(0, ceil(percent / 100 * len(ranked)) - 1)]


def jain(values: Iterable[float]) -> float:
    """Return Jain's index: 1 if all are equal, 1/n if one has everything.

    >>> jain([1, 1, 1, 1]), jain([1, 0, 0, 0])
    (1.0, 0.25)
    """
    known = list(values)
    squares = len(known) * sum(value * value for value in known)
    return sum(known) ** 2 / squares if squares else float("nan")


def attained_us(node: NodeTrace, start_us: int, end_us: int) -> int:
    """Return the worker time that the node attained between two moments."""
    return sum(
        min(end_us, stop) - max(start_us, start)
        for start, stop in node.stretches
        if stop > start_us and start < end_us
    )


def shares(
    trace: Trace, start_us: int = 0, end_us: int | None = None
) -> dict[str, float]:
    """Return what part of the pool each tenant had between two moments."""
    end_us = trace.until_us if end_us is None else end_us
    pool_us = trace.slots * (end_us - start_us)
    return {
        name: attained_us(node, start_us, end_us) / pool_us
        for name, node in trace.tenants.items()
    }


def waits(jobs: Iterable[Job]) -> list[float]:
    """Return each job's time from arrival to its first start, in seconds."""
    return [_seconds(job.wait_us) for job in jobs]


def responses(jobs: Iterable[Job]) -> list[float]:
    """Return each job's time from arrival to its end, in seconds."""
    return [_seconds(job.response_us) for job in jobs]


def _seconds(time_us: int | None) -> float:
    return float("inf") if time_us is None else time_us / _SECOND_US
