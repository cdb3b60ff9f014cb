"""Whatever moves a job leaves a row that says who, from where, to where and why."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import Error, connection
from django.utils import timezone

from jobs import deciding, services, sweeps
from jobs.models import Job, JobEvent
from tenants.acting import acting, be, current_act
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import dispatch, make_job, make_tenant, run, start

pytestmark = pytest.mark.django_db(transaction=True)


class RollbackError(Exception):
    """Undoes the scope it is raised in."""


@pytest.fixture(autouse=True)
def tenant() -> None:
    make_tenant("t1")


def told(job: Job) -> list[tuple[Any, ...]]:
    with all_tenants(reason="test"):
        rows = JobEvent.objects.filter(job=job).order_by("id")
        return list(rows.values_list("event", "from_state", "to_state", "attempt"))


def last(job: Job) -> tuple[str, str, str]:
    with all_tenants(reason="test"):
        row = JobEvent.objects.filter(job=job).latest("id")
    return row.event, row.actor, row.reason


def test_a_good_life_is_four_rows():
    job = make_job("t1")
    run(job)
    assert told(job) == [
        ("created", "", "queued", 0),
        ("dispatched", "queued", "dispatched", 1),
        ("started", "dispatched", "running", 1),
        ("finished", "running", "succeeded", 1),
    ]


def test_jobs_of_one_statement_have_a_row_each():
    with tenant_scope("t1"):
        ids = services.jobs_enqueue(
            tenant_id="t1",
            kind="sleep",
            payloads=[{"seconds": 0}] * 3,
            now=timezone.now(),
        )
    with all_tenants(reason="test"):
        rows = JobEvent.objects.filter(job_id__in=ids, event="created")
        assert sorted(rows.values_list("job_id", flat=True)) == ids


def test_a_failure_says_its_code_and_a_death_who_brought_it_back():
    job = make_job("t1", payload={"seconds": 0, "fail": "permanent"})
    run(job)
    assert last(job)[0::2] == ("buried", "asked_to_fail")
    with acting(who="staff ann", why="fixed upstream"), tenant_scope("t1"):
        deciding.jobs_revive(job_ids=[job.pk])
    assert last(job) == ("revived", "staff ann", "fixed upstream")


def test_a_loss_says_why():
    job = make_job("t1")
    start(dispatch(job), lease_seconds=0)
    why = "its lease ran out"
    with acting(who="dispatcher d1", why=why), all_tenants(reason="test"):
        sweeps.lose_expired(max_losses=3)
    assert last(job) == ("lost", "dispatcher d1", "its lease ran out")


def test_progress_is_no_event():
    job = make_job("t1", payload={"seconds": 0, "steps": 5, "fail": "permanent"})
    run(job)
    assert [event for event, *_ in told(job)] == [
        *("created", "dispatched", "started", "buried"),
    ]


@pytest.mark.parametrize("scope", [all_tenants, tenant_scope])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs_jobevent SET actor = 'nobody'",
        "DELETE FROM jobs_jobevent",
        "TRUNCATE jobs_jobevent",
    ],
)
def test_what_happened_stays(scope: Callable[..., Any], statement: str):
    make_job("t1")
    opened = scope("t1") if scope is tenant_scope else scope(reason="test")
    with pytest.raises(Error), opened, connection.cursor() as cursor:
        cursor.execute(statement)


def test_only_pruning_removes_rows():
    job = make_job("t1")
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.pruning', 'on', true)")
        cursor.execute("DELETE FROM jobs_jobevent WHERE job_id = %s", [job.pk])
        assert cursor.rowcount == 1


def test_a_tenant_sees_its_own_events_only():
    make_tenant("t2")
    make_job("t1"), make_job("t2")
    with tenant_scope("t1"), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tenant_id FROM jobs_jobevent")
        assert cursor.fetchall() == [("t1",)]


def test_who_acts_is_known_inside_an_open_transaction_and_forgotten_after_it():
    with all_tenants(reason="test"):
        with acting(who="staff ann"):
            first = make_job("t1", scoped=False)
        second = make_job("t1", scoped=False)
    assert (last(first)[1], last(second)[1]) == ("staff ann", "")


def test_a_process_says_once_who_it_is():
    be("worker w1")
    try:
        job = make_job("t1")
    finally:
        be("")
    assert last(job)[1] == "worker w1"
    assert current_act().who == ""


def test_an_error_rolls_the_event_back_with_the_move():
    job = make_job("t1")
    with suppress(RollbackError), tenant_scope("t1"):
        make_job("t1", scoped=False)
        raise RollbackError
    with all_tenants(reason="test"):
        assert JobEvent.objects.count() == 1
    assert [event for event, *_ in told(job)] == ["created"]
