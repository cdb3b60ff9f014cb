"""The whole product as its users have it: one stack, the command line and HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg2

from taskqueue_site.processes import follow_parent
from tests.services.process import free_port

ROOT = Path(__file__).parents[2]
FINAL = {"succeeded", "dead", "cancelled"}


class Product:
    """A running `manage.py stack` with its data in one folder."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        self.port = free_port()
        self.environment = {
            **own_environment(),
            **environment,
            "STACK_DATA": str(data),
        }
        self.log = data.parent / "stack.out"
        self._said_before = 0
        self._keys: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    # --- The stack --------------------------------------------------------------------

    def start(self, *, concurrency: int = 2, in_group: bool = False) -> None:
        """Start the stack and wait until it says that it is ready.

        With `in_group` it leads a group of processes, as one started in a terminal.
        """
        command = ["stack", "--port", self.port, "--concurrency", concurrency]
        with self.log.open("ab") as log:
            self._said_before = log.tell()
            self.process = subprocess.Popen(
                self._command(*command),
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=in_group,
                # Whoever interrupts the tests stops their products too.
                preexec_fn=follow_parent(signal.SIGTERM),
            )
        wait_for(lambda: f"ready http://127.0.0.1:{self.port}" in self.output(), 120)

    def stop(self) -> int:
        """Ask the stack to stop; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    @property
    def is_running(self) -> bool:
        """Return whether the stack runs."""
        return self.process is not None and self.process.poll() is None

    def output(self) -> str:
        """Return what the stack has printed since its last start."""
        said = self.said()
        assert self.process is None or self.is_running, said
        return said

    def said(self) -> str:
        """Return what it has printed since its last start, be it running or not."""
        return self.log.read_bytes()[self._said_before :].decode()

    def pid(self, component: str) -> int:
        """Return the process id of a component, the latest one it had."""
        found = re.findall(
            rf"^{component}\b.*?\bpid (\d+)", self.output(), re.MULTILINE
        )
        return int(found[-1])

    # --- The command line -------------------------------------------------------------

    def manage(self, *words: object) -> str:
        """Run a management command against the running stack; returns its output."""
        done = subprocess.run(
            self._command(*words),
            cwd=ROOT,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create_tenant(self, slug: str, *, weight: float = 1) -> str:
        """Create a tenant and a key for it; returns the key."""
        self.manage("tenant", "create", slug, "--weight", weight, "--json")
        return str(json.loads(self.manage("apikey", "create", slug, "--json"))["key"])

    def key_of(self, slug: str) -> str:
        """Return a key of a tenant, who is created when first asked for."""
        if slug not in self._keys:
            self._keys[slug] = self.create_tenant(slug)
        return self._keys[slug]

    def _command(self, *words: object) -> list[str]:
        told = [str(word) for word in words]
        return [sys.executable, "manage.py", *told]

    # --- HTTP -------------------------------------------------------------------------

    def call(self, key: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request as a producer would; returns status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urlopen(Request(url, data, headers), timeout=30) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)

    def enqueue_ingest(self, key: str, tenant: str, path: str) -> str:
        """Enqueue a file; returns the job's id."""
        body = {"tenant_id": tenant, "s3_path": path, "source": "UPI"}
        status, job = self.call(key, "/enqueue/ingest", body)
        assert status == 202, job
        return str(job["id"])

    def wait_for_end(self, key: str, job_id: str, *, seconds: float = 180) -> Any:
        """Wait until a job is final; returns it."""
        self.wait_for_job(key, job_id, lambda job: job["state"] in FINAL, seconds)
        return self.call(key, f"/jobs/{job_id}")[1]

    def wait_for_job(
        self, key: str, job_id: str, done: Callable[[Any], bool], seconds: float = 120
    ) -> None:
        """Wait until a job is as asked."""
        wait_for(lambda: done(self.call(key, f"/jobs/{job_id}")[1]), seconds)

    # --- The database -----------------------------------------------------------------

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Read as the platform, straight from the database."""
        url = self.environment.get("DATABASE_URL") or self._embedded_url()
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE dtq_platform")
            cursor.execute(statement, values)
            rows = cursor.fetchall()
        connection.close()
        return rows

    def _embedded_url(self) -> str:
        lines = (self.data / "stack.env").read_text().splitlines()
        pairs = dict(line.split("=", 1) for line in lines)
        return pairs["DATABASE_URL"]


def own_environment() -> dict[str, str]:
    """Return our environment without what points at other services."""
    chosen = {"DATABASE_URL", "REDIS_URL", "BROKER_URL", "STORAGE_URL", "STACK_DATA"}
    kept = {key: value for key, value in os.environ.items() if key not in chosen}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds; fails when it takes longer than a generous limit."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return sorted(found)
