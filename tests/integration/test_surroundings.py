"""What the doctor sees around the ledger: servers, roles, processes, queues."""

from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Queue

from jobs import surroundings
from jobs.models import Worker
from jobs.queues import DEAD_LETTER_QUEUE, pool_queue
from jobs.surroundings import Sign, look_around
from jobs.switches import switch_set
from tenants.scoping import all_tenants
from tenants.services import tenant_pause
from tests import arrange
from tests.arrange import lead, make_job, make_tenant
from tests.integration.dispatching import add_worker
from tests.integration.ledger_states import alter, sql

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def two_tenants() -> None:
    for slug in ("t1", "t2"):
        make_tenant(slug)


def sign_of(part: str) -> Sign:
    (sign,) = [sign for sign in look_around() if sign.part == part]
    return sign


def test_all_is_well_with_a_leader():
    lead()
    signs = {sign.part: sign.verdict for sign in look_around()}
    assert signs.pop("queue jobs.dead") in {"ok", "warn"}
    parts = ("database", "login", "walls", "dispatcher", "dead letters", "switches")
    assert signs == dict.fromkeys([*parts, "redis", "broker"], "ok")


def test_switches_that_are_off_are_a_warning():
    with all_tenants(reason="test"):
        tenant_pause(slug="t1", reason="fraud")
        switch_set(scope="kind", name="sleep", is_accepting=False)
        switch_set(scope="kind", name="ingest", is_accepting=True)
    sign = sign_of("switches")
    assert (sign.verdict, sign.text) == (
        "warn",
        "off, in part or wholly, for tenant t1, kind sleep",
    )
    assert "manage.py switch" in sign.remedy


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE jobs_job NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE jobs_job DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_rows ON jobs_job",
        "DROP POLICY platform_rows ON jobs_job",
        "ALTER POLICY tenant_rows ON jobs_job TO public",
    ],
)
def test_an_open_wall_is_wrong(statement: str):
    assert sign_of("walls").verdict == "ok"
    alter(statement)
    sign = sign_of("walls")
    assert sign.verdict == "wrong"
    assert sign.text.endswith(" jobs_job")


def test_nobody_leading_is_wrong():
    assert sign_of("dispatcher").verdict == "wrong"
    lead()
    sql("UPDATE jobs_leaderlease SET expires_at = now() - interval '1 second'")
    assert sign_of("dispatcher").verdict == "wrong"


def test_a_pool_with_work_and_no_worker_is_wrong():
    make_job("t1")
    assert sign_of("pool shared").verdict == "wrong"
    add_worker("shared", 2)
    assert sign_of("pool shared").verdict == "ok"
    Worker.objects.update(last_seen_at="2026-01-01T00:00:00Z")
    assert sign_of("pool shared").verdict == "wrong"
    sql("UPDATE tenants_tenant SET is_paused = true")
    assert "pool shared" not in {sign.part for sign in look_around()}


def test_dead_letters_are_counted():
    arrange.make_dead_job("t1")
    assert sign_of("dead letters").text.startswith("1 wait")


def test_redis_away_is_wrong(settings: Any):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert sign_of("redis").verdict == "wrong"


@pytest.mark.parametrize("url", ["amqp://127.0.0.1:1//", "redis://127.0.0.1:1/0"])
def test_the_broker_away_is_wrong(monkeypatch: pytest.MonkeyPatch, url: str):
    away = Celery("away", broker=url, set_as_current=False)
    monkeypatch.setattr(surroundings, "current_app", away)
    assert sign_of("broker").verdict == "wrong"


def test_a_queue_is_compared_with_its_declaration(pool: str, broker_url: str):
    add_worker(pool, 1)
    part = f"queue jobs.{pool}"
    assert sign_of(part).text == "does not exist"
    with Connection(broker_url) as broker:
        Queue(f"jobs.{pool}", durable=True).bind(broker.channel()).queue_declare()
        assert sign_of(part).verdict == "wrong"
        pool_queue(pool).bind(broker.channel()).delete()
        pool_queue(pool).bind(broker.channel()).declare()
        assert sign_of(part).text == "as declared, 0 messages"


def test_messages_that_were_given_up_are_a_warning(broker_url: str):
    with Connection(broker_url) as broker:
        queue = DEAD_LETTER_QUEUE.bind(broker.channel())
        queue.declare()
        try:
            assert sign_of("queue jobs.dead").verdict == "ok"
            broker.Producer().publish({}, exchange="jobs.dlx", retry=False)
            while not queue.queue_declare(passive=True).message_count:
                pass
            assert sign_of("queue jobs.dead").verdict == "warn"
        finally:
            queue.delete()
