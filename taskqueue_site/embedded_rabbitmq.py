"""RabbitMQ on loopback ports, from the program that this machine has installed.

Name, ports, cookie and data are nobody else's: it runs beside a broker of the system
without either noticing. There is no wheel of it, so it is the one server of the product
that has to be installed first.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from amqp.exceptions import AMQPError
from kombu import Connection

from taskqueue_site.processes import (
    ServiceError,
    free_port,
    kill_group,
    last_line,
    spawn,
    stop_leftovers,
    stop_together,
)

#: Debian puts wrappers on PATH that run only as root or rabbitmq; these are theirs.
FOLDERS = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")
_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_CONFIGURATION = "disk_free_limit.absolute = 50MB\nlog.file.level = warning\n"


def find_program(name: str, path: str) -> str | None:
    """Return a program of RabbitMQ, looked for on `path` too; None if it is missing."""
    return shutil.which(name, path=os.pathsep.join([*FOLDERS, path]))


def fault_of(url: str) -> str | None:
    """Return why an AMQP URL cannot be used, None if it can."""
    try:
        with Connection(url, connect_timeout=5) as connection:
            connection.connect()
    except (OSError, AMQPError) as error:
        return " ".join(str(error).split())
    return None


class EmbeddedRabbitMQ:
    """A RabbitMQ node whose data lives in `rabbitmq/` of one directory."""

    name = "rabbitmq"

    def __init__(self, directory: Path, *, program: str | None = None) -> None:
        """Prepare a node for `directory`, which must exist; nothing is started.

        `program` is its `rabbitmq-server`; without one it is looked for.
        """
        self._home = directory.resolve() / "rabbitmq"
        self._log = directory.resolve() / "log" / "rabbitmq.log"
        self._program = program
        self._ports: dict[str, int] = {}
        self._epmd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._version = ""

    def start(self) -> str:
        """Start the node and return its AMQP URL; a restart keeps ports and data.

        Raises ServiceError when the program is missing or the node does not come up.
        """
        path = os.environ.get("PATH", os.defpath)
        program = self._program or find_program("rabbitmq-server", path)
        if program is None:
            raise ServiceError("rabbitmq-server is not installed")
        self._home.mkdir(mode=0o700, exist_ok=True)
        if not self._ports:
            stop_leftovers(self._home)
            names = ("amqp", "epmd", "distribution")
            self._ports = {name: free_port() for name in names}
        environ = self._environment()
        try:
            self._start_name_server(environ)
            self._process = self._spawn([program], environ)
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self._url

    def stop(self) -> None:
        """Stop the node in order, and its name server."""
        running = [each for each in (self._process, self._epmd) if each is not None]
        stop_together(running, patience=_STOP_SECONDS)

    def crash(self) -> None:
        """Kill the node and all its processes at once; its data stays as it was."""
        if self._process is not None:
            kill_group(self._process)
            self._process.wait()

    def control(self, *arguments: str) -> None:
        """Run `rabbitmqctl` against the node.

        Raises ServiceError if it is missing, fails or hangs.
        """
        environ = self._environment()
        program = find_program("rabbitmqctl", environ.get("PATH", os.defpath))
        if program is None:
            raise ServiceError("rabbitmqctl is not installed")
        try:
            subprocess.run(
                [program, "--quiet", *arguments],
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=60,
            )
        except subprocess.SubprocessError as error:
            raise ServiceError(f"rabbitmqctl {arguments[0]} failed: {error}") from error

    def alive(self) -> bool:
        """Return whether the node's process runs."""
        return self._process is not None and self._process.poll() is None

    def describe(self) -> str:
        """Return one line for the operator: version, address and place of the data."""
        address = f"{_HOST}:{self._ports.get('amqp', '-')}"
        return f"private {self._version}  {address}  {self._home}"

    @property
    def version(self) -> str:
        """The version of the started node."""
        return self._version

    @property
    def _url(self) -> str:
        return f"amqp://guest:guest@{_HOST}:{self._ports['amqp']}//"

    def _start_name_server(self, environ: Mapping[str, str]) -> None:
        """Start epmd ourselves: the broker would, and would leave it running."""
        epmd = shutil.which("epmd")
        if epmd is None or (self._epmd is not None and self._epmd.poll() is None):
            return
        port = self._ports["epmd"]
        self._epmd = self._spawn([epmd, "-port", str(port), "-address", _HOST], environ)
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if self._epmd.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"epmd did not start: {last_line(self._log)}")
            time.sleep(0.05)

    def _spawn(
        self, argv: list[str], environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return spawn(argv, owner=self._home, log=self._log, env=environ, cwd=self._home)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not (_answers(self._ports["amqp"]) and fault_of(self._url) is None):
            if not self.alive():
                raise ServiceError(f"RabbitMQ did not start: {last_line(self._log)}")
            if time.monotonic() > deadline:
                raise ServiceError(f"RabbitMQ did not answer in {_START_SECONDS:g} s")
            time.sleep(0.1)
        with Connection(self._url) as connection:
            connection.connect()
            properties = connection.connection.server_properties
            self._version = str(properties.get("version", ""))

    def _environment(self) -> dict[str, str]:
        home, ports = self._home, self._ports
        for name, text in (
            ("rabbitmq.conf", _CONFIGURATION),
            ("enabled_plugins", "[].\n"),
            ("rabbitmq-env.conf", ""),
        ):
            (home / name).write_text(text)
        return os.environ | {
            "HOME": str(home),
            "ERL_EPMD_ADDRESS": _HOST,
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_NODENAME": f"dtq_{ports['amqp']}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": _HOST,
            "RABBITMQ_NODE_PORT": str(ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(ports["distribution"]),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
        }


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((_HOST, port), timeout=2):
        return True
    return False
