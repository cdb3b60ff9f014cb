"""pgqueuer's side of a job: `install` its schema, `work`, or be the producer."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

import asyncpg
import uvloop
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job

from benchmarks.peers import recording
from benchmarks.peers.plan import JobSpec

ENTRYPOINT: Final = "job"
BATCH: Final = 100


async def _connect() -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect(os.environ["DATABASE_URL"]))


async def install() -> None:
    """Make the tables, as `pgq install` does."""
    await Queries(await _connect()).install()


async def work() -> None:
    """Claim and do jobs until SIGTERM."""
    manager = PgQueuer(await _connect())

    @manager.entrypoint(ENTRYPOINT)
    async def do(job: Job) -> None:
        # Only jobs that do nothing are measured here, so it may be called in the loop.
        recording.perform(*json.loads(job.payload or b"[]"))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, manager.shutdown.set)
    await manager.run(batch_size=BATCH)


class PgQueuerSender:
    """Enqueues from a plain function."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._queries = Queries(self._loop.run_until_complete(_connect()))

    def send(self, spec: JobSpec, called_at: float) -> str:
        """Enqueue one job."""
        return self.send_many([spec], called_at)[0]

    def send_many(self, specs: Sequence[JobSpec], called_at: float) -> list[str]:
        """Enqueue jobs by one statement."""
        payloads = [_payload(spec, called_at) for spec in specs]
        number = len(specs)
        enqueue = self._queries.enqueue([ENTRYPOINT] * number, payloads, [0] * number)
        return [str(job_id) for job_id in self._loop.run_until_complete(enqueue)]

    def close(self) -> None:
        """Do nothing: every statement was answered."""


def _payload(spec: JobSpec, called_at: float) -> bytes:
    return json.dumps([spec.tenant, called_at, spec.seconds, spec.steps]).encode()


def sender() -> PgQueuerSender:
    """Return what hands jobs to pgqueuer."""
    return PgQueuerSender()


if __name__ == "__main__":
    # The loop that `pgq run` uses.
    uvloop.run(install() if sys.argv[1] == "install" else work())
