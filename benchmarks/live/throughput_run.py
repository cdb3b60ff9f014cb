"""Measures how fast one queue takes jobs that do nothing, and how fast it runs them."""

import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.live.meters import PRODUCERS, Meter, load_report
from benchmarks.live.scenarios import Tenant
from benchmarks.live.workspace import BenchError
from benchmarks.peers.plan import JobSpec, Plan
from benchmarks.peers.system import System

TENANT: Final = "bench"
ENQUEUE_LIMIT_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many jobs are sent in each way."""

    one_by_one: int
    #: Jobs that wait in all when the workers start.
    backlog: int
    #: The drain is watched for so many seconds at most.
    drain_limit: float


@dataclass(slots=True)
class ThroughputRun:
    """One round on one queue that holds nothing else."""

    system: System
    counts: Counts
    meter: Meter

    def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the rates, and the load while the backlog was drained."""
        self.system.prepare([Tenant(name=TENANT)])
        self.system.hold()
        taken = self._enqueue()
        sent = sum(way["jobs"] for way in taken.values())
        drained, load = self._drain(sent)
        self.system.stop()
        return {"enqueue": taken, "drain": drained}, load

    # --- Enqueue ----------------------------------------------------------------------

    def _enqueue(self) -> dict[str, dict[str, Any]]:
        """Hand over the backlog, one way after the other; return each way's rate."""
        ways = self.system.one_by_one or {"one by one": self.system.sender}
        taken = {
            name: self._send(self.counts.one_by_one, batch=1, sender=sender)
            for name, sender in ways.items()
        }
        backlog = self.counts.backlog * self.system.backlog_factor
        left = backlog - sum(way["jobs"] for way in taken.values())
        if left > 0:
            batch = self.system.batch
            bulk = self._send(left, batch=batch, sender=self.system.sender)
            name = (
                f"batches of {batch}" if self.system.has_batches else "not comparable"
            )
            taken[name] = bulk
        return taken

    def _send(self, number: int, *, batch: int, sender: str) -> dict[str, Any]:
        jobs = [JobSpec(TENANT, TENANT, 0.0)] * number
        plan = Plan(jobs=jobs, batch=batch, at_most=ENQUEUE_LIMIT_SECONDS)
        before = self.meter.read()
        producing = self.system.produce(plan, sender=sender)
        self.system.space.wait_for(
            producing.is_done, limit=ENQUEUE_LIMIT_SECONDS + 60, what="the producer"
        )
        summary = producing.summary()
        used = (
            self.meter.read()
            .since(before)
            .with_part(PRODUCERS, summary.whole_cpu_seconds)
        )
        return {
            "jobs": summary.jobs,
            "per_second": round(summary.per_second, 1),
            # Of the servers all, of the producer what it used after its start.
            "cpu_ms_per_job": round(
                1000 * (summary.cpu_seconds + used.ours) / max(1, summary.jobs), 3
            ),
            "others_cpu_share": round(used.others_share, 3),
        }

    # --- Drain ------------------------------------------------------------------------

    def _drain(self, sent: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Let the workers run; the rate is from the first start to the last end."""
        self.system.release()
        limit = self.counts.drain_limit
        self.system.space.wait_for(
            lambda: self.system.finished() > 0,
            limit=60,
            what="the first job",
            look_every=0.02,
        )
        # From here on, so that the start of the processes is not counted.
        before, already = self.meter.read(), self.system.finished()
        deadline = time.time() + limit
        while self.system.finished() < sent and time.time() < deadline:
            self.system.space.check()
            time.sleep(0.5)
        used, finished = self.meter.read().since(before), self.system.finished()
        spans = self.system.happened().spans
        if not spans:
            raise BenchError("no job has left a trace")
        seconds = max(s.ended_at for s in spans) - min(s.started_at for s in spans)
        measures = {
            "jobs": len(spans),
            "of": sent,
            "seconds": round(seconds, 3),
            "per_second": round(len(spans) / seconds, 1),
        }
        return measures, load_report(used, self.meter, jobs=finished - already)
