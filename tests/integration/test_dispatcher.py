"""The dispatcher against a real ledger, broker and Redis."""

import time
from datetime import timedelta

import pytest
from celery import Celery
from django.db import connection
from kombu import Queue
from kombu.exceptions import OperationalError

from jobs.broker import Publisher
from jobs.dispatcher import WORKER_FRESH_SECONDS, Dispatcher
from jobs.models import Attempt, Job, Worker
from jobs.synthetic import SLEEP
from quotas.models import Quota
from tenants.models import Tenant, Tier
from tenants.scoping import all_tenants
from tests.arrange import attempts_of, make_job, reread, start
from tests.integration.dispatching import add_worker, end, published, tenants, tick

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_more_is_published_than_slots_are_free(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    tenants(pool, t1=1)
    jobs = [make_job("t1") for _ in range(5)]
    tick(dispatcher)
    assert published(broker_url, pool) == []
    add_worker(pool, slots=2)
    tick(dispatcher)
    tick(dispatcher)
    ids = published(broker_url, pool)
    assert ids == [attempts_of(job)[0].pk for job in jobs[:2]]
    assert [reread(job).state for job in jobs] == ["dispatched"] * 2 + ["queued"] * 3
    end(ids[0], seconds=1)
    tick(dispatcher)
    assert published(broker_url, pool) == [attempts_of(jobs[2])[0].pk]


def test_a_worker_that_vanishes_leaves_the_slots_of_the_others_busy(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    """Its attempts keep their leases for longer than its slots are counted."""
    tenants(pool, t1=1)
    jobs = [make_job("t1") for _ in range(4)]
    add_worker(pool, slots=1)
    lost = Worker.objects.create(name="lost", pool=pool, slots=2)
    tick(dispatcher)
    tick(dispatcher)
    first, *others = published(broker_url, pool)
    for attempt_id in others:
        start(attempt_id, worker="lost")
    lost.last_seen_at -= timedelta(seconds=WORKER_FRESH_SECONDS + 1)
    lost.save()
    tick(dispatcher)
    assert published(broker_url, pool) == []
    end(first, seconds=1)
    tick(dispatcher)
    assert published(broker_url, pool) == [attempts_of(jobs[3])[0].pk]
    assert [reread(job).state for job in jobs[1:3]] == ["running"] * 2


def test_worker_time_follows_the_weights_not_the_number_of_jobs(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    """One tenant's jobs take twenty times as long; the shares stay 1 to 3."""
    tenants(pool, slow=1, quick=3)
    add_worker(pool, slots=1)
    seconds = {"slow": 4.0, "quick": 0.2}
    for _ in range(150):
        make_job("quick")
    for _ in range(30):
        make_job("slow")
    used = dict.fromkeys(seconds, 0.0)
    while used["slow"] + used["quick"] < 40:
        tick(dispatcher)
        (attempt_id,) = published(broker_url, pool)
        with all_tenants(reason="test"):
            tenant = Attempt.objects.get(pk=attempt_id).tenant_id
        end(attempt_id, seconds=seconds[tenant])
        used[tenant] += seconds[tenant]
    # The bound for one slot: twice the longest job, over its weight.
    assert abs(used["slow"] - used["quick"] / 3) <= 2 * 4.0


def test_a_weight_a_cap_and_a_pause_bind_on_the_standing_backlog(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    tenants(pool, t1=1)
    add_worker(pool, slots=3)
    for _ in range(5):
        make_job("t1")
    with all_tenants(reason="test"):
        Tenant.objects.update(is_paused=True)
    tick(dispatcher)
    assert published(broker_url, pool) == []
    with all_tenants(reason="test"):
        Tenant.objects.update(is_paused=False)
        Quota.objects.update(max_in_flight=2, weight=5)
    tick(dispatcher)
    ids = published(broker_url, pool)
    assert len(ids) == 2
    with all_tenants(reason="test"):
        assert set(Attempt.objects.values_list("weight", flat=True)) == {5000}


def test_priority_orders_a_tenants_own_jobs(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    low, urgent = make_job("t1", priority=3), make_job("t1", priority=0)
    tick(dispatcher)
    assert published(broker_url, pool) == [attempts_of(urgent)[0].pk]
    assert attempts_of(low) == []


def test_a_standby_does_nothing_until_the_lease_runs_out(
    dispatcher: Dispatcher, publisher: Publisher, pool: str, broker_url: str
):
    tenants(pool, t1=1)
    add_worker(pool, slots=4)
    make_job("t1")
    tick(dispatcher)
    assert len(published(broker_url, pool)) == 1
    standby = Dispatcher(holder="standby", publisher=publisher)
    second = make_job("t1")
    tick(standby)
    assert reread(second).state == "queued"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_leaderlease SET expires_at = now()")
    tick(standby)
    assert reread(second).state == "dispatched"
    third = make_job("t1")
    tick(dispatcher)
    assert reread(third).state == "queued"


def test_a_new_leader_publishes_again_what_nobody_started(
    dispatcher: Dispatcher, publisher: Publisher, pool: str, broker_url: str
):
    """As after a crash between the ledger's commit and the broker's confirm."""
    tenants(pool, t1=1)
    add_worker(pool, slots=2)
    # So long that no slot looks as if it were about to be free.
    dispatcher.estimator.observe("t1", "sleep", 60_000_000)
    running, waiting = make_job("t1"), make_job("t1")
    tick(dispatcher)
    ids = published(broker_url, pool)
    start(ids[0])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_leaderlease SET expires_at = now()")
    make_job("t1")
    tick(Dispatcher(holder="next", publisher=publisher))
    assert published(broker_url, pool) == [attempts_of(waiting)[0].pk]
    assert len(attempts_of(running)) == 1


def test_a_broker_that_is_away_delays_and_loses_nothing(
    dispatcher: Dispatcher,
    publisher: Publisher,
    pool: str,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("jobs.dispatcher.BROKER_SECONDS", 0.0)
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    job = make_job("t1")
    away = Celery("away", broker="amqp://127.0.0.1:1//", set_as_current=False)
    away.conf.task_publish_retry = False
    away.conf.broker_connection_timeout = 0.5
    dispatcher.publisher = Publisher(away)
    tick(dispatcher)
    assert reread(job).state == "dispatched"
    dispatcher.publisher = publisher
    tick(dispatcher)
    assert published(broker_url, pool) == [attempts_of(job)[0].pk]
    away.close()


def test_a_broker_that_hangs_is_waited_for_once_in_a_turn(
    dispatcher: Dispatcher, pool: str, monkeypatch: pytest.MonkeyPatch
):
    """Else the lease would run out while pool after pool waits."""
    waited = []

    def hang(queue: Queue, *_: object) -> None:
        waited.append(queue.name)
        time.sleep(0.02)
        raise OperationalError("the broker did not confirm in time")

    monkeypatch.setattr(dispatcher.publisher, "publish", hang)
    monkeypatch.setattr("jobs.dispatcher.SERVE_SECONDS", 0.01)
    monkeypatch.setattr("jobs.dispatcher.BROKER_SECONDS", 0.0)
    for slug, name in (("t1", pool), ("t2", f"{pool}-before")):
        tenants(name, **{slug: 1})
        add_worker(name, slots=1)
        make_job(slug)
    dispatcher._next_round = dispatcher._next_config = 0.0
    dispatcher.tick()
    dispatcher.tick()
    assert len(waited) == 2


def test_a_broker_that_is_away_is_asked_every_so_often(
    dispatcher: Dispatcher, pool: str, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def refuse(queue: Queue, *_: object) -> None:
        asked.append(queue.name)
        raise OperationalError("the broker is away")

    monkeypatch.setattr(dispatcher.publisher, "publish", refuse)
    monkeypatch.setattr("jobs.dispatcher.BROKER_SECONDS", 3600.0)
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    job = make_job("t1")
    for _ in range(3):
        tick(dispatcher)
    assert reread(job).state == "dispatched"
    assert len(asked) == 1


def test_a_tenant_that_moves_takes_its_backlog_along(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    before = f"{pool}-before"
    tenants(before, t1=1)
    jobs = [make_job("t1") for _ in range(2)]
    tick(dispatcher)
    with all_tenants(reason="test"):
        Tenant.objects.update(pool=pool)
    add_worker(before, slots=2)
    add_worker(pool, slots=2)
    tick(dispatcher)
    tick(dispatcher)
    assert published(broker_url, before) == []
    assert published(broker_url, pool) == [attempts_of(job)[0].pk for job in jobs]


def test_a_job_cancelled_in_between_is_skipped(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    tenants(pool, t1=1)
    first, second = make_job("t1"), make_job("t1")
    tick(dispatcher)  # both are known, none has a slot
    with all_tenants(reason="test"):
        Job.objects.filter(pk=first.pk).update(
            state="cancelled", event="cancelled", finished_at=first.created_at
        )
    add_worker(pool, slots=1)
    tick(dispatcher)
    tick(dispatcher)
    assert published(broker_url, pool) == [attempts_of(second)[0].pk]


def test_a_new_leader_remembers_who_has_had_more_than_its_share(
    dispatcher: Dispatcher, publisher: Publisher, pool: str, broker_url: str
):
    """What was settled before the snapshot, between the two, and what is open."""
    tenants(pool, heavy=1, light=1)
    add_worker(pool, slots=1)
    for _ in range(4):
        make_job("heavy")
    tick(dispatcher)
    (before,) = published(broker_url, pool)
    end(before, seconds=8)
    dispatcher.chores.hasten()
    tick(dispatcher)
    (since,) = published(broker_url, pool)
    end(since, seconds=8)
    for _ in range(6):
        make_job("light")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_leaderlease SET expires_at = now()")
    following = Dispatcher(holder="next", publisher=publisher)
    served = []
    for _ in range(6):
        tick(following)
        (attempt_id,) = published(broker_url, pool)
        with all_tenants(reason="test"):
            served.append(Attempt.objects.get(pk=attempt_id).tenant_id)
        end(attempt_id, seconds=1)
    # The debt of both attempts counts: only the lift to the clock forgives the rest.
    assert served == ["light"] * 6


def test_a_rate_is_kept_and_its_burst_allowed(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    tenants(pool, t1=1)
    add_worker(pool, slots=8)
    with all_tenants(reason="test"):
        Quota.objects.update(rate_per_second="0.01", burst=3)
    for _ in range(8):
        make_job("t1")
    tick(dispatcher)
    tick(dispatcher)
    assert len(published(broker_url, pool)) == 3
    with all_tenants(reason="test"):
        Quota.objects.update(rate_per_second=None, burst=None)
    tick(dispatcher)
    assert len(published(broker_url, pool)) == 5


def test_tiers_share_by_their_weights_whatever_the_number_of_tenants(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    tenants(pool, gold1=1, plain1=1, plain2=1, plain3=1)
    Tier.objects.update_or_create(name="gold", defaults={"weight": 3})
    with all_tenants(reason="test"):
        Tenant.objects.filter(slug="gold1").update(tier_id="gold")
    add_worker(pool, slots=1)
    for _ in range(12):
        for slug in ("gold1", "plain1", "plain2", "plain3"):
            make_job(slug)
    served = []
    for _ in range(12):
        tick(dispatcher)
        (attempt_id,) = published(broker_url, pool)
        with all_tenants(reason="test"):
            served.append(Attempt.objects.get(pk=attempt_id).tenant_id)
        end(attempt_id, seconds=1)
    assert served.count("gold1") == 9
    assert {served.count(f"plain{n}") for n in (1, 2, 3)} == {1}


def in_flight(*slugs: str) -> list[int]:
    with all_tenants(reason="test"):
        live = Attempt.objects.filter(outcome=None)
        return [live.filter(tenant_id=slug).count() for slug in slugs]


def end_one(slug: str) -> None:
    with all_tenants(reason="test"):
        attempt = Attempt.objects.filter(tenant_id=slug, outcome=None).first()
    end(attempt.pk, seconds=1)


def test_an_elastic_cap_binds_on_the_standing_backlog_while_somebody_else_waits(
    dispatcher: Dispatcher, pool: str
):
    tenants(pool, t1=3, t2=1)
    for _ in range(9):
        make_job("t1")
    for _ in range(3):
        make_job("t2")
    tick(dispatcher)  # all are known, none has a slot
    with all_tenants(reason="test"):
        Quota.objects.filter(tenant_id="t1").update(elastic_cap=1)
    add_worker(pool, slots=3)
    tick(dispatcher)
    assert in_flight("t1", "t2") == [1, 2]
    end_one("t2")
    tick(dispatcher)
    assert in_flight("t1", "t2") == [1, 2]
    # The last of t2 are at work: a slot would stand idle for nobody's sake.
    end_one("t2")
    tick(dispatcher)
    assert in_flight("t1", "t2") == [2, 1]


def test_a_cap_of_a_tier_binds_on_all_its_tenants_together(
    dispatcher: Dispatcher, pool: str
):
    tenants(pool, g1=1, g2=1, plain=1)
    tier, _ = Tier.objects.update_or_create(name="gold", defaults={"weight": 9})
    with all_tenants(reason="test"):
        Tenant.objects.filter(slug__startswith="g").update(tier=tier)
    for slug in ("g1", "g2", "plain"):
        for _ in range(3):
            make_job(slug)
    tick(dispatcher)
    Tier.objects.filter(name="gold").update(max_in_flight=1)
    add_worker(pool, slots=3)
    tick(dispatcher)
    assert sum(in_flight("g1", "g2")) == 1
    assert in_flight("plain") == [2]
    Tier.objects.filter(name="gold").update(max_in_flight=None)
    Worker.objects.update(slots=5)
    tick(dispatcher)
    assert sum(in_flight("g1", "g2")) == 3
    assert in_flight("plain") == [2]


def test_a_new_tenants_job_is_held_at_the_rate_of_its_kind_for_its_bytes(
    dispatcher: Dispatcher, pool: str, broker_url: str
):
    tenants(pool, known=1, new=1)
    add_worker(pool, slots=3)
    make_job("known", size=1_000)
    tick(dispatcher)
    end(*published(broker_url, pool), seconds=0.5)
    tick(dispatcher)
    sized, large, unknown = (make_job("new", size=n) for n in (3_000, 10**9, None))
    resumed = make_job("new")
    with all_tenants(reason="test"):
        rows = Job.objects.filter(pk=resumed.pk)
        rows.update(progress_unit="bytes", progress_done=2_000, progress_total=4_000)
    Worker.objects.update(slots=4)
    tick(dispatcher)
    held = [attempts_of(j)[0].held_us for j in (sized, large, unknown, resumed)]
    # A large one is expected to give way after its quantum, one of unknown size is
    # taken for an ordinary job of its kind, and what was done before is done.
    assert held == [1_500_000, 2_000_000, SLEEP.prior_us, 1_000_000]
