"""The one-machine stack: its servers and processes, started, watched and stopped.

Order of a start: lock, port, embedded servers, preparing steps (migrate …), the
product's processes, steps that may run beside them, ready. A stop walks back: processes
in the order of their `stop_rank`, then the servers. Everything waits in one place,
`StopSignals.wait`, so a signal or a child's death is noticed at once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from itertools import groupby
from pathlib import Path
from typing import Protocol

from taskqueue_site.embedded import EmbeddedServer, ServiceError
from taskqueue_site.processes import last_line, stop_leftovers, stop_together
from taskqueue_site.restarts import Restarts
from taskqueue_site.stack_checks import check_port, directory_lock, is_live
from taskqueue_site.stack_programs import (
    Plan,
    Process,
    Program,
    check_step,
    component_line,
    shown_path,
)
from taskqueue_site.stack_signals import StopRequested, StopSignals

_READY_SECONDS = 60.0


class Component(Protocol):
    """What the stack watches: an embedded server or one of its own processes."""

    @property
    def name(self) -> str:
        """The name in the stack's output and of its log."""

    def start(self) -> object:
        """Start it; raise ServiceError if that fails."""

    def alive(self) -> bool:
        """Return whether it runs."""


class Stack:
    """One run of the stack on one directory."""

    def __init__(
        self, directory: Path, *, project: Path, say: Callable[[str], None]
    ) -> None:
        """Prepare a stack; programs run in `project`, lines for people go to `say`."""
        self._directory = directory
        self._project = project
        self._say = say
        self._signals = StopSignals()
        self._processes: list[Process] = []
        self._watched: list[tuple[Component, Restarts]] = []

    def run(
        self,
        plan: Plan,
        servers: Mapping[str, EmbeddedServer],
        environment: Callable[
            [Mapping[str, str]], AbstractContextManager[Mapping[str, str]]
        ],
    ) -> None:
        """Start everything, watch it, and stop it when a signal asks to.

        `environment` turns the URLs of the started servers, by variable, into the
        environment of the programs, and is left when they have ended. Raises
        ServiceError when something cannot start; nothing is left running in any case.
        """
        with (
            self._signals,
            directory_lock(self._directory),
            suppress(StopRequested),
            ExitStack() as cleanup,
        ):
            check_port(plan.host, plan.port)
            stop_leftovers(self._directory)
            urls = self._start_servers(servers, cleanup)
            env = cleanup.enter_context(environment(urls))
            self._finish_steps(plan.steps_before, env)
            cleanup.callback(self._stop_processes)
            self._start_processes(plan.programs, env)
            self._finish_steps(plan.steps_beside, env)
            self._wait_until_ready(plan)
            for line in (*plan.closing_lines(), f"ready {plan.url}"):
                self._say(line)
            while True:
                self._signals.wait(1.0)
                self._revive()

    def _start_servers(
        self, servers: Mapping[str, EmbeddedServer], cleanup: ExitStack
    ) -> dict[str, str]:
        urls = {}
        for variable, server in servers.items():
            cleanup.callback(server.stop)
            urls[variable] = server.start()
            self._watch(server)
            self._say(component_line(server.name, server.describe()))
            self._signals.check()
        return urls

    def _finish_steps(self, steps: Sequence[Program], env: Mapping[str, str]) -> None:
        """Run the steps side by side to their end, reviving what dies meanwhile."""
        running = [self._process(step, env) for step in steps]
        try:
            for process in running:
                process.log.unlink(missing_ok=True)
                process.start()
            while any(process.alive() for process in running):
                self._signals.wait(0.5)
                self._revive()
        finally:
            handles = [process.handle for process in running if process.handle]
            stop_together(handles, patience=5)
        for process in running:
            check_step(process)

    def _start_processes(
        self, programs: Sequence[Program], env: Mapping[str, str]
    ) -> None:
        for program in programs:
            process = self._process(program, env)
            self._processes.append(process)
            process.start()
            self._watch(process)
            self._say(component_line(process.name, process.describe()))

    def _process(self, program: Program, env: Mapping[str, str]) -> Process:
        return Process(program, self._directory, env, self._project)

    def _wait_until_ready(self, plan: Plan) -> None:
        """Wait until the web process answers; raise ServiceError if it does not."""
        web = next(process for process in self._processes if process.name == "web")
        deadline = time.monotonic() + _READY_SECONDS
        while not is_live(plan.local_host, plan.port):
            if not web.alive() or time.monotonic() > deadline:
                raise ServiceError(
                    f"the web process did not become ready: {last_line(web.log)} "
                    f"(log {shown_path(web.log)})"
                )
            self._signals.wait(0.2)
            self._revive()

    def _watch(self, component: Component) -> None:
        restarts = Restarts()
        restarts.started(time.monotonic())
        self._watched.append((component, restarts))

    def _revive(self) -> None:
        """Give each dead component its pause, then its next life."""
        for component, restarts in self._watched:
            now = time.monotonic()
            if restarts.is_due(now):
                self._restart(component, restarts)
            elif restarts.restart_at is None and not component.alive():
                self._report_death(component, restarts.died(now))

    def _restart(self, component: Component, restarts: Restarts) -> None:
        try:
            component.start()
        except (ServiceError, OSError) as error:
            pause = restarts.died(time.monotonic())
            self._say(component_line(component.name, f"{error}; again in {pause:g} s"))
        else:
            restarts.started(time.monotonic())

    def _report_death(self, component: Component, pause: float) -> None:
        log = self._directory / "log" / f"{component.name}.log"
        self._say(
            component_line(
                component.name, f"died, restart in {pause:g} s  log {shown_path(log)}"
            )
        )

    def _stop_processes(self) -> None:
        """Stop the processes rank by rank, then whatever escaped from their groups."""

        def rank(process: Process) -> int:
            return process.program.stop_rank

        for _, group in groupby(sorted(self._processes, key=rank), key=rank):
            members = {p.handle: p for p in group if p.handle}
            patience = max((m.program.patience for m in members.values()), default=0)
            for handle in stop_together(members, patience=patience):
                said = f"killed: did not end within {patience:g} s"
                self._say(component_line(members[handle].name, said))
        stop_leftovers(self._directory)
