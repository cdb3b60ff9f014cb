"""`make bench`: every queue through every scenario, then a table, JSON and a plot."""

import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from benchmarks.live import catalogue, machine, plot, results, tables
from benchmarks.live.fair_run import FairRun
from benchmarks.live.meters import Meter
from benchmarks.live.options import THROUGHPUT, Options, parse
from benchmarks.live.results import Report, Result
from benchmarks.live.scenarios import Scenario, scenarios, with_window
from benchmarks.live.servers import servers
from benchmarks.live.throughput_run import ThroughputRun
from benchmarks.live.workspace import BenchError, Servers, workspace
from benchmarks.peers.system import System
from taskqueue_site.processes import ServiceError

Measure = Callable[[System, Meter], tuple[dict[str, Any], dict[str, Any]]]


class Bench:
    """One run: it keeps the results so far, and writes them after each."""

    def __init__(self, options: Options, scratch: Path, shared: Servers) -> None:
        self.options = options
        self.scratch = scratch
        self.servers = shared
        self.started_at = datetime.now(UTC)
        self.revision = machine.revision()
        self.results: list[Result] = []
        self._numbers = count(1)
        self._versions: dict[str, str] = dict(shared.versions)

    def run(self) -> None:
        """Run all that was asked for, queue by queue within each scenario.

        The throughput goes first: minutes, where the scenarios take hours.
        """
        if THROUGHPUT in self.options.chosen:
            self._throughput()
        for scenario in scenarios(self.options.sizes, slots=self.options.slots):
            if scenario.name in self.options.chosen:
                self._fairness(with_window(scenario, self.options.sizes.window))

    # --- Scenarios --------------------------------------------------------------------

    def _fairness(self, scenario: Scenario) -> None:
        for name in catalogue.chosen(catalogue.FAIRNESS, self.options.only):
            kind = catalogue.load(name)
            missing = scenario.needs - kind.offers
            if missing:
                reason = f"has no {', '.join(sorted(missing))}"
                self._keep(scenario.name, scenario.what, kind, reason=reason)
                continue
            self._measure(scenario.name, scenario.what, kind, self._fair(scenario))

    def _fair(self, scenario: Scenario) -> Measure:
        def measure(
            system: System, meter: Meter
        ) -> tuple[dict[str, Any], dict[str, Any]]:
            run = FairRun(
                system=system,
                scenario=scenario,
                meter=meter,
                solo_jobs=self.options.solo_jobs,
                grace=max(5.0, self.options.sizes.window / 4),
            )
            return run.run()

        return measure

    def _throughput(self) -> None:
        def measure(
            system: System, meter: Meter
        ) -> tuple[dict[str, Any], dict[str, Any]]:
            run = ThroughputRun(system=system, counts=self.options.counts, meter=meter)
            return run.run()

        what = f"{self.options.counts.backlog:,} jobs that do nothing"
        names = catalogue.chosen(catalogue.THROUGHPUT, self.options.only)
        for number in range(1, self.options.rounds + 1):
            for name in names:
                kind = catalogue.load(name)
                self._measure(THROUGHPUT, what, kind, measure, number=number)

    # --- One queue --------------------------------------------------------------------

    def _measure(
        self,
        scenario: str,
        what: str,
        kind: type[System],
        measure: Measure,
        *,
        number: int = 1,
    ) -> None:
        """Run one queue once; its failure is a result, and the others go on."""
        print(f"{scenario}: {kind.name} …", flush=True)
        begun_at = time.monotonic()
        measures: dict[str, Any] = {}
        load: dict[str, Any] = {}
        reason = ""
        try:
            measures, load = self._run(kind, measure)
        except (BenchError, ServiceError, OSError) as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 # a peer may raise anything
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
        self._keep(
            scenario,
            what,
            kind,
            reason=reason,
            status=results.FAILED if reason else results.OK,
            measures=measures,
            load=load,
            number=number,
            took_s=round(time.monotonic() - begun_at, 1),
        )

    def _run(
        self, kind: type[System], measure: Measure
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self._versions |= machine.versions(kind.packages)
        name = f"b{next(self._numbers)}"
        folder = self.scratch / name
        with ExitStack() as stack:
            space = stack.enter_context(
                workspace(folder, self.servers, slots=self.options.slots, name=name)
            )
            system = kind(space)
            # Last in, first out: the processes end before what they use is removed.
            stack.callback(self._clean, system)
            stack.callback(space.end)
            meter = Meter(
                roots=system.pids, servers=system.servers, database=system.database
            )
            stack.enter_context(meter)
            return measure(system, meter)

    @staticmethod
    def _clean(system: System) -> None:
        try:
            system.clean()
        except Exception as error:  # noqa: BLE001 # what was measured still counts
            print(f"{system.name} left something behind: {error}", file=sys.stderr)

    def _keep(
        self,
        scenario: str,
        what: str,
        kind: type[System],
        *,
        reason: str,
        status: str = results.NOT_OFFERED,
        number: int = 1,
        **rest: Any,
    ) -> None:
        result = Result(
            scenario=scenario,
            what=what,
            system=kind.name,
            settings=kind.settings.format(slots=self.options.slots),
            status=status,
            reason=reason,
            round=number,
            **rest,
        )
        self.results.append(result)
        if reason:
            print(f"  {status}: {reason}", flush=True)
        self.report().write(self.path)

    # --- The outcome ------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Return the file of this run."""
        return results.FOLDER / f"{self.started_at:%Y-%m-%dT%H%M%SZ}.json"

    def report(self) -> Report:
        """Return what is known so far."""
        return Report(
            started_at=self.started_at.isoformat(timespec="seconds"),
            parameters=self._parameters(),
            machine=machine.machine(),
            versions=self._versions,
            results=self.results,
        )

    def _parameters(self) -> dict[str, Any]:
        options = self.options
        return {
            "revision": self.revision,
            "quick": options.quick,
            "slots": options.slots,
            "window_s": options.sizes.window,
            "victim_tenants": options.sizes.victim_tenants,
            "many_tenants": options.sizes.many_tenants,
            "one_by_one": options.counts.one_by_one,
            "backlog": options.counts.backlog,
            "rounds": options.rounds,
        }


def main() -> int:
    """Run the benchmark; returns 1 if a queue failed, 130 if it was stopped."""
    options = parse()
    signal.signal(signal.SIGINT, _stop_once)
    signal.signal(signal.SIGTERM, _stop_once)
    with tempfile.TemporaryDirectory(prefix="dtq-bench-") as scratch:
        folder = Path(scratch)
        # A server that must not run as root reaches its own folder in there.
        folder.chmod(0o711)
        try:
            with servers(folder, private=options.private) as shared:
                return _run(Bench(options, folder, shared), publish=options.publish)
        except (BenchError, ServiceError) as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130


def _run(bench: Bench, *, publish: bool) -> int:
    """Run, and show what was measured even if it was stopped half-way."""
    try:
        bench.run()
    finally:
        if bench.results:
            _show(bench, publish=publish)
    failed = any(result.status == results.FAILED for result in bench.results)
    return 1 if failed else 0


def _show(bench: Bench, *, publish: bool) -> None:
    report = bench.report()
    table = tables.whole(report)
    print(f"\n{table}\n")
    for path in (bench.path, *([results.PUBLISHED] if publish else [])):
        report.write(path)
        page, picture = path.with_suffix(".md"), path.with_suffix(".svg")
        page.write_text(f"# What was measured\n\n{table}\n", encoding="utf-8")
        picture.write_text(plot.draw(report), encoding="utf-8")
        print(f"wrote {path}, {page.name} and {picture.name}")


def _stop_once(number: int, _frame: FrameType | None) -> NoReturn:
    """Unwind on the first signal; later ones must not cut the cleaning short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
