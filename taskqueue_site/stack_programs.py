"""What a stack runs beside its servers: programs, and the plan that lists them."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taskqueue_site.processes import ServiceError, kill_group, last_line, spawn


@dataclass(frozen=True, slots=True)
class Program:
    """One command line of the stack: a process to keep running, or a step to finish."""

    name: str
    argv: Sequence[str]
    #: Added to the environment of the stack, for this program alone.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Programs of one rank stop together; lower ranks stop first.
    stop_rank: int = 0
    #: Seconds it may take to stop before it is killed.
    patience: float = 10.0
    #: A step that fails with this text in its log has done its work.
    accepts: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stack runs, apart from its embedded servers."""

    host: str
    port: int
    steps_before: Sequence[Program]
    programs: Sequence[Program]
    steps_beside: Sequence[Program] = ()
    #: Called when the steps are done, just before `ready`; returns lines to print.
    closing_lines: Callable[[], Sequence[str]] = tuple

    @property
    def local_host(self) -> str:
        """The address at which this machine reaches the web process."""
        return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(  # noqa: S104
            self.host, self.host
        )

    @property
    def url(self) -> str:
        """The address to open in a browser on this machine."""
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"http://{host}:{self.port}"


@dataclass(slots=True)
class Process:
    """A program that the stack keeps running."""

    program: Program
    directory: Path
    env: Mapping[str, str]
    cwd: Path
    handle: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    @property
    def log(self) -> Path:
        """The file that collects the program's output."""
        return self.directory / "log" / f"{self.program.name}.log"

    def start(self) -> None:
        """Start the program; what an earlier life left in its group is killed."""
        if self.handle is not None:
            kill_group(self.handle)
        self.handle = spawn(
            self.program.argv,
            owner=self.directory,
            log=self.log,
            env={**self.env, **self.program.env},
            cwd=self.cwd,
        )

    def alive(self) -> bool:
        """Return whether the program runs."""
        return self.handle is not None and self.handle.poll() is None

    def describe(self) -> str:
        """Return pid and log, for the operator."""
        return (
            f"pid {self.handle.pid if self.handle else '-'}  log {shown_path(self.log)}"
        )


def check_step(process: Process) -> None:
    """Raise ServiceError if a finished step failed."""
    if process.handle is None or process.handle.returncode == 0:
        return
    accepted = process.program.accepts
    if accepted and accepted in process.log.read_text(errors="replace"):
        return
    reason, log = last_line(process.log), shown_path(process.log)
    raise ServiceError(f"{process.name} failed: {reason} (log {log})")


def component_line(name: str, text: str) -> str:
    """Return one line of the stack's output."""
    return f"{name:<12} {text}"


def shown_path(path: Path) -> str:
    """Return a path as short as it can be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
