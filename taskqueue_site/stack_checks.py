"""What a stack asks of the machine: its directory, its port, its own health."""

import fcntl
import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskqueue_site.processes import ServiceError

_HEALTH_PATH = "/livez"


@contextmanager
def directory_lock(directory: Path) -> Iterator[None]:
    """Hold the directory for this process; raise ServiceError if another one does.

    The kernel drops the lock with the process, so a stale one cannot exist.
    """
    path = directory / "stack.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                f"a stack already runs on {directory} (pid {file.read().strip()}): "
                "stop it, or choose another --data"
            ) from None
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def check_port(host: str, port: int) -> None:
    """Raise ServiceError unless the web process will be able to listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            raise ServiceError(
                f"port {port} on {host} cannot be used ({error.strerror}): "
                "free it, or choose another --port"
            ) from error


def is_live(host: str, port: int) -> bool:
    """Return whether the web process answers its health check."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        # The one name that Django's host check allows whatever address we listen on.
        connection.request("GET", _HEALTH_PATH, headers={"Host": "localhost"})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
