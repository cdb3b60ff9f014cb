"""Temporal's side of a job: an activity of its own, its worker and its producer.

    python -m benchmarks.peers.temporal_app

runs the worker. A job is a standalone activity, the lightest thing Temporal runs: no
workflow around it. Each carries its tenant as fairness key, and the tenant's weight.
"""

import asyncio
import os
import signal
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.client import Client
from temporalio.common import Priority
from temporalio.worker import Worker

from benchmarks.peers import recording
from benchmarks.peers.plan import JobSpec
from benchmarks.peers.variables import ADDRESS, SLOTS

TASK_QUEUE: Final = "bench"
READY: Final = "the worker polls"
#: Longer than any job of any scenario.
JOB_LIMIT: Final = timedelta(minutes=5)


@activity.defn(name="job")
def job(tenant: str, called_at: float, seconds: float, steps: int) -> None:
    """Do one job, in a thread of the worker."""
    recording.perform(tenant, called_at, seconds, steps)


async def work() -> None:
    """Run activities until SIGTERM, then let the running ones end."""
    slots = int(os.environ[SLOTS])
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    worker = Worker(
        await Client.connect(os.environ[ADDRESS]),
        task_queue=TASK_QUEUE,
        activities=[job],
        activity_executor=ThreadPoolExecutor(slots),
        max_concurrent_activities=slots,
        graceful_shutdown_timeout=timedelta(seconds=20),
    )
    async with worker:
        print(READY, flush=True)
        await ended.wait()


class TemporalSender:
    """Starts activities from a plain function."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(
            Client.connect(os.environ[ADDRESS])
        )

    def send(self, spec: JobSpec, called_at: float) -> str:
        """Start one activity and wait for the server's word."""
        return self._loop.run_until_complete(self._start(spec, called_at))

    def send_many(self, specs: Sequence[JobSpec], called_at: float) -> list[str]:
        """Start activities side by side: a call of the server takes one."""
        return self._loop.run_until_complete(self._start_all(specs, called_at))

    def close(self) -> None:
        """Leave the loop open: the library's threads may still call it."""

    async def _start_all(self, specs: Sequence[JobSpec], called_at: float) -> list[str]:
        return await asyncio.gather(*(self._start(spec, called_at) for spec in specs))

    async def _start(self, spec: JobSpec, called_at: float) -> str:
        handle = await self._client.start_activity(
            job,
            args=[spec.tenant, called_at, spec.seconds, spec.steps],
            id=str(uuid.uuid4()),
            task_queue=TASK_QUEUE,
            start_to_close_timeout=JOB_LIMIT,
            priority=Priority(fairness_key=spec.alias, fairness_weight=spec.weight),
        )
        return str(handle.id)


def sender() -> TemporalSender:
    """Return what hands jobs to Temporal."""
    return TemporalSender()


if __name__ == "__main__":
    asyncio.run(work())
