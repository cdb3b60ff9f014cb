"""Accept, dispatch, schedule: three switches for a tenant, a kind and a pool."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs import handlers, services, sweeps, switches
from jobs.dispatcher import Dispatcher
from jobs.models import Job, Switch
from jobs.synthetic import SLEEP
from jobs.waits import wait_of
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_job, make_tenant, reread, run
from tests.integration.dispatching import add_worker, published, tenants, tick

pytestmark = pytest.mark.django_db(transaction=True)

SUBJECTS = [("tenant", "t1"), ("kind", "sleep"), ("pool", "shared")]


@pytest.fixture(autouse=True)
def kind() -> Iterator[None]:
    """Another kind, and nothing known of any switch."""
    switches._read.clear()
    handlers.register(replace(SLEEP, name="nap"))
    yield
    del handlers._kinds["nap"]


def turn(scope: str, name: str, **switched: str) -> str:
    """Turn switches as a person would."""
    switches._read.clear()
    out = StringIO()
    options = [word for key, how in switched.items() for word in (f"--{key}", how)]
    call_command("switch", scope, name, *options, stdout=out)
    return out.getvalue().strip()


@pytest.mark.parametrize(("scope", "name"), SUBJECTS)
def test_without_accept_new_jobs_are_refused_and_old_ones_kept(scope: str, name: str):
    make_tenant("t1")
    job = make_job("t1")
    turn(scope, name, accept="off")
    with pytest.raises(switches.NotAcceptingError, match=f"the {scope} {name}"):
        make_job("t1")
    with (
        pytest.raises(switches.NotAcceptingError),
        tenant_scope("t1"),
    ):
        services.jobs_enqueue(
            tenant_id="t1", kind="sleep", payloads=[{}], now=timezone.now()
        )
    with all_tenants(reason="test"):
        assert list(Job.objects.values_list("id", "state")) == [(job.pk, "queued")]
    turn(scope, name, accept="on")
    make_job("t1")


@pytest.mark.parametrize(("scope", "name"), SUBJECTS[1:])
def test_others_are_not_concerned(scope: str, name: str):
    make_tenant("t1")
    tenants("other", t2=1)
    turn(scope, "other" if scope == "pool" else "ingest", accept="off")
    make_job("t1")


@pytest.mark.parametrize("scope", ["tenant", "kind", "pool"])
def test_without_dispatch_jobs_wait_and_say_why(
    scope: str, dispatcher: Dispatcher, pool: str, broker_url: str
):
    tenants(pool, t1=1)
    name = {"tenant": "t1", "kind": "sleep", "pool": pool}[scope]
    job = make_job("t1")
    tick(dispatcher)  # it is known, and has no slot
    turn(scope, name, dispatch="off", reason="bank is closed")
    tick(dispatcher)
    add_worker(pool, slots=1)
    tick(dispatcher)
    tick(dispatcher)
    assert reread(job).state == "queued"
    wait = wait_of(job, now=timezone.now())
    assert wait.waits_for == ("paused" if scope == "tenant" else "switch")
    assert "bank is closed" in wait.for_staff
    assert "bank is closed" not in wait.sentence
    turn(scope, name, dispatch="on")
    tick(dispatcher)
    tick(dispatcher)
    assert reread(job).state == "dispatched"
    assert len(published(broker_url, pool)) == 1


def test_a_kind_without_dispatch_lets_the_others_of_its_tenant_pass(
    dispatcher: Dispatcher,
    pool: str,
):
    tenants(pool, t2=1)
    held, free = make_job("t2"), make_job("t2", kind="nap")
    turn("kind", "sleep", dispatch="off")
    add_worker(pool, slots=2)
    tick(dispatcher)
    tick(dispatcher)
    assert (reread(held).state, reread(free).state) == ("queued", "dispatched")


@pytest.mark.parametrize(("scope", "name"), SUBJECTS)
def test_without_schedule_a_job_stays_scheduled_until_it_may(scope: str, name: str):
    make_tenant("t1")
    due = timezone.now() + timedelta(milliseconds=50)
    job = make_job("t1", run_after=due)
    assert job.state == "scheduled"
    turn(scope, name, schedule="off")
    with all_tenants(reason="test"):
        Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
        assert sweeps.queue_due() == []
    wait = wait_of(reread(job), now=timezone.now())
    assert wait.waits_for == "switch"
    assert f"the {scope} {name}" in wait.sentence
    turn(scope, name, schedule="on")
    with all_tenants(reason="test"):
        assert [ended.job_id for ended in sweeps.queue_due()] == [job.pk]


def test_a_retry_is_no_new_work():
    make_tenant("t1")
    job = make_job("t1", payload={"seconds": 0, "fail": "retryable"})
    assert run(job).state == "retryable"
    turn("tenant", "t1", schedule="off")
    with all_tenants(reason="test"):
        Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
        assert [ended.job_id for ended in sweeps.queue_due()] == [job.pk]


def test_the_command_lists_what_is_off_and_refuses_what_it_does_not_know():
    make_tenant("t1")
    assert "Everything is on" in turn("kind", "sleep", accept="on")
    told = turn("kind", "sleep", accept="off", schedule="off", reason="why not")
    assert told == "kind sleep  off: accept, schedule  (why not)"
    for words, refusal in (
        (["kind", "doze", "--accept", "off"], "There is no kind 'doze'; there are"),
        (["kind", "sleep"], "Say which kind, and"),
        (["tenant", "t9", "--accept", "off"], "There is no tenant"),
    ):
        with pytest.raises(CommandError, match=refusal):
            call_command("switch", *words)
    with all_tenants(reason="test"):
        assert Switch.objects.count() == 1


@pytest.mark.parametrize("switched", [{"accept": "off"}, {"dispatch": "on"}])
def test_a_reason_that_would_be_kept_nowhere_is_refused(switched: dict[str, str]):
    make_tenant("t1")
    with pytest.raises(CommandError, match="kept with --dispatch off only"):
        turn("tenant", "t1", **switched, reason="fraud case")
    turn("tenant", "t1", accept="off", dispatch="off", reason="fraud case")
    assert "(fraud case)" in turn("tenant", "t1", schedule="off")


def test_a_reason_goes_when_everything_is_on_again():
    turn("kind", "sleep", accept="off", dispatch="off", reason="a bad release")
    assert "(a bad release)" in turn("kind", "sleep", accept="on")
    turn("kind", "sleep", dispatch="on")
    assert turn("kind", "sleep", accept="off") == "kind sleep  off: accept"


def test_a_pool_that_nobody_is_in_wants_force():
    with pytest.raises(CommandError, match="is in a pool 'nosuchpool'"):
        turn("pool", "nosuchpool", dispatch="off")
    call_command("switch", "pool", "nosuchpool", "--dispatch", "off", "--force")
    assert turn("pool", "nosuchpool", dispatch="on") == "Everything is on."
    make_tenant("t1")  # in the pool of its tier
    assert turn("pool", "shared", accept="off") == "pool shared  off: accept"
