"""The product's processes, and a supervisor that starts each again when it has died."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

import psutil

from taskqueue_site.processes import stop_leftovers, stop_together
from taskqueue_site.restarts import Restarts
from taskqueue_site.stack_plan import beat, manage, web
from taskqueue_site.stack_programs import Process, Program, component_line

#: What an orchestrator needs to notice a death and to start a successor.
_RESTART_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 12.0


def programs(*, port: int) -> list[Program]:
    """Return the product as it runs for availability: two of all that may be two."""
    worker = manage("worker", "--pool", "shared", "--concurrency", "2")
    return [
        Program("web", web(f"127.0.0.1:{port}")),
        *(Program(f"dispatcher-{n}", manage("dispatch")) for n in (1, 2)),
        *(Program(f"worker-{n}", worker) for n in (1, 2)),
        Program("maintenance", manage("worker", "--maintenance", "--concurrency", "1")),
        *(Program(f"beat-{n}", beat()) for n in (1, 2)),
    ]


class Fleet:
    """Processes that run until they are killed, and are started again."""

    def __init__(
        self, folder: Path, env: Mapping[str, str], project: Path, *, port: int
    ) -> None:
        """Prepare the processes; nothing is started."""
        self._folder = folder
        self._members = {
            program.name: Process(program, folder, env, project)
            for program in programs(port=port)
        }
        self._restarts = {
            name: Restarts(first_pause=_RESTART_SECONDS, healthy_life=0.0)
            for name in self._members
        }
        #: Processes that were killed by a fault, children of workers included.
        self.kills = 0

    def start(self, say: Callable[[str], None]) -> None:
        """Start them all."""
        for name, process in self._members.items():
            process.start()
            self._restarts[name].started(time.monotonic())
            say(component_line(name, process.describe()))

    def supervise(self) -> list[str]:
        """Start what is dead and has rested; returns the names of those."""
        revived = []
        for name, process in self._members.items():
            restarts, now = self._restarts[name], time.monotonic()
            if restarts.is_due(now):
                process.start()
                restarts.started(now)
                revived.append(name)
            elif restarts.restart_at is None and not process.alive():
                restarts.died(now)
        return revived

    def stop(self) -> None:
        """End them all at once: whatever they hold has been weighed, or never will."""
        handles = [each.handle for each in self._members.values() if each.handle]
        stop_together(handles, patience=_STOP_SECONDS, with_signal=signal.SIGKILL)
        stop_leftovers(self._folder)

    # --- Faults -----------------------------------------------------------------------

    def names(self, role: str) -> list[str]:
        """Return the processes of a role: `worker` has `worker-1` and `worker-2`."""
        return [name for name in self._members if name.partition("-")[0] == role]

    def pid(self, name: str) -> int:
        """Return the process id of a process; 0 while it is down."""
        process = self._members[name]
        return process.handle.pid if process.handle and process.alive() else 0

    def kill(self, name: str) -> None:
        """Kill a process, as `kill -9` does."""
        self._send(self.pid(name), signal.SIGKILL)
        self.kills += 1

    def terminate(self, name: str) -> None:
        """Ask a process to end."""
        self._send(self.pid(name), signal.SIGTERM)

    def freeze(self, name: str) -> None:
        """Stop a process and its children where they stand."""
        self._send_group(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process and its children go on."""
        self._send_group(name, signal.SIGCONT)

    def child(self, name: str, rng: Random) -> int:
        """Return a child of a worker: the one that worked most, or any if none did."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid(name)).children()
            if children:
                rng.shuffle(children)
                return int(max(children, key=_worked).pid)
        return 0

    def kill_child(self, pid: int) -> None:
        """Kill one child of a worker."""
        self._send(pid, signal.SIGKILL)
        self.kills += 1

    def freeze_child(self, pid: int) -> None:
        """Stop one child of a worker where it stands."""
        self._send(pid, signal.SIGSTOP)

    def thaw_child(self, pid: int) -> None:
        """Let a frozen child go on."""
        self._send(pid, signal.SIGCONT)

    @staticmethod
    def _send(pid: int, number: int) -> None:
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _send_group(self, name: str, number: int) -> None:
        if pid := self.pid(name):
            with suppress(ProcessLookupError):
                os.killpg(pid, number)


def _worked(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
