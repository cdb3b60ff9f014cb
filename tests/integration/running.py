"""Real workers in processes of their own, and bad messages for them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kombu import Connection, Producer

from jobs.queues import RUN_ATTEMPT, pool_queue
from tests.acceptance.product import wait_for
from tests.integration.web import ROOT, database_url

#: Runs `manage.py worker` with the kinds of tests/integration/stuck_kinds.py.
WITH_STUCK_KINDS = "tests.integration.stuck_kinds"


@contextmanager
def run_worker(
    folder: Path, *options: str, broker: str, redis: str, **values: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker that is ready; it is told to leave at the end, and does in peace."""
    environment = {
        "DATABASE_URL": database_url(),
        "BROKER_URL": broker,
        "REDIS_URL": redis,
        "STACK_DATA": str(folder),
        "SYNTHETIC_KINDS": "1",
        **values,
    }
    log_file = folder / f"{'-'.join(options).strip('-')}.log"
    with (
        log_file.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", WITH_STUCK_KINDS, "worker", *options],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            wait_for(lambda: b" ready." in log_file.read_bytes(), 60)
            yield process
            assert process.poll() is None, "the worker died"
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0


#: Bodies and headers of messages that nobody can work on, by the reason they end for.
BAD: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "garbage": ("undecodable", b"\x00\xff\xfe garbage", {"task": RUN_ATTEMPT}),
    "no task": ("invalid", b'{"x": 1}', {}),
    "unknown task": ("unknown_task", b"[[], {}, {}]", {"task": "jobs.tasks.nothing"}),
    "a list for a task": ("invalid", b"[[], {}, 1]", {"task": ["a"]}),
    "no ids": ("invalid", b"[[], {}, {}, 0]", {"task": RUN_ATTEMPT}),
    "ids missing": ("invalid", b'[[], {"v": 2}, {}]', {"task": RUN_ATTEMPT}),
    "ids of text": (
        "invalid",
        b'[[], {"attempt_ids": ["1"]}, {}]',
        {"task": RUN_ATTEMPT},
    ),
    "a time limit of text": (
        "invalid",
        b'[[], {"attempt_ids": [1]}, {}]',
        {"task": RUN_ATTEMPT, "timelimit": "soon"},
    ),
    "no id of its own": (
        "invalid",
        b'[[], {"attempt_ids": [2]}, {}]',
        {"task": RUN_ATTEMPT, "id": None, "eta": "yesterday-ish"},
    ),
    "10 MB": ("invalid", b"[" + b"1," * 5_000_000 + b"1]", {"task": RUN_ATTEMPT}),
}


def send(broker: str, pool: str, body: bytes, headers: dict[str, Any]) -> None:
    """Put a message on a pool's queue as it is."""
    with Connection(broker) as connection:
        queue = pool_queue(pool)
        channel = connection.channel()
        queue(channel).declare()
        Producer(channel).publish(
            body,
            exchange="",
            routing_key=queue.name,
            content_type="application/json",
            content_encoding="utf-8",
            headers={"id": "a", "lang": "py", **headers},
        )
