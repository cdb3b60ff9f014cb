"""Two dispatchers at once, one of them frozen: every job is dispatched once."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Self
from uuid import UUID

import pytest
from celery import Celery
from django.conf import settings
from django.db import connection
from django.utils import timezone
from kombu import Queue

from jobs import handlers, ledger, services, synthetic
from jobs.broker import Publisher
from jobs.dispatcher import LEASE_TTL_SECONDS, Dispatcher
from jobs.models import Attempt, Job, LeaderLease, Worker
from tenants.scoping import all_tenants, tenant_scope
from tests.acceptance.product import ROOT, wait_for
from tests.arrange import dispatch, make_job, make_tenant, reread, start
from tests.integration.dispatching import published

pytestmark = pytest.mark.django_db(transaction=True)

JOBS = 300


# --- Processes that are frozen for real -----------------------------------------------


class Program:
    """A `manage.py` process on the test's own services, with its log."""

    def __init__(self, log: Path, *words: str) -> None:
        self.log = log
        url = _database_url()
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", *words],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                env={**os.environ, "DATABASE_URL": url, "SYNTHETIC_KINDS": "1"},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, frozen or not."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        finally:
            self.process.kill()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def has_said(self, words: str) -> bool:
        said = self.log.read_text()
        assert self.process.poll() is None, said
        return words in said


def _database_url() -> str:
    at = connection.settings_dict
    where = f"{at['HOST']}:{at['PORT'] or 5432}/{at['NAME']}"
    return f"postgresql://{at['USER']}:{at['PASSWORD']}@{where}"


def succeeded() -> int:
    with all_tenants(reason="test"):
        return int(Job.objects.filter(state="succeeded").count())


def has_dispatched(term: int) -> bool:
    with all_tenants(reason="test"):
        return bool(Attempt.objects.filter(term=term).exists())


def test_a_leader_frozen_past_its_lease_does_no_harm_when_it_thaws(
    tmp_path: Path, pool: str
):
    """It thaws inside a round in which it believes to lead, and then takes its turn."""
    for slug in ("t1", "t2"):
        make_tenant(slug, pool=pool)
        flood(slug, JOBS // 2)
    with (
        Program(tmp_path / "worker", "worker", "--pool", pool, "--concurrency", "4"),
        Program(tmp_path / "one", "dispatch") as one,
        Program(tmp_path / "two", "dispatch") as two,
    ):
        wait_for(lambda: succeeded() >= JOBS // 10, 60)
        leader, standby = (one, two) if one.has_said("Leading") else (two, one)
        leader.send(signal.SIGSTOP)
        wait_for(lambda: has_dispatched(term=2), 60)
        leader.send(signal.SIGCONT)
        wait_for(lambda: leader.has_said("No longer leading (term 1)"), 60)
        standby.send(signal.SIGTERM)
        wait_for(lambda: succeeded() == JOBS, 60)
    check_each_was_dispatched_once()


def flood(slug: str, jobs: int) -> None:
    with tenant_scope(slug):
        services.jobs_enqueue(
            tenant_id=slug,
            kind="sleep",
            payloads=[{"seconds": 0.04}] * jobs,
            now=timezone.now(),
        )


def check_each_was_dispatched_once() -> None:
    with all_tenants(reason="test"):
        attempts = list(Attempt.objects.order_by("id"))
    assert len({attempt.job_id for attempt in attempts}) == JOBS
    assert {attempt.number for attempt in attempts} == {1}
    assert {attempt.outcome for attempt in attempts} == {"succeeded"}
    # In the order of dispatch: once a new leader wrote, an old one never did again.
    terms = [attempt.term for attempt in attempts]
    assert terms == sorted(terms)
    assert set(terms) == {1, 2, 3}


# --- A freeze at a chosen place -------------------------------------------------------


class FreezingPublisher(Publisher):
    """Lets something happen between the ledger's commit and the broker."""

    meanwhile: Callable[[], None] | None = None

    def publish(
        self,
        queue: Queue,
        bundles: Sequence[Sequence[int]],
        limits: Sequence[int] = (),
    ) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().publish(queue, bundles, limits)


def expire_the_lease() -> None:
    LeaderLease.objects.update(expires_at=timezone.now())


def test_what_was_dispatched_before_a_freeze_and_published_after_it_starts_once(
    app: Celery, broker_url: str, pool: str
):
    make_tenant("t1", pool=pool)
    Worker.objects.create(name="w", pool=pool, slots=2)
    flood("t1", 3)
    with closing(FreezingPublisher(app)) as slow, closing(Publisher(app)) as quick:
        old = Dispatcher(holder="old", publisher=slow)
        new = Dispatcher(holder="new", publisher=quick)

        def freeze() -> None:
            expire_the_lease()
            new.tick()

        slow.meanwhile = freeze
        old.tick()
        ids = attempt_ids()
        # The new leader took both over; the old one, thawed, sent them once more.
        assert published(broker_url, pool) == ids * 2
        assert [len(claim(attempt_id)) for attempt_id in ids * 2] == [1, 1, 0, 0]
        # It still believes to lead; let it see a free slot for the third job.
        old._next_round = math.inf
        old.pools[pool].slots = 3
        old.tick()
        old._next_round = 0.0
        old.tick()
        assert old.term is None
    assert attempt_ids() == ids
    assert published(broker_url, pool) == []


def attempt_ids() -> list[int]:
    with all_tenants(reason="test"):
        return list(Attempt.objects.order_by("id").values_list("id", flat=True))


def claim(attempt_id: int) -> list[ledger.Claim]:
    with all_tenants(reason="test"):
        return ledger.claim(attempt_ids=[attempt_id], worker="w", lease_seconds=30)


def test_the_server_ends_a_sweep_in_which_the_leader_stops(app: Celery, pool: str):
    """Else the rows it has changed stay locked until the leader thaws."""
    seen: list[str] = []

    def on_dead(_: UUID) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            seen.extend(cursor.fetchone() or ())

    handlers.register(replace(synthetic.SLEEP, name="noticed", on_unfinished=on_dead))
    make_tenant("t1", pool=pool)
    job = make_job("t1", kind="noticed")
    start(dispatch(job, pool=pool))
    with all_tenants(reason="test"):
        Job.objects.update(lost_count=settings.MAX_LOSSES)
        Attempt.objects.update(lease_expires_at=timezone.now())
    expire_the_lease()
    with closing(Publisher(app)) as publisher:
        dispatcher = Dispatcher(holder="next", publisher=publisher)
        while dispatcher.chores.are_due:
            dispatcher.tick()
    assert reread(job).state == "dead"
    assert seen == [f"{LEASE_TTL_SECONDS:.0f}s"]
