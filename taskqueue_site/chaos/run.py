"""One run: start everything, load it, break it, heal it, and weigh what is left."""

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import psycopg2

from taskqueue_site.chaos import report
from taskqueue_site.chaos.evidence import Ledger
from taskqueue_site.chaos.faults import CATALOGUE, Site
from taskqueue_site.chaos.fleet import Fleet
from taskqueue_site.chaos.journal import Reader, Seen
from taskqueue_site.chaos.schedule import Planned
from taskqueue_site.chaos.servers import Servers
from taskqueue_site.chaos.verdict import TERMINAL, Evidence, Verdict
from taskqueue_site.processes import ServiceError, free_port, stop_together
from taskqueue_site.stack_checks import is_live
from taskqueue_site.stack_plan import manage
from taskqueue_site.stack_programs import Process, Program, check_step
from taskqueue_site.stack_signals import StopSignals

_READY_SECONDS: Final = 90.0
_TICK_SECONDS: Final = 0.2
_PROGRESS_SECONDS: Final = 5.0
_PRODUCERS_SECONDS: Final = 20.0
#: Longer than a worker takes to notice that its broker is back.
_WORKERS_SECONDS: Final = 60.0
_DOCTOR_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the person who typed the command wants."""

    scenario: str
    seed: int
    seconds: float
    planned: Sequence[Planned]
    broker: str
    #: Jobs posted in a second.
    rate: float
    lease_seconds: float
    #: How long the last jobs may make no progress before they count as stuck.
    quiesce_seconds: float


class Run:
    """A run in one folder; everything it starts ends with it."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        project: Path,
        environ: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        """Prepare a run; nothing is started."""
        self._folder = folder
        self._settings = settings
        self._project = project
        self._environ = environ
        self._say_line = say
        self._signals = StopSignals()
        self._journal = Reader(folder / "journal.jsonl")
        self._came: Counter[str] = Counter()
        self._now = "starting"
        self._next_progress = 0.0
        self._site: Site | None = None
        self._env: Mapping[str, str] = {}
        self._began = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Return the report. Raises ServiceError, or StopRequested on a signal."""
        with self._signals, ExitStack() as cleanup:
            path = self._environ.get("PATH", os.defpath)
            servers = Servers(self._folder, broker=self._settings.broker, path=path)
            cleanup.callback(servers.stop)
            urls = servers.start(self._say)
            self._env = env = self._environment(urls)
            self._step("migrate", manage("migrate", "--noinput"), env)
            port = free_port()
            fleet = Fleet(self._folder, env, self._project, port=port)
            cleanup.callback(fleet.stop)
            fleet.start(self._say)
            ledger = Ledger(servers.database_url)
            cleanup.callback(ledger.close)
            self._site = site = Site(servers, fleet, ledger)
            self._wait_for_web(port)
            self._load_and_break(site, env, port)
            site.servers.heal()
            self._quiesce(site)
            return self._weigh(site)

    # --- Start ------------------------------------------------------------------------

    def _environment(self, urls: Mapping[str, str]) -> dict[str, str]:
        objects = self._folder / "objects"
        objects.mkdir(mode=0o700, exist_ok=True)
        return {
            **self._environ,
            **urls,
            "STORAGE_URL": objects.as_uri(),
            "STACK_DATA": str(self._folder),
            "SECRET_KEY": "of-a-run-that-nobody-signs-in-to",
            "SYNTHETIC_KINDS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def _step(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Run a command to its end. Raises ServiceError if it fails."""
        process = Process(Program(name, argv), self._folder, env, self._project)
        process.start()
        try:
            while process.alive():
                self._signals.wait(_TICK_SECONDS)
        finally:
            if process.handle:
                stop_together([process.handle], patience=5)
        check_step(process)

    def _wait_for_web(self, port: int) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not is_live("127.0.0.1", port):
            if time.monotonic() > deadline:
                raise ServiceError(f"the web did not start; see {self._folder}/log")
            self._tick()

    # --- The load and the faults ------------------------------------------------------

    def _load_and_break(self, site: Site, env: Mapping[str, str], port: int) -> None:
        settings = self._settings
        options = ["--produce", str(self._folder), "--rate", str(settings.rate)]
        options += ["--on", f"http://127.0.0.1:{port}", "--seed", str(settings.seed)]
        program = Program("producers", manage("chaos", *options))
        producers = Process(program, self._folder, env, self._project)
        producers.start()
        try:
            self._wait_for_a_job(producers)
            self._began = time.monotonic()
            for planned in settings.planned:
                self._wait_until(self._began + planned.at)
                self._inject(site, planned)
            self._now = "no more faults"
            self._wait_until(self._began + settings.seconds)
        finally:
            if producers.handle:
                stop_together([producers.handle], patience=_PRODUCERS_SECONDS)

    def _wait_for_a_job(self, producers: Process) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self._journal.read().accepted:
            if not producers.alive():
                check_step(producers)
            if time.monotonic() > deadline:
                raise ServiceError(f"no job was accepted; see {producers.log}")
            self._tick()

    def _inject(self, site: Site, planned: Planned) -> None:
        fault = CATALOGUE[planned.name]
        self._came[planned.name] += 1
        self._now = planned.name
        self._say(f"{planned.name} for {planned.seconds:g} s")
        heal = fault.begin(site, Random(planned.seed))  # noqa: S311 - no secret
        try:
            self._wait_until(time.monotonic() + planned.seconds)
        finally:
            heal()
        self._now = f"after {planned.name}"

    # --- The end ----------------------------------------------------------------------

    def _quiesce(self, site: Site) -> None:
        """Wait until every job has ended, or until none has ended for too long.

        Then until every worker takes messages, so long as that may still come.
        """
        self._now = "waiting for the last jobs"
        patience = self._settings.quiesce_seconds
        ended, deadline = -1, time.monotonic() + patience
        while time.monotonic() < deadline:
            states = site.ledger.states()
            if not states.keys() - TERMINAL:
                break
            done = sum(states[state] for state in TERMINAL)
            if done > ended:
                ended, deadline = done, time.monotonic() + patience
            self._tick()
        self._now = "waiting for the workers"
        deadline = time.monotonic() + _WORKERS_SECONDS
        while _deaf(site) > 0 and time.monotonic() < deadline:
            self._tick()

    def _weigh(self, site: Site) -> dict[str, Any]:
        seen = self._journal.read()
        verdict = Verdict(self._evidence(site, seen))
        around = report.Circumstances(
            scenario=self._settings.scenario,
            seed=self._settings.seed,
            minutes=round(self._settings.seconds / 60, 2),
            broker=self._settings.broker,
            lease_seconds=self._settings.lease_seconds,
            kills=site.kills,
            faults=self._came,
            refused=seen.refused,
            versions={**site.servers.versions(), **report.versions()},
            commit=report.commit(self._project),
        )
        return report.as_json(verdict, around)

    def _evidence(self, site: Site, seen: Seen) -> Evidence:
        with site.ledger.snapshot():
            return self._read(site, seen)

    def _read(self, site: Site, seen: Seen) -> Evidence:
        ledger = site.ledger
        found = [s for each in site.interrupted for s in ledger.recoveries(each)]
        return Evidence(
            accepted=seen.accepted,
            unknown_posts=0 if seen.is_idempotent else seen.unknown,
            files=seen.files,
            jobs=ledger.jobs(),
            attempts=ledger.attempts(),
            loads=ledger.loads(),
            usage=ledger.usage(),
            recoveries=[seconds for seconds in found if seconds is not None],
            unrecovered=found.count(None),
            deaf_workers=_deaf(site),
            broken_invariants=self._broken_invariants(),
        )

    def _broken_invariants(self) -> list[str]:
        """Return what `manage.py doctor` has to say about the ledger at rest."""
        looked = subprocess.run(
            manage("doctor", "--at-rest", "--json"),
            env=dict(self._env),
            cwd=self._project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DOCTOR_SECONDS,
            check=False,
        )
        try:
            report = json.loads(looked.stdout)
        except ValueError as error:
            raise ServiceError(f"doctor failed: {looked.stderr[-500:]}") from error
        if not report["is_audited"]:
            return ["the ledger could not be audited"]
        return [
            f"{found['name']}: {found['count']} against it, such as "
            f"{found['examples'][:1]}"
            for found in report["findings"]
        ]

    # --- Meanwhile --------------------------------------------------------------------

    def _wait_until(self, moment: float) -> None:
        while time.monotonic() < moment:
            self._tick(min(_TICK_SECONDS, max(0.0, moment - time.monotonic())))

    def _tick(self, seconds: float = _TICK_SECONDS) -> None:
        """Wait a moment, supervise, and say every few seconds how it goes."""
        self._signals.wait(seconds)
        if self._site is None:
            return
        for name in self._site.fleet.supervise():
            self._say(f"{name} was started again")
        if time.monotonic() >= self._next_progress:
            self._next_progress = time.monotonic() + _PROGRESS_SECONDS
            self._say(self._progress(self._site))

    def _progress(self, site: Site) -> str:
        accepted = len(self._journal.read().accepted)
        return f"{self._now}: {accepted} accepted, {_shown(site.ledger)}"

    def _say(self, text: str) -> None:
        self._say_line(f"{time.monotonic() - self._began:7.1f} s  {text}")


def _deaf(site: Site) -> int:
    """Return how many workers do not report that they take messages."""
    return len(site.fleet.names("worker")) - site.ledger.workers()


def _shown(ledger: Ledger) -> str:
    try:
        states = ledger.states()
    except psycopg2.Error:
        return "the ledger is away"
    return ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
