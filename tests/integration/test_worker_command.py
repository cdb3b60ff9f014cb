"""`manage.py worker`: a worker of a pool reports it, with its slots, while it lives."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from celery import Celery
from django.core.management import CommandError, call_command
from kombu import Connection
from kombu.asynchronous.timer import Timer

from jobs.dispatcher import Dispatcher
from jobs.models import Job, Worker
from jobs.queues import pool_queue
from jobs.workers import SignsOfLife
from taskqueue_site.chaos.proxy import FaultProxy
from taskqueue_site.pools import live_slots
from tenants.scoping import all_tenants
from tests.acceptance.product import wait_for
from tests.arrange import attempts_of, make_job, reread
from tests.integration.dispatching import tenants, tick
from tests.integration.web import ROOT, database_url
from tests.services.relay import relay


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pool", "a b"], "'a b' is not the name of a pool. Use 1 to 63"),
        (["--pool", ""], "not the name of a pool"),
        (["--concurrency", "0"], "not a whole number from 1 to 1024"),
        (["--concurrency", "1025"], "not a whole number from 1 to 1024"),
        (["--concurrency", "-1"], "not a whole number from 1 to 1024"),
        (["--pool", "x", "--maintenance"], "not allowed with"),
    ],
)
def test_a_bad_pool_or_number_of_slots_is_refused(words: list[str], told: str):
    with pytest.raises(CommandError, match=told):
        call_command("worker", *words)


@pytest.mark.parametrize("command", [["worker", "--pool", "x"], ["dispatch"]])
def test_without_a_database_nothing_is_started(tmp_path: Path, command: list[str]):
    gone = {"STACK_DATA": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": ""}
    ended = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={**os.environ, **gone, "BROKER_URL": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("CommandError: No stack runs on ")


@pytest.mark.django_db(transaction=True)
def test_a_worker_of_a_pool_reports_its_slots_until_it_leaves(
    tmp_path: Path, redis_url: str
):
    with worker(tmp_path, "reports", broker=redis_url, redis=redis_url, slots=3):
        assert _slots() == {"reports": 3}
        # One that is told to leave while it starts leaves its row to go stale.
        wait_for(lambda: b" ready." in (tmp_path / "worker.log").read_bytes(), 60)
    with all_tenants(reason="test"):
        assert list(Worker.objects.values_list("name", "pool", "slots")) == []


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_to_the_broker_costs_no_attempt(
    tmp_path: Path, redis_url: str, broker_url: str, pool: str, dispatcher: Dispatcher
):
    """The message comes again, and finds its attempt started."""
    tenants(pool, t1=1)
    broker = urlsplit(broker_url)
    with relay(broker.hostname or "", broker.port or 5672) as wire:
        login, _, _ = broker.netloc.rpartition("@")
        url = broker._replace(netloc=f"{login}@127.0.0.1:{wire.port}").geturl()
        with worker(tmp_path, pool, broker=url, redis=redis_url, slots=1):
            job = make_job("t1", payload={"seconds": 3, "steps": 30})
            tick(dispatcher)
            wait_for(lambda: reread(job).progress_done > 0, 30)
            assert wire.cut() > 0
            later = make_job("t1")
            wait_for(lambda: _round(dispatcher, later) == "succeeded", 30)
    assert [attempt.outcome for attempt in attempts_of(job)] == ["succeeded"]
    assert [attempt.outcome for attempt in attempts_of(later)] == ["succeeded"]


@pytest.mark.django_db(transaction=True)
def test_a_message_outlives_a_worker_that_is_killed(
    tmp_path: Path, redis_url: str, broker_url: str, pool: str, dispatcher: Dispatcher
):
    """It is acknowledged when its work has ended, so the broker gives it again."""
    tenants(pool, t1=1)
    with worker(tmp_path, pool, broker=broker_url, redis=redis_url, slots=1) as running:
        job = make_job("t1", payload={"seconds": 60, "steps": 600})
        wait_for(lambda: _round(dispatcher, job) == "running", 30)
        running.kill()
        running.wait()
    with Connection(broker_url) as broker:
        queue = pool_queue(pool).bind(broker.channel())
        wait_for(lambda: queue.get(no_ack=True) is not None, 20)


def test_a_sign_of_life_does_not_wait_for_a_broker_that_is_away(broker_url: str):
    broker = urlsplit(broker_url)
    proxy = FaultProxy((broker.hostname or "", broker.port or 5672))
    login, _, _ = broker.netloc.rpartition("@")
    url = broker._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()
    app = Celery("test", broker=url, set_as_current=False)
    with app.connection_for_write() as connection:
        heart = SignsOfLife(Timer(), app.events.Dispatcher(connection))
        heart.start()
        proxy.refuse()
        again = Thread(target=heart.start, daemon=True)
        again.start()
        again.join(20)
        is_held_up = again.is_alive()
        proxy.heal()
        again.join()
    proxy.close()
    app.close()
    assert not is_held_up


@contextmanager
def worker(
    folder: Path, pool: str, *, broker: str, redis: str, slots: int
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker that has reported itself; it is told to leave at the end."""
    values = {
        "DATABASE_URL": database_url(),
        "BROKER_URL": broker,
        "REDIS_URL": redis,
        "STACK_DATA": str(folder),
        "SYNTHETIC_KINDS": "1",
    }
    options = ["--pool", pool, "--concurrency", str(slots)]
    with (
        (folder / "worker.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "manage.py", "worker", *options],
            cwd=ROOT,
            env={**os.environ, **values},
            stdout=log,
            stderr=log,
            # A group of its own, which a test may signal as a terminal does.
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_for(lambda: pool in _slots(), 60)
            yield process
            if process.poll() == -signal.SIGKILL:
                return  # by the test
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0


def _round(dispatcher: Dispatcher, job: Job) -> str:
    tick(dispatcher)
    return str(reread(job).state)


def _slots() -> dict[str, int]:
    with all_tenants(reason="test"):
        return live_slots()
