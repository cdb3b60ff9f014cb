"""Messages that nobody can work on: the worker lives on, and they are kept as rows."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kombu import Connection
from kombu.message import Message

from jobs import dead_letter_consumer, messages, sweeps, wake
from jobs.dispatcher import Dispatcher
from jobs.messages import UnreadableMessageError
from jobs.models import DeadMessage, Job
from jobs.queues import DEAD_LETTER_QUEUE, RUN_ATTEMPT, pool_queue
from tenants.scoping import all_tenants
from tests.acceptance.product import wait_for
from tests.arrange import (
    attempts_of,
    dispatch,
    lead,
    make_job,
    make_tenant,
    reread,
    start,
)
from tests.integration.dispatching import tenants, tick
from tests.integration.running import BAD, run_worker, send
from tests.integration.test_bundles import dispatch_bundle
from tests.services.relay import relay

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_dead_letters(broker_url: str) -> Iterator[None]:
    yield
    with Connection(broker_url) as connection:
        DEAD_LETTER_QUEUE.bind(connection.channel()).delete()


def check_kept(queue: str) -> None:
    rows = {row.sha256: row for row in DeadMessage.objects.all()}
    assert len(rows) == len(BAD)
    for name, (reason, body, _) in BAD.items():
        row = rows[sha256(body).hexdigest()]
        assert (row.reason, row.queue, row.size) == (reason, queue, len(body)), name
        assert bytes(row.body) == body[: 64 * 1024], name
        assert row.seen_count == 1, name


def run_to_end(dispatcher: Dispatcher, job: Job) -> None:
    def is_over() -> bool:
        tick(dispatcher)
        return reread(job).state == "succeeded"

    wait_for(is_over, 60)


def test_on_rabbitmq_bad_messages_become_rows_and_good_jobs_go_on(
    tmp_path: Path, redis_url: str, broker_url: str, pool: str, dispatcher: Dispatcher
):
    tenants(pool, t1=1)
    servers = {"broker": broker_url, "redis": redis_url}
    with run_worker(tmp_path, "--pool", pool, **servers):
        for _, body, headers in BAD.values():
            send(broker_url, pool, body, headers)
        job = make_job("t1")
        run_to_end(dispatcher, job)
        assert DeadMessage.objects.count() == 0
        with run_worker(tmp_path, "--maintenance", **servers):
            wait_for(lambda: DeadMessage.objects.count() == len(BAD), 60)
    check_kept(pool_queue(pool).name)


def test_on_redis_the_worker_keeps_them_itself(tmp_path: Path, redis_url: str):
    wake.client().flushdb()
    with run_worker(tmp_path, "--pool", "of-redis", broker=redis_url, redis=redis_url):
        for _, body, headers in BAD.values():
            send(redis_url, "of-redis", body, headers)
        wait_for(lambda: DeadMessage.objects.count() == len(BAD), 60)
        make_tenant("t1")
        job = make_job("t1")
        attempt_id = dispatch(job, pool="of-redis")
        body = b'[[], {"attempt_ids": [%d], "newer": {"x": 1}}, null]' % attempt_id
        for _ in range(3):
            send(redis_url, "of-redis", body, {"task": RUN_ATTEMPT, "newer": [1]})
        wait_for(lambda: reread(job).state == "succeeded", 60)
    check_kept("jobs.of-redis")
    assert [attempt.outcome for attempt in attempts_of(job)] == ["succeeded"]


def deliver_too_often(broker_url: str, pool: str) -> None:
    """Take the queue's messages and give them back until the broker gives them up."""
    with Connection(broker_url) as connection:
        queue = pool_queue(pool).bind(connection.channel())
        taken = 0
        while message := queue.get():
            message.requeue()
            taken += 1
        assert taken > 20


def test_a_message_given_up_by_the_broker_is_reconciled_and_its_job_succeeds(
    tmp_path: Path, redis_url: str, broker_url: str, pool: str, dispatcher: Dispatcher
):
    """Also after the connection was cut: the consumer comes back."""
    broker = urlsplit(broker_url)
    tenants(pool, t1=1)
    login, _, _ = broker.netloc.rpartition("@")
    with relay(broker.hostname or "", broker.port or 5672) as wire:
        url = broker._replace(netloc=f"{login}@127.0.0.1:{wire.port}").geturl()
        with run_worker(tmp_path, "--maintenance", broker=url, redis=redis_url):
            assert wire.cut() > 0
            job = make_job("t1")
            attempt_id = dispatch(job, pool=pool)
            body = b'[[], {"attempt_ids": [%d]}, {}]' % attempt_id
            send(broker_url, pool, body, {"task": RUN_ATTEMPT})
            deliver_too_often(broker_url, pool)
            wait_for(lambda: reread(job).state == "queued", 60)
    (given_back,) = attempts_of(job)
    assert (given_back.outcome, given_back.settled_us) == ("lost", 0)
    assert given_back.error["code"] == "given_up_by_broker"
    (row,) = DeadMessage.objects.all()
    assert (row.reason, row.attempt_ids) == ("delivery_limit", [attempt_id])
    lead()
    with run_worker(tmp_path, "--pool", pool, broker=broker_url, redis=redis_url):
        dispatcher.holder = "test"
        run_to_end(dispatcher, job)
    assert [a.outcome for a in attempts_of(job)] == ["lost", "succeeded"]


def give_up(*attempt_ids: int, most: int = 1) -> list[str]:
    with all_tenants(reason="test"):
        ended = sweeps.replace_given_up(attempt_ids=attempt_ids, max_losses=most)
    return [job.state for job in ended]


def test_a_job_whose_message_is_given_up_once_is_queued_again():
    make_tenant("t1")
    job = make_job("t1")
    message = Message(
        body=b'[[], {"attempt_ids": [%d]}, {}]' % dispatch(job),  # type: ignore[arg-type]
        headers={"task": RUN_ATTEMPT, "id": "1"},
        content_type="application/json",
        content_encoding="utf-8",
    )
    dead_letter_consumer.reconcile(message)
    assert (reread(job).state, reread(job).lost_count) == ("queued", 1)


def test_a_job_given_up_too_often_is_dead_and_says_why():
    make_tenant("t1")
    job = make_job("t1")
    assert give_up(dispatch(job)) == ["queued"]
    attempt_id = dispatch(job)
    assert give_up(attempt_id) == ["dead"]
    assert give_up(attempt_id) == []
    job = reread(job)
    assert (job.error["code"], job.lost_count) == ("undeliverable", 2)
    assert [(a.outcome, a.settled_us) for a in attempts_of(job)] == [("lost", 0)] * 2


def test_what_was_started_or_settled_is_let_be_and_a_bundle_blames_nobody():
    make_tenant("t1")
    started, settled = make_job("t1"), make_job("t1")
    start(started_id := dispatch(started))
    settled_id = dispatch(settled)
    give_up(settled_id)
    assert give_up(started_id, settled_id, 2**63 - 1) == []
    assert reread(started).state == "running"
    pair = [make_job("t1") for _ in range(2)]
    assert give_up(*dispatch_bundle(pair), most=0) == ["queued", "queued"]
    counts = [(reread(job).lost_count, reread(job).innocent_count) for job in pair]
    assert counts == [(0, 1), (0, 1)]


@pytest.mark.parametrize("name", BAD)
def test_what_is_told_of_a_bad_message_has_nothing_of_its_body(name: str):
    reason, body, headers = BAD[name]
    message = Message(
        body=body,  # type: ignore[arg-type]
        content_type="application/json",
        content_encoding="utf-8",
        headers={"id": "a", **headers},
        accept={"application/json"},
    )
    with pytest.raises(UnreadableMessageError) as told:
        messages.attempts_of(message)
    assert told.value.reason == reason
    assert "garbage" not in told.value.detail
