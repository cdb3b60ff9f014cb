"""Decisions about many dead letters: done a few at a time, seen, and called off."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from jobs import bulk, deciding, decisions_admin
from jobs.dispatcher import Dispatcher
from jobs.models import BulkDecision, BulkItem, DeadLetter, Job, JobEvent
from tenants.acting import acting
from tenants.scoping import all_tenants
from tests.arrange import make_admin, make_dead_job, make_tenant, reread

pytestmark = pytest.mark.django_db

LIST = "/admin/jobs/deadletter/"


@pytest.fixture(autouse=True)
def tenant() -> None:
    make_tenant("t1")


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than two jobs are many."""
    monkeypatch.setattr(decisions_admin, "AT_ONCE", 2)


def begin(decision: str = "retry", *, per_second: int = 2) -> BulkDecision:
    with acting(who="staff asha", why="mended"), all_tenants(reason="test"):
        return bulk.bulk_start(
            decision=decision,
            letters=DeadLetter.objects.filter(state="dead"),
            criteria="all",
            per_second=per_second,
        )


def step(seconds: float = 1.0) -> int:
    with all_tenants(reason="test"):
        return bulk.bulk_step(elapsed_seconds=seconds)


def states(jobs: list[Job]) -> list[str]:
    return [reread(job).state for job in jobs]


def counts(decision: BulkDecision) -> tuple[int, int, bool]:
    decision.refresh_from_db()
    return (
        decision.done_count,
        decision.passed_over_count,
        decision.finished_at is not None,
    )


# --- A few at a time ------------------------------------------------------------------


def test_a_step_does_what_its_time_is_worth_and_the_last_one_ends_it():
    jobs = [make_dead_job("t1") for _ in range(5)]
    decision = begin(per_second=2)
    assert decision.total_count == 5
    assert [step(), step(), step(), step()] == [2, 2, 1, 0]
    assert states(jobs) == ["queued"] * 5
    assert counts(decision) == (5, 0, True)


def test_who_decided_and_why_is_in_the_log_of_every_job():
    job = make_dead_job("t1")
    begin()
    step()
    with all_tenants(reason="test"):
        event = JobEvent.objects.filter(job=job).latest("id")
    assert (event.event, event.actor, event.reason) == (
        "revived",
        "staff asha",
        "mended",
    )


def test_only_the_letters_that_were_counted_are_decided_about():
    begin()
    later = make_dead_job("t1")
    assert step() == 0
    assert states([later]) == ["dead"]


def test_a_job_that_somebody_else_decided_about_is_passed_over():
    jobs = [make_dead_job("t1") for _ in range(2)]
    decision = begin("discard")
    with all_tenants(reason="test"):
        deciding.jobs_revive(job_ids=[jobs[0].pk])
    step()
    assert counts(decision)[:2] == (1, 1)
    assert states(jobs) == ["queued", "dead"]


def test_no_plan_makes_a_step_longer_than_its_time():
    """PostgreSQL may think that the list is empty, and look it up row by row."""
    for _ in range(3):
        make_dead_job("t1")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_bulkitem")
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute("SET LOCAL enable_hashagg = off")
        cursor.execute("SET LOCAL enable_sort = off")
    begin(per_second=1)
    assert [step(), step()] == [1, 1]


def test_a_person_who_decided_meanwhile_is_not_overruled():
    jobs = [make_dead_job("t1") for _ in range(3)]
    decision = begin(per_second=10)
    with all_tenants(reason="test"):
        deciding.jobs_discard(job_ids=[jobs[0].pk])
        deciding.jobs_revive(job_ids=[jobs[1].pk])
        moves = (("dispatched", None), ("started", None), ("buried", timezone.now()))
        for (event, ended), state in zip(
            moves, ("dispatched", "running", "dead"), strict=True
        ):
            Job.objects.filter(pk=jobs[1].pk).update(
                state=state, event=event, finished_at=ended
            )
    step()
    assert states(jobs) == ["dead", "dead", "queued"]
    assert counts(decision)[:2] == (1, 2)


def test_a_letter_waits_for_one_decision_at_a_time():
    make_dead_job("t1")
    assert [begin().total_count, begin("discard").total_count] == [1, 0]


def test_a_small_decision_does_not_wait_for_a_large_one():
    for _ in range(4):
        make_dead_job("t1")
    large = begin("discard", per_second=1)
    small = make_dead_job("t1", fingerprint="other")
    with all_tenants(reason="test"):
        bulk.bulk_start(
            decision="retry",
            letters=DeadLetter.objects.filter(fingerprint="other"),
            criteria="fingerprint other",
        )
    step()
    assert reread(small).state == "queued"
    assert counts(large) == (1, 0, False)


def test_a_step_that_is_rolled_back_forgets_no_job():
    jobs = [make_dead_job("t1") for _ in range(2)]
    decision = begin()
    with transaction.atomic():
        step()
        transaction.set_rollback(True)
    assert states(jobs) == ["dead"] * 2
    assert step() == 2
    assert counts(decision)[:2] == (2, 0)


def test_what_is_called_off_stays_dead():
    jobs = [make_dead_job("t1") for _ in range(3)]
    decision = begin()
    step()
    with all_tenants(reason="test"):
        assert bulk.bulk_cancel(bulk_id=decision.pk)
        assert not bulk.bulk_cancel(bulk_id=decision.pk)
    assert step() == 0
    assert sorted(states(jobs)) == ["dead", "queued", "queued"]
    assert not BulkItem.objects.exists()


def test_the_leading_dispatcher_carries_them_out(dispatcher: Dispatcher):
    job = make_dead_job("t1", ended=None)
    decision = begin("discard")
    for _ in range(20):
        dispatcher.tick()
    assert reread(job).discarded_at is not None
    assert counts(decision)[0] == 1


# --- In the admin ---------------------------------------------------------------------


def decide(browser: Client, page: str, **form: Any) -> Any:
    return browser.post(page, {"confirmed": "yes", **form})


def test_a_retry_of_many_leads_to_a_page_that_shows_how_far_it_is(
    browser: Client, few: None
):
    jobs = [make_dead_job("t1") for _ in range(3)]
    make_dead_job("t1", fingerprint="other")
    filtered = f"{LIST}retry/?fingerprint=f00d"
    assert "jobs a second" in browser.get(filtered).content.decode()
    answer = decide(browser, filtered, reason="mended", per_second="2")
    decision = BulkDecision.objects.get()
    assert answer["Location"] == f"/admin/jobs/bulkdecision/{decision.pk}/change/"
    assert states(jobs) == ["dead"] * 3
    assert (decision.criteria, decision.reason) == ("fingerprint f00d", "mended")
    assert (decision.total_count, decision.per_second) == (3, 2)
    assert "0 of 3" in browser.get(answer["Location"]).content.decode()
    step()
    live = browser.get(f"/admin/jobs/bulkdecision/{decision.pk}/live/")
    assert "2 of 3 · 66%" in live.content.decode()


def test_a_few_are_decided_about_at_once(browser: Client, few: None):
    jobs = [make_dead_job("t1") for _ in range(2)]
    assert "jobs a second" not in browser.get(f"{LIST}retry/").content.decode()
    decide(browser, f"{LIST}retry/")
    assert states(jobs) == ["queued"] * 2
    assert not BulkDecision.objects.exists()


@pytest.mark.parametrize("given", ["", "x", "-1", "0", "9" * 5000])
def test_a_speed_that_is_none_is_bounded(browser: Client, few: None, given: str):
    for _ in range(3):
        make_dead_job("t1")
    decide(browser, f"{LIST}retry/", per_second=given)
    assert 1 <= BulkDecision.objects.get().per_second <= bulk.MOST_PER_SECOND


def test_what_died_after_the_question_is_not_decided_about(browser: Client):
    job = make_dead_job("t1", ended=timezone.now() - timedelta(hours=1))
    page = browser.get(f"{LIST}retry/").content.decode()
    asked = re.search(r'name="counted_until" value="([^"]+)"', page)
    assert asked is not None
    later = make_dead_job("t1")
    decide(browser, f"{LIST}retry/", counted_until=asked[1])
    assert states([job, later]) == ["queued", "dead"]


def test_the_rest_is_called_off_on_its_page(browser: Client):
    jobs = [make_dead_job("t1") for _ in range(3)]
    decision = begin()
    step()
    page = f"/admin/jobs/bulkdecision/{decision.pk}/"
    assert browser.get(f"{page}cancel/").status_code == 405
    browser.post(f"{page}cancel/")
    step()
    assert sorted(states(jobs)) == ["dead", "queued", "queued"]
    assert "cancelled" in browser.get(f"{page}change/").content.decode()
    again = browser.post(f"{page}cancel/", follow=True).content.decode()
    assert "It had ended already." in again


def test_who_may_not_decide_so_may_not_call_it_off(client: Client):
    make_dead_job("t1")
    decision = begin("discard")
    user = User.objects.create_user("retrier", is_staff=True)
    names = ["view_bulkdecision", "retry_deadletter"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    page = f"/admin/jobs/bulkdecision/{decision.pk}/"
    assert "Call off" not in client.get(f"{page}change/").content.decode()
    assert client.post(f"{page}cancel/").status_code == 403
    assert step() == 1


def test_dlq_goes_as_fast_as_it_is_told(capsys: pytest.CaptureFixture[str]):
    jobs = [make_dead_job("t1") for _ in range(3)]
    call_command("dlq", "retry", "--tenant", "t1", "--yes", "--per-second", "2")
    told = capsys.readouterr()
    assert told.err.split("\n")[:2] == ["2 of 3 queued again", "3 of 3 queued again"]
    assert states(jobs) == ["queued"] * 3
    with pytest.raises(CommandError, match="--per-second is from 1 to"):
        call_command("dlq", "retry", "--yes", "--per-second", "0")
