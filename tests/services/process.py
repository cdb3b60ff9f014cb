"""Running a server for the tests, from its first answer until they end."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from taskqueue_site.processes import (
    ServiceError,
    free_port,
    last_line,
    spawn,
    stop_together,
)

__all__ = ["answers", "free_port", "running"]

START_SECONDS = 120
STOP_SECONDS = 30


def answers(port: int) -> bool:
    """Return whether something accepts connections on a loopback port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


@contextmanager
def running(
    command: Sequence[str],
    *,
    folder: Path,
    ready: Callable[[], bool],
    environ: Mapping[str, str] = os.environ,
) -> Iterator[None]:
    """Run a server from the moment it is ready until the block is left.

    Its log goes to `folder`. Raises ServiceError if it ends or stays silent.
    """
    name = Path(command[0]).name
    log = folder / f"{name}.log"
    server = spawn(command, owner=folder, log=log, env=environ, cwd=folder)
    try:
        _wait_until_ready(server, name, ready, log)
        yield
    finally:
        stop_together([server], patience=STOP_SECONDS)


def _wait_until_ready(
    server: subprocess.Popen[bytes], name: str, ready: Callable[[], bool], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if server.poll() is not None:
            raise ServiceError(f"{name} did not start: {last_line(log)}")
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} did not answer in {START_SECONDS} s")
        time.sleep(0.1)
