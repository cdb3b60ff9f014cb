"""The producing process: sends the jobs of a plan to one queue at its pace.

    python -m benchmarks.peers.producer MODULE PLAN

MODULE has a function `sender()` that returns a `Sender`.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

from benchmarks.peers.plan import JobSpec, Plan, Summary


class Sender(Protocol):
    """Hands jobs to one queue; `called_at` travels with the job."""

    def send(self, job: JobSpec, called_at: float) -> str:
        """Hand over one job and wait for the queue's word; return its reference."""

    def send_many(self, jobs: Sequence[JobSpec], called_at: float) -> list[str]:
        """Hand over many jobs in the queue's fastest way; return the references."""

    def close(self) -> None:
        """Wait until everything has been handed over, and disconnect."""


class Stopped(BaseException):
    """SIGTERM has asked the producer to end."""


def main() -> None:
    """Send what the plan says, then write how it went."""
    module, path = sys.argv[1:]
    plan = Plan.read(Path(path))
    signal.signal(signal.SIGTERM, _stop)
    sender: Sender = importlib.import_module(module).sender()
    cpu_before = _cpu_seconds()
    count, first, last = 0, time.time(), 0.0
    try:
        with plan.log.open("w", encoding="utf-8") as log:
            for so_far, called_at, lines in _sent(plan, sender):
                count = so_far
                first = called_at if last == 0.0 else first
                last = time.time()
                log.writelines(lines)
            sender.close()
            last = time.time()
    except Stopped:
        pass
    Summary(
        jobs=count,
        first_called_at=first,
        last_returned_at=last,
        cpu_seconds=_cpu_seconds() - cpu_before,
        whole_cpu_seconds=_cpu_seconds(),
    ).write(plan.summary)


def _sent(plan: Plan, sender: Sender) -> Iterator[tuple[int, float, list[str]]]:
    """Send call by call; yield the jobs sent so far, when, and their log lines."""
    begun_at = time.time()
    count = 0
    for number, jobs in enumerate(plan.calls()):
        due_at = begun_at + number * plan.every
        time.sleep(max(0.0, due_at - time.time()))
        called_at = round(time.time(), 6)
        if called_at - begun_at > plan.at_most:
            return
        if plan.batch == 1:
            references = [sender.send(jobs[0], called_at)]
        else:
            references = sender.send_many(jobs, called_at)
        count += len(jobs)
        pairs = zip(jobs, references, strict=True)
        lines = [f"{job.tenant}\t{called_at:.6f}\t{ref}\n" for job, ref in pairs]
        yield count, called_at, lines


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


if __name__ == "__main__":
    main()
    # Threads of a peer's library may outlive the interpreter, and crash it at its end.
    os._exit(0)
