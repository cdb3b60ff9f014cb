"""Procrastinate's side of a job: `install` its schema, `work`, or be the producer."""

import os
import sys
from collections.abc import Sequence
from typing import Final

from procrastinate import App, PsycopgConnector

from benchmarks.peers import recording
from benchmarks.peers.plan import JobSpec

#: Jobs at once in one process: what it waits for is the database.
CONCURRENCY: Final = 5

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))


@app.task(name="job", queue="bench")
async def job(tenant: str, called_at: float, seconds: float, steps: int) -> None:
    """Do one job; only jobs that do nothing are measured here."""
    recording.perform(tenant, called_at, seconds, steps)


class ProcrastinateSender:
    """Defers jobs from a plain function."""

    def __init__(self) -> None:
        app.open()

    def send(self, spec: JobSpec, called_at: float) -> str:
        """Defer one job."""
        return str(job.defer(**_arguments(spec, called_at)))

    def send_many(self, specs: Sequence[JobSpec], called_at: float) -> list[str]:
        """Defer jobs by one statement."""
        rows = [_arguments(spec, called_at) for spec in specs]
        return [str(number) for number in job.batch_defer(*rows)]

    def close(self) -> None:
        """Disconnect."""
        app.close()


def _arguments(spec: JobSpec, called_at: float) -> dict[str, str | float | int]:
    return {
        "tenant": spec.tenant,
        "called_at": called_at,
        "seconds": spec.seconds,
        "steps": spec.steps,
    }


def sender() -> ProcrastinateSender:
    """Return what hands jobs to Procrastinate."""
    return ProcrastinateSender()


def main() -> None:
    """Make the schema, or work until SIGTERM."""
    if sys.argv[1] == "install":
        with app.open():
            app.schema_manager.apply_schema()
    else:
        app.run_worker(queues=["bench"], concurrency=CONCURRENCY)


if __name__ == "__main__":
    main()
