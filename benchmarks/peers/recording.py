"""What a worker of a peer does with a job: sleep, and write down when.

Each process appends to a file of its own in $BENCH_RECORDS, one line per job and one
`write` per line, so that a killed process leaves whole lines. It costs all peers alike.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.live.history import Begun, Span
from benchmarks.peers.variables import RECORDS

#: The open file of this process, by its id: a forked child opens its own.
_files: dict[int, int] = {}


def perform(tenant: str, called_at: float, seconds: float, steps: int) -> None:
    """Sleep `seconds` in steps, as the product's `sleep` kind does, and record it."""
    started_at = time.time()
    if seconds:
        for _ in range(steps):
            time.sleep(seconds / steps)
    record(tenant, called_at, started_at, time.time(), seconds)


def record(
    tenant: str, called_at: float, started_at: float, ended_at: float, work: float
) -> None:
    """Append one job to the file of this process."""
    line = f"{tenant}\t{called_at:.6f}\t{started_at:.6f}\t{ended_at:.6f}\t{work:g}\n"
    os.write(_file(), line.encode())


def _file() -> int:
    pid = os.getpid()
    if pid not in _files:
        path = Path(os.environ[RECORDS]) / f"{pid}.log"
        _files[pid] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    return _files[pid]


def read(folder: Path) -> Iterator[tuple[Begun, Span]]:
    """Yield the jobs that the workers of one run have recorded."""
    for path in sorted(folder.glob("*.log")):
        for line in path.read_text(encoding="utf-8").splitlines():
            tenant, *numbers = line.split("\t")
            called_at, started_at, ended_at, work = map(float, numbers)
            begun = Begun(tenant, called_at, started_at)
            yield begun, Span(tenant, started_at, ended_at, work)


def count(folder: Path) -> int:
    """Return how many jobs have been recorded so far."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.log"))
