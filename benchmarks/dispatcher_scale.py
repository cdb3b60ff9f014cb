"""How the dispatcher bears a large backlog: memory, start, slowest decision.

It leads over a real ledger with that many queued jobs, while a second process plays the
workers: it starts and ends what is published at once, so that decisions never stop.

    make bench-dispatcher [ARGS="--jobs 1000000 --tenants 10000 --seconds 60"]
"""

import argparse
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from math import ceil
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
django.setup()

from celery import current_app  # noqa: E402 - they need Django set up
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models.functions import Now  # noqa: E402
from kombu import Consumer  # noqa: E402

from jobs import ledger, wake  # noqa: E402
from jobs.broker import Publisher  # noqa: E402
from jobs.dispatcher import Dispatcher  # noqa: E402
from jobs.models import Worker  # noqa: E402
from jobs.pool import Bundle, Pool  # noqa: E402
from jobs.queues import pool_queue  # noqa: E402
from tenants.scoping import all_tenants, apart  # noqa: E402

POOL: Final = "bench-dispatcher"
#: What every job is said to have taken.
COST_US: Final = 50_000

_TENANTS = """
INSERT INTO tenants_tenant (slug, tier_id, pool)
SELECT 't' || lpad(n::text, 6, '0'), 'standard', %(pool)s
FROM generate_series(0, %(tenants)s - 1) AS n
"""
_QUOTAS = """
INSERT INTO quotas_quota (tenant_id, weight) SELECT slug, 1 FROM tenants_tenant
"""
# Version 7 UUIDs, a millisecond apart; the tenants' jobs take turns.
_JOBS = """
INSERT INTO jobs_job (id, tenant_id, kind, payload, priority, state, max_attempts)
SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000'
        || lpad(to_hex(n), 12, '0'))::uuid,
       't' || lpad((n %% %(tenants)s)::text, 6, '0'), 'sleep', '{"seconds": 0.05}', 2,
       'queued', 5
FROM generate_series(1, %(jobs)s) AS n
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the ledger, lead over it for a while, and print what it took."""
    options = _options(arguments)
    if options.play_workers:
        play_workers(options.slots)
        return 0
    seed(options.jobs, options.tenants)
    play = [sys.executable, "-m", "benchmarks.dispatcher_scale", "--play-workers"]
    player = subprocess.Popen([*play, "--slots", str(options.slots)])
    try:
        lead(options.seconds)
    finally:
        player.terminate()
        player.wait()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000, help="queued at first")
    parser.add_argument("--tenants", type=int, default=10_000, help="that share them")
    parser.add_argument("--slots", type=int, default=32, help="of the played workers")
    parser.add_argument("--seconds", type=int, default=60, help="how long to lead")
    parser.add_argument("--play-workers", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def seed(jobs: int, tenants: int) -> None:
    """Write the tenants and their queued jobs into an empty database."""
    call_command("migrate", verbosity=0)
    values: dict[str, int | str] = {"jobs": jobs, "tenants": tenants, "pool": POOL}
    began = time.perf_counter()
    with all_tenants(reason="benchmark"), connection.cursor() as cursor:
        for statement in (_TENANTS, _QUOTAS, _JOBS):
            cursor.execute(statement, values)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    seconds = time.perf_counter() - began
    print(f"ledger    {jobs:,} jobs of {tenants:,} tenants, made in {seconds:.0f} s")


# --- The dispatcher -------------------------------------------------------------------


class TimedDispatcher(Dispatcher):
    """Notes how long each turn of the loop took, without its wait for a wake.

    By the clock, with the ledger's and the broker's answers, and in processor time of
    its own, which other work on the machine does not change. A turn's decisions, which
    are what it chose to publish, are timed by themselves as well.
    """

    def __init__(self) -> None:
        super().__init__(holder="benchmark", publisher=Publisher(current_app))
        self.turns_ms: list[tuple[float, float]] = []
        self.decisions_ms: list[float] = []
        self._choosing = 0.0
        self.first_seconds = 0.0
        self._began = self._woke = time.perf_counter()
        self._cpu = time.thread_time()

    def _serve(self, pool: Pool) -> None:
        self._choosing = time.perf_counter()
        super()._serve(pool)

    def _dispatch(self, pool: Pool, bundles: Sequence[Bundle]) -> dict[str, int]:
        self.decisions_ms.append((time.perf_counter() - self._choosing) * 1000)
        return super()._dispatch(pool, bundles)

    def _wait(self, stop: threading.Event) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        self.turns_ms.append(((now - self._woke) * 1000, (cpu - self._cpu) * 1000))
        if not self.first_seconds and any(p.flights for p in self.pools.values()):
            self.first_seconds = now - self._began
        super()._wait(stop)
        self._woke, self._cpu = time.perf_counter(), time.thread_time()


def lead(seconds: int) -> None:
    """Dispatch for so long, and print how it went."""
    dispatcher = TimedDispatcher()
    stop = threading.Event()
    threading.Timer(seconds, stop.set).start()
    dispatcher.run(stop)
    report(dispatcher)


def report(dispatcher: TimedDispatcher) -> None:
    """Print the memory, the start and the decisions."""
    (rebuild_ms, _), *turns = dispatcher.turns_ms
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with all_tenants(reason="benchmark"), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM jobs_attempt WHERE outcome IS NOT NULL")
        (ended,) = cursor.fetchone() or (0,)
    print(f"rss       {peak_mb:.0f} MB at most")
    print(f"rebuild   {rebuild_ms:.0f} ms")
    print(f"first     {dispatcher.first_seconds:.2f} s until a job was dispatched")
    print(f"turns     {len(turns):,}, in which {ended:,} attempts ended")
    print("                p50     p99     max")
    by_clock, own_cpu = zip(*turns, strict=True)
    for name, each in (
        ("decision", dispatcher.decisions_ms),
        ("turn", by_clock),
        ("own cpu", own_cpu),
    ):
        print(f"{name:<10}" + "".join(f"{at:8.1f}" for at in spread(each)) + " ms")


def spread(times: Sequence[float]) -> list[float]:
    """Return the median, the 99th percentile and the largest."""
    ordered = sorted(times)
    return [ordered[ceil(part * len(ordered)) - 1] for part in (0.5, 0.99, 1.0)]


# --- The workers ----------------------------------------------------------------------


def play_workers(slots: int) -> None:
    """Start and end every attempt that is published, until we are told to stop."""

    def work(body: list[dict[str, list[int]]], _: object) -> None:
        start_and_end(body[1]["attempt_ids"])

    with (
        current_app.connection_for_read() as broker,
        Consumer(broker.channel(), [pool_queue(POOL)], callbacks=[work], no_ack=True),
    ):
        reported = 0.0
        while True:
            if time.monotonic() > reported + 1:
                reported = time.monotonic()
                report_worker(slots)
            try:
                broker.drain_events(timeout=0.5)
            except TimeoutError:
                continue


def report_worker(slots: int) -> None:
    """Say that there is a worker with so many slots."""
    Worker.objects.update_or_create(
        name="player", defaults={"pool": POOL, "slots": slots, "last_seen_at": Now()}
    )


def start_and_end(attempt_ids: list[int]) -> None:
    """Do what a worker writes for a message, as if the jobs had taken their time."""
    with apart(reason="benchmark"):
        claims = ledger.claim(
            attempt_ids=attempt_ids, worker="player", lease_seconds=30
        )
        ledger.settle(
            [
                ledger.succeeded(c.assignment, {}, began_us=0, ended_us=COST_US)
                for c in claims
            ]
        )
    wake.wake_dispatcher()


if __name__ == "__main__":
    sys.exit(main())
