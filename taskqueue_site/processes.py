"""Child processes that do not outlive the process that started them.

Three nets, each under the one before: a child is stopped in order by its parent; the
kernel signals it when the parent dies without a word (Linux); and whoever starts the
same stack next finds it by a mark in its environment and stops it.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Environment variable that names the stack or server directory a process belongs to.
OWNER_VARIABLE = "STACK_OWNER"

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class ServiceError(Exception):
    """A part of the stack cannot run; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged user a root process runs a server as."""

    uid: int
    gid: int


def spawn(
    argv: Sequence[str],
    *,
    owner: Path,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    account: Account | None = None,
    orphan_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, appending its output to `log`.

    The own session keeps a Ctrl-C in the terminal from reaching it. `orphan_signal` is
    what the kernel sends it should this process be killed.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**env, OWNER_VARIABLE: str(owner)},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=follow_parent(orphan_signal),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def stop_together(
    processes: Iterable[subprocess.Popen[bytes]],
    *,
    patience: float,
    with_signal: int = signal.SIGTERM,
) -> list[subprocess.Popen[bytes]]:
    """Ask every process to end, wait `patience` seconds, then kill what is left.

    Each is asked once: a second signal would have it drop what it still has to do.
    Descendants in the process's group are killed when it is gone. Returns those that
    did not end by themselves.
    """
    asked, killed = list(processes), []
    for process in asked:
        if process.poll() is None:
            process.send_signal(with_signal)
    deadline = time.monotonic() + patience
    for process in asked:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            killed.append(process)
        kill_group(process)
        process.wait()
    return killed


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill every process left in the session that `process` leads or led."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group that holds only a zombie.
        return


def stop_leftovers(owner: Path, *, patience: float = 3.0) -> None:
    """Stop the processes that a killed stack or server left behind.

    The kernel has asked them to end already when their parent died, hence the haste.
    """
    stop_processes(
        (process for process in psutil.process_iter() if _belongs(process, owner)),
        patience=patience,
        with_signal=signal.SIGTERM,
    )


def stop_processes(
    processes: Iterable[psutil.Process], *, patience: float, with_signal: int
) -> None:
    """Stop processes that are not our children, killing them after `patience` s."""
    asked = list(processes)
    for process in asked:
        _signal(process, with_signal)
    for process in _still_running(asked, patience):
        _signal(process, signal.SIGKILL)
    _still_running(asked, patience)


def _still_running(
    processes: list[psutil.Process], seconds: float
) -> list[psutil.Process]:
    """Wait until all have ended, at most `seconds`; return those that have not.

    A zombie has ended, although in a container nobody may ever collect it.
    """
    deadline = time.monotonic() + seconds
    while running := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return running


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_line(log: Path) -> str:
    """Return the last line of a log that has text, for use in an error message."""
    if not log.is_file():
        return "(no log)"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "(empty log)"


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _belongs(process: psutil.Process, owner: Path) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return bool(process.environ().get(OWNER_VARIABLE) == str(owner))
    except (psutil.Error, OSError):
        # Gone meanwhile, or another user's: neither can be ours.
        return False


def follow_parent(number: int) -> Callable[[], None]:
    """Return a `preexec_fn` that has the kernel signal the child when we die.

    Linux only; elsewhere the child is left running.
    """
    parent = os.getpid()

    def follow() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            # The parent died before the kernel was told to watch it.
            os._exit(1)

    return follow
