"""Why a job waits, over HTTP, against what the dispatcher then does with it."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis
from rest_framework.test import APIClient

from fairshare.explain import in_words
from jobs import ahead, handlers, standings, waits
from jobs import dispatcher as dispatching
from jobs.dispatcher import Dispatcher
from jobs.handlers import Assignment
from jobs.models import Attempt, Job, Priority
from jobs.wake import client as redis_client
from quotas.models import Quota
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tests.arrange import finish, make_admin, make_job, reread, start
from tests.integration.api import assert_problem, client_of
from tests.integration.dispatching import add_worker, end, tenants, tick

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = 1_000_000
KEYS = {
    *("waits_for", "opens_at", "jobs_ahead", "is_more_ahead", "work_ahead_seconds"),
    *("entitled_share", "received_share", "window_seconds", "starts_within_seconds"),
    *("no_bound", "sentence", "as_of"),
}


class Clock:
    """The dispatcher's clock, moved by hand."""

    def __init__(self) -> None:
        self.us = waits._microseconds(timezone.now())


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock for the dispatcher, and nobody who waits for it in vain."""
    clock = Clock()
    monkeypatch.setattr(dispatching, "_now_us", lambda: clock.us)
    monkeypatch.setattr(standings, "PATIENCE_SECONDS", 0)
    return clock


def asked(dispatcher: Dispatcher, client: APIClient, job: Job) -> Any:
    """Ask why a job waits, and have the dispatcher answer in between."""
    redis_client().delete(f"dtq:standing:{job.tenant_id}")
    tick(dispatcher)  # a dispatcher that leads is asked
    client.get(f"/jobs/{job.pk}")
    dispatcher.standings._next_answer = 0.0
    tick(dispatcher)
    waiting = client.get(f"/jobs/{job.pk}").json()["waiting"]
    assert waiting is not None
    assert set(waiting) == KEYS
    assert waiting["as_of"] is not None
    assert (waiting["starts_within_seconds"] is None) == bool(waiting["no_bound"])
    return waiting


def limit(**limits: Any) -> None:
    with all_tenants(reason="test"):
        Quota.objects.update(**limits)


def pause(is_paused: bool) -> None:
    with all_tenants(reason="test"):
        Tenant.objects.update(is_paused=is_paused)


def is_started(dispatcher: Dispatcher, job: Job) -> bool:
    """Tick twice, as a change of settings takes one; True if the job was dispatched."""
    tick(dispatcher)
    tick(dispatcher)
    return reread(job).state == "dispatched"


def in_flight(job: Job) -> list[int]:
    """Return the tenant's attempts that were dispatched and not started."""
    with all_tenants(reason="test"):
        rows = Attempt.objects.filter(tenant_id=job.tenant_id, outcome=None)
        return list(rows.order_by("id").values_list("id", flat=True))


# --- Each gate: it is named, it holds, and once it is lifted the job starts -----------


def test_a_paused_tenant(dispatcher: Dispatcher, pool: str):
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    pause(True)
    tick(dispatcher)
    job = make_job("t1")
    waiting = asked(dispatcher, client_of("t1"), job)
    assert waiting["waits_for"] == "paused"
    assert waiting["sentence"].startswith("t1 is paused")
    assert waiting["no_bound"] == "the tenant is paused until a person resumes it"
    assert not is_started(dispatcher, job)
    pause(False)
    assert is_started(dispatcher, job)


def test_a_time_that_has_not_come(dispatcher: Dispatcher, pool: str):
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    due = timezone.now() + timedelta(hours=1)
    job = make_job("t1", run_after=due)
    waiting = asked(dispatcher, client_of("t1"), job)
    assert waiting["waits_for"] == "scheduled"
    assert waiting["opens_at"] == due.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert waiting["starts_within_seconds"] > 3500
    assert not is_started(dispatcher, job)
    with all_tenants(reason="test"):
        Job.objects.update(run_after=timezone.now())
    assert is_started(dispatcher, job)


def test_a_scheduled_job_of_a_paused_tenant_has_no_bound(
    dispatcher: Dispatcher, pool: str
):
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    pause(True)
    tick(dispatcher)
    job = make_job("t1", run_after=timezone.now() + timedelta(hours=1))
    waiting = asked(dispatcher, client_of("t1"), job)
    assert waiting["waits_for"] == "scheduled"
    assert waiting["no_bound"] == "the tenant is paused until a person resumes it"


def test_a_pool_without_workers(dispatcher: Dispatcher, pool: str):
    tenants(pool, t1=1)
    job = make_job("t1")
    tick(dispatcher)
    waiting = asked(dispatcher, client_of("t1"), job)
    assert waiting["waits_for"] == "no_workers"
    assert waiting["received_share"] is None
    assert not is_started(dispatcher, job)
    add_worker(pool, slots=1)
    assert is_started(dispatcher, job)


def test_a_cap(dispatcher: Dispatcher, pool: str):
    tenants(pool, t1=1)
    add_worker(pool, slots=4)
    limit(max_in_flight=2)
    jobs = [make_job("t1") for _ in range(4)]
    tick(dispatcher)
    waiting = asked(dispatcher, client_of("t1"), jobs[3])
    assert waiting["waits_for"] == "cap"
    assert waiting["jobs_ahead"] == 1
    assert waiting["starts_within_seconds"] > 0
    assert "2 jobs in flight, as many as its cap" in waiting["sentence"]
    assert not is_started(dispatcher, jobs[2])
    end(in_flight(jobs[0])[0], seconds=1)
    assert is_started(dispatcher, jobs[2])
    assert not is_started(dispatcher, jobs[3])


def test_a_rate(dispatcher: Dispatcher, pool: str, clock: Clock):
    tenants(pool, t1=1)
    add_worker(pool, slots=4)
    limit(rate_per_second="0.01", burst=1)
    first, second = make_job("t1"), make_job("t1")
    assert is_started(dispatcher, first)
    began_us = clock.us
    clock.us += 30 * SECOND
    waiting = asked(dispatcher, client_of("t1"), second)
    assert waiting["waits_for"] == "rate"
    opens = (waits._EPOCH + timedelta(microseconds=began_us + 100 * SECOND)).isoformat()
    assert waiting["opens_at"][:26] == opens[:26]
    assert "its next job may start in 1 min 10 s" in waiting["sentence"]
    clock.us = began_us + 100 * SECOND - 1
    assert not is_started(dispatcher, second)
    clock.us += 1
    assert is_started(dispatcher, second)
    assert waiting["starts_within_seconds"] >= 70


def test_a_turn_and_the_shares(dispatcher: Dispatcher, pool: str):
    tenants(pool, t1=1, t2=3)
    add_worker(pool, slots=1)
    for _ in range(2):  # what it had before: 2 jobs of 15 s
        done = make_job("t1")
        tick(dispatcher)
        (attempt,) = in_flight(done)
        end(attempt, seconds=15)
    other = make_job("t2")
    tick(dispatcher)
    assert reread(other).state == "dispatched"
    make_job("t2")
    jobs = [make_job("t1") for _ in range(3)]
    waiting = asked(dispatcher, client_of("t1"), jobs[2])
    assert waiting["waits_for"] == "turn"
    assert waiting["opens_at"] is None
    assert waiting["jobs_ahead"] == 2
    assert waiting["work_ahead_seconds"] == 30.0
    assert waiting["entitled_share"] == 0.25
    assert waiting["window_seconds"] == 300
    assert waiting["received_share"] == pytest.approx(30 / 300)
    assert waiting["no_bound"] is None
    assert (
        "is entitled to 25% of the pool (it used 10% over the last 5 min)"
        in (waiting["sentence"])
    )


# --- What is ahead, and what is not known ---------------------------------------------


def test_only_jobs_of_the_same_priority_are_sure_to_go_first(
    dispatcher: Dispatcher, pool: str
):
    tenants(pool, t1=1)
    urgent = [make_job("t1", priority=Priority.URGENT) for _ in range(2)]
    jobs = [make_job("t1", priority=Priority.LOW) for _ in range(2)]
    add_worker(pool, slots=1)
    waiting = asked(dispatcher, client_of("t1"), jobs[1])
    assert reread(urgent[0]).state == "dispatched"
    assert waiting["jobs_ahead"] == 1
    assert waiting["no_bound"] is None
    limit(max_in_flight=1)
    waiting = asked(dispatcher, client_of("t1"), jobs[1])
    assert waiting["no_bound"] == waits._MIXED


def test_the_counting_of_jobs_ahead_stops(
    dispatcher: Dispatcher, pool: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ahead, "MOST_COUNTED", 3)
    tenants(pool, t1=1)
    jobs = [make_job("t1") for _ in range(6)]
    add_worker(pool, slots=1)
    client = client_of("t1")
    waiting = asked(dispatcher, client, jobs[5])  # the first one is at work
    assert (waiting["jobs_ahead"], waiting["is_more_ahead"]) == (3, True)
    assert waiting["no_bound"] == "more jobs go first than are counted"
    work = in_words(3 * handlers.prior_us("sleep"))
    assert f"More than 3 jobs of t1 go first, over {work} of" in waiting["sentence"]
    waiting = asked(dispatcher, client, jobs[4])
    assert (waiting["jobs_ahead"], waiting["is_more_ahead"]) == (3, False)
    assert waiting["no_bound"] is None


def shown_without_an_answer(job: Job) -> Any:
    waiting = client_of(job.tenant_id).get(f"/jobs/{job.pk}").json()["waiting"]
    assert set(waiting) == KEYS
    assert waiting["as_of"] is None
    assert waiting["entitled_share"] is None
    assert waiting["starts_within_seconds"] is None
    return waiting


@pytest.mark.parametrize("has_leader", [True, False])
def test_without_an_answer_the_ledger_alone_speaks(
    dispatcher: Dispatcher, pool: str, has_leader: bool
):
    tenants(pool, t1=1)
    make_job("t1")
    job = make_job("t1")
    silence = "No dispatcher leads"
    if has_leader:
        tick(dispatcher)
        silence = "The dispatcher did not report"
    without_workers = shown_without_an_answer(job)
    assert without_workers["waits_for"] == "no_workers"
    add_worker(pool, slots=1)
    unknown = shown_without_an_answer(job)
    assert unknown["waits_for"] is None
    assert unknown["jobs_ahead"] == 1
    assert unknown["no_bound"] == silence[0].lower() + silence[1:]
    assert unknown["sentence"].startswith(silence)
    work = in_words(handlers.prior_us("sleep"))
    assert f"1 job of t1 goes first, about {work} of work." in unknown["sentence"]
    pause(True)
    paused = shown_without_an_answer(job)
    assert paused["waits_for"] == "paused"
    assert paused["sentence"].startswith("t1 is paused")
    assert paused["sentence"].endswith(f"{silence}.")


def test_without_redis_jobs_are_still_shown(
    dispatcher: Dispatcher, pool: str, monkeypatch: pytest.MonkeyPatch
):
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    make_job("t1")
    job = make_job("t1")
    away = Redis.from_url("redis://127.0.0.1:1")
    monkeypatch.setattr(standings, "client", lambda: away)
    tick(dispatcher)
    assert shown_without_an_answer(job)["no_bound"] == "the dispatcher did not report"


def test_an_answer_is_used_again_until_it_is_old(dispatcher: Dispatcher, pool: str):
    tenants(pool, t1=1)
    job = make_job("t1")
    client = client_of("t1")
    first = asked(dispatcher, client, job)
    redis = redis_client()
    assert redis.scard("dtq:standings:asked") == 0
    assert shown(client, job)["as_of"] == first["as_of"]
    assert redis.scard("dtq:standings:asked") == 0
    redis.pexpire("dtq:standing:t1", 7_900)
    # Too old: asked for anew, and shown with its age until the dispatcher answers.
    assert shown(client, job)["as_of"] == first["as_of"]
    assert redis.smembers("dtq:standings:asked") == {b"t1"}
    assert 0 < redis.ttl("dtq:standings:asked") <= standings.EXPIRES_SECONDS


def shown(client: APIClient, job: Job) -> Any:
    return client.get(f"/jobs/{job.pk}").json()["waiting"]


# --- Walls ----------------------------------------------------------------------------


def test_no_key_opens_another_tenants_explanation(dispatcher: Dispatcher, pool: str):
    tenants(pool, owner=1, stranger=1)
    add_worker(pool, slots=1)
    for _ in range(2):
        make_job("stranger")
    job = make_job("owner")
    waiting = asked(dispatcher, client_of("owner"), job)
    answer = redis_client().get("dtq:standing:owner")
    assert waiting["waits_for"] == "turn"
    assert b'"owner"' in answer
    assert b"stranger" not in answer
    assert "stranger" not in json.dumps(waiting)
    redis_client().delete("dtq:standing:owner")
    response = client_of("stranger").get(f"/jobs/{job.pk}")
    assert_problem(response, 404, "not_found")
    assert redis_client().smembers("dtq:standings:asked") == set()


def test_lists_and_jobs_at_work_explain_nothing(dispatcher: Dispatcher, pool: str):
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    job = make_job("t1")
    client = client_of("t1")
    (item,) = client.get("/jobs").json()["results"]
    assert "waiting" not in item
    tick(dispatcher)
    assert shown(client, job) is None


# --- On the job's page ----------------------------------------------------------------


def test_the_page_of_a_job_says_why_it_waits(
    dispatcher: Dispatcher, pool: str, client: Client
):
    tenants(pool, t1=1)
    add_worker(pool, slots=1)
    first, job = make_job("t1"), make_job("t1")
    pause(True)
    tick(dispatcher)
    asked(dispatcher, client_of("t1"), job)
    client.force_login(make_admin())
    page = client.get(f"/admin/jobs/job/{job.pk}/live/").content.decode()
    assert "Why it waits" in page
    assert "t1 is paused: none of its jobs starts until it is resumed." in page
    assert "by the dispatcher" in page
    assert "Resume it on the page of the tenant" in page
    pause(False)
    assert is_started(dispatcher, first)
    page = client.get(f"/admin/jobs/job/{first.pk}/live/").content.decode()
    assert "Why it waits" not in page


# --- Against what happens next --------------------------------------------------------

SLOTS = 2
#: Far longer than the test takes, whose own time the ledger's clock goes by.
SHORTEST_US, LONGEST_US = 60 * SECOND, 300 * SECOND


@dataclass
class Said:
    """An explanation, and the moment and the state that it was given in."""

    job: Job
    at_us: int
    waiting: Any
    ahead: list[Job]
    ends_us: list[int]


class Workers:
    """Slots in the dispatcher's time: an attempt costs what is drawn for it."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock) -> None:
        self.dispatcher = dispatcher
        self.clock = clock
        self.random = Random(11)
        self.jobs: list[Job] = []
        self.started_us: dict[UUID, int] = {}
        self.running: dict[UUID, tuple[int, int, Assignment]] = {}

    def enqueue(self, tenant: str, count: int, **values: Any) -> None:
        self.jobs += [make_job(tenant, **values) for _ in range(count)]

    def turn(self, cost_us: int | None = None) -> bool:
        """Start what is dispatched, and go to the next end or opening; False: idle."""
        for _ in range(2):  # the first may have to read a line further on
            tick(self.dispatcher)
        with all_tenants(reason="test"):
            rows = Attempt.objects.filter(outcome=None, started_at=None)
            published = list(rows.order_by("id").values_list("id", "job_id"))
        for attempt_id, job_id in published:
            cost = cost_us or self.random.randrange(SHORTEST_US, LONGEST_US)
            assignment = start(attempt_id).assignment
            self.started_us[job_id] = self.clock.us
            self.running[job_id] = (self.clock.us + cost, cost, assignment)
        assert len(self.running) <= SLOTS
        return bool(self.running or self._openings_us())

    def advance(self) -> None:
        ends = [end_us for end_us, _, _ in self.running.values()]
        self.clock.us = min([*ends, *self._openings_us()])
        for job_id, (end_us, cost_us, assignment) in list(self.running.items()):
            if end_us <= self.clock.us:
                del self.running[job_id]
                with all_tenants(reason="test"):
                    finish(assignment, {}, ran_us=cost_us)

    def _openings_us(self) -> list[int]:
        """Return when a gate opens by itself; one that has, waits for a slot."""
        (pool,) = self.dispatcher.pools.values()
        opening_us = pool.scheduler.next_opening_us()
        return [] if (opening_us or 0) <= self.clock.us else [opening_us or 0]

    def waiting(self) -> list[Job]:
        return [job for job in self.jobs if job.pk not in self.started_us]

    def ask(self, clients: dict[str, APIClient]) -> list[Said]:
        """Ask about the first and the last waiting job of each tenant."""
        said = []
        for tenant, client in clients.items():
            own = [job for job in self.waiting() if job.tenant_id == tenant]
            for job in {own[0], own[-1]} if own else ():
                ahead = [o for o in own if (o.priority, o.pk) < (job.priority, job.pk)]
                ahead = [o for o in ahead if o.priority == job.priority]
                found = asked(self.dispatcher, client, job)
                ends = [
                    end_us
                    for end_us, _, assignment in self.running.values()
                    if assignment.tenant == tenant
                ]
                said.append(Said(job, self.clock.us, found, ahead, ends))
        return said


@pytest.fixture
def said(
    dispatcher: Dispatcher, pool: str, clock: Clock
) -> tuple[dict[UUID, int], list[Said]]:
    """When each job started, and what was said before."""
    tenants(pool, plain=1, mixed=2, capped=2, rated=4)
    add_worker(pool, SLOTS)
    workers = Workers(dispatcher, clock)
    for tenant in ("plain", "mixed", "capped", "rated"):
        workers.enqueue(tenant, 1)
    with all_tenants(reason="test"):
        Quota.objects.filter(tenant_id="capped").update(max_in_flight=1)
        Quota.objects.filter(tenant_id="rated").update(rate_per_second="0.002", burst=1)
    # The longest there will be, so that it has been seen.
    while workers.waiting() or workers.running:
        workers.turn(LONGEST_US)
        workers.advance()
    workers.enqueue("plain", 5)
    workers.enqueue("capped", 5)
    workers.enqueue("rated", 3)
    for priority in (Priority.LOW, Priority.HIGH, Priority.LOW, Priority.HIGH):
        workers.enqueue("mixed", 2, priority=priority)
    clients = {name: client_of(name) for name in ("plain", "mixed", "capped", "rated")}
    found: list[Said] = []
    for number in count():
        if not workers.turn():
            break
        if number % 5 == 1:
            found += workers.ask(clients)
        workers.advance()
    assert not workers.waiting()
    return workers.started_us, found


def test_what_is_said_comes_true(said: tuple[dict[UUID, int], list[Said]]):
    started_us, found = said
    seen = Counter(one.waiting["waits_for"] for one in found)
    assert min(seen[gate] for gate in ("cap", "rate", "turn")) >= 2, seen
    nearest = 0.0
    for one in found:
        began_us, told = started_us[one.job.pk], one.waiting
        assert began_us > one.at_us, told
        # It starts within the bound, and the jobs said to be ahead go first.
        most_us = told["starts_within_seconds"] * SECOND
        assert began_us - one.at_us <= most_us, told
        nearest = max(nearest, (began_us - one.at_us) / most_us)
        assert told["jobs_ahead"] == len(one.ahead)
        assert all(started_us[other.pk] <= began_us for other in one.ahead)
        # A gate that is named holds until what it names has come.
        if told["waits_for"] == "cap":
            assert began_us >= min(one.ends_us)
        if told["waits_for"] == "rate":
            opens = datetime.fromisoformat(told["opens_at"])
            assert began_us >= waits._microseconds(opens) > one.at_us
    # A bound that is never approached would say nothing.
    assert nearest > 0.1
