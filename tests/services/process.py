"""Starting a server for the tests, waiting until it answers, and stopping all of it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.services.service import ServiceUnavailable

START_SECONDS = 120
STOP_SECONDS = 30


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(port: int) -> bool:
    """Return whether something accepts connections on a loopback port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


@contextmanager
def running(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    log: Path,
    ready: Callable[[], bool],
) -> Iterator[None]:
    """Run a server from the moment it is ready until the block is left.

    It leads a session of its own: Ctrl-C reaches the tests, and the server stops only
    after them. Raises ServiceUnavailable if it ends or stays silent.
    """
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, command[0], ready, log)
        yield
    finally:
        _stop_group(server)


def _wait_until_ready(
    server: subprocess.Popen[bytes], name: str, ready: Callable[[], bool], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if server.poll() is not None:
            raise ServiceUnavailable(f"{name} did not start: {last_line(log)}")
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"{name} did not answer in {START_SECONDS} s")
        time.sleep(0.1)


def _stop_group(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)


def last_line(log: Path) -> str:
    """Return the last line with text in a log file."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
