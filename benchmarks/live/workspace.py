"""The folder, the servers and the processes of one run of one queue."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from taskqueue_site.processes import last_line, spawn, stop_leftovers, stop_together

ROOT = Path(__file__).resolve().parents[2]
#: Set by whoever runs the benchmark for other purposes; they must not reach a queue.
_NOT_INHERITED = ("DJANGO_SETTINGS_MODULE", "STACK_DATA", "STORAGE_URL", "SECRET_KEY")


class BenchError(Exception):
    """A queue could not be run; the message is one line for the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers that every queue of a run shares, each with its own corner."""

    database_url: str
    broker_url: str
    redis_url: str
    #: What they are, for the report.
    versions: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Workspace:
    """What one run of one queue may use; leaving it stops every process."""

    folder: Path
    servers: Servers
    slots: int
    #: A name for databases and queues that no other run has.
    name: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, name: str, argv: Sequence[object], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a process that ends with this workspace; its output goes to a log."""
        process = spawn(
            [str(word) for word in argv],
            owner=self.folder,
            log=self.log(name),
            env={**inherited_environment(), **env},
            cwd=ROOT,
        )
        self.processes.append(process)
        return process

    def run(
        self, name: str, argv: Sequence[object], env: Mapping[str, str], *, limit: float
    ) -> str:
        """Run a process to its end and return its log; raise BenchError if it fails."""
        process = self.start(name, argv, env)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{name} took more than {limit:g} s") from None
        finally:
            self.stop([process], patience=5)
        if code:
            raise BenchError(f"{name} failed: {last_line(self.log(name))}")
        return self.log(name).read_text(encoding="utf-8", errors="replace")

    def python(self, *words: object) -> list[object]:
        """Return the command line of a Python program of ours."""
        return [sys.executable, *words]

    def log(self, name: str) -> Path:
        """Return where a process's output goes."""
        return self.folder / "log" / f"{name}.log"

    def stop(
        self, processes: Sequence[subprocess.Popen[bytes]], *, patience: float
    ) -> None:
        """Stop some of the processes, killing them after `patience` seconds."""
        stop_together(processes, patience=patience)
        self.processes = [one for one in self.processes if one not in processes]

    def end(self) -> None:
        """Stop every process, and whatever they have left behind."""
        self.stop(list(self.processes), patience=10)
        stop_leftovers(self.folder)

    def wait_for(
        self,
        condition: Callable[[], bool],
        *,
        limit: float,
        what: str,
        look_every: float = 0.1,
    ) -> None:
        """Wait until something holds; raise BenchError after `limit` seconds.

        A process of the workspace that ends meanwhile ends the wait as well.
        """
        deadline = time.monotonic() + limit
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise BenchError(f"{what}: not within {limit:g} s")
            time.sleep(look_every)

    def check(self) -> None:
        """Raise BenchError if a process has failed."""
        for process in self.processes:
            if process.poll():
                program = " ".join(map(str, process.args[-3:]))  # type: ignore[index]
                raise BenchError(f"ended with {process.returncode}: {program}")


@contextmanager
def workspace(
    folder: Path, servers: Servers, *, slots: int, name: str
) -> Iterator[Workspace]:
    """Open a workspace, and leave no process of it behind."""
    folder.mkdir(parents=True, mode=0o711)
    opened = Workspace(folder=folder, servers=servers, slots=slots, name=name)
    try:
        yield opened
    finally:
        opened.end()


def inherited_environment() -> dict[str, str]:
    """Return our environment without what would point a queue elsewhere."""
    kept = {
        name: value for name, value in os.environ.items() if name not in _NOT_INHERITED
    }
    return {**kept, "PYTHONUNBUFFERED": "1"}
