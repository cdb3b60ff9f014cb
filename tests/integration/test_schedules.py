"""Schedules: what is due runs once, and what was missed goes by their rule."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db.models.deletion import ProtectedError
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs import handlers, synthetic
from jobs.models import Switch
from jobs.switches import NotAcceptingError
from reconciliation import orders
from reconciliation.due import MOST_AT_ONCE
from reconciliation.models import Schedule, Slot
from reconciliation.schedules import (
    decide,
    decide_due,
    last_slots,
    run_now,
    schedule_delete,
    schedule_pause,
    schedule_resume,
    schedule_save,
)
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.scheduling import (
    again,
    cron,
    jobs,
    make_profile,
    make_schedule,
    outcomes,
)

pytestmark = pytest.mark.django_db(transaction=True)

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds that take any payload, and a tenant."""
    for name in ("reconcile", "report"):
        kind = replace(synthetic.SLEEP, name=name)
        monkeypatch.setitem(handlers._kinds, name, kind)
    make_tenant("t1")


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


# --- What a slot orders ---------------------------------------------------------------


def test_a_slot_of_a_profile_orders_its_days_as_the_profile_counts_them():
    profile = make_profile("t1", time_zone="Asia/Kolkata", cutoff="18:00")
    schedule = make_schedule(
        "t1", "30 18 * * *", zone="Asia/Kolkata", profile=profile, now=START
    )
    now = at("2026-03-02T18:31", "Asia/Kolkata")
    assert decide_due(now=now) == {"enqueued": 1}
    (job,) = jobs()
    assert (job.tenant_id, job.kind) == ("t1", "reconcile")
    assert job.payload == {
        "profile": "upi",
        "starts_at": at("2026-03-01T18:00", "Asia/Kolkata").isoformat(),
        "ends_at": at("2026-03-02T18:00", "Asia/Kolkata").isoformat(),
    }
    with all_tenants(reason="test"):
        (slot,) = Slot.objects.all()
    assert (slot.tenant_id, slot.schedule_id, slot.job_id) == (
        "t1",
        schedule.pk,
        job.pk,
    )
    assert slot.due_at == now - MINUTE
    assert decide_due(now=now + MINUTE) == {}


def test_a_slot_of_a_report_orders_it_with_the_days_of_its_crontab():
    report = {"what": "transactions", "filters": {"source": ["UPI"]}}
    make_schedule(
        *("t1", "0 6 1 * *"),
        zone="Europe/Berlin",
        report=report,
        covers="previous_month",
        now=START,
    )
    decide_due(now=at("2026-04-01T06:00", "Europe/Berlin"))
    (job,) = jobs()
    assert job.kind == "report"
    assert job.payload == {
        **report,
        "starts_at": at("2026-03-01", "Europe/Berlin").isoformat(),
        "ends_at": at("2026-04-01", "Europe/Berlin").isoformat(),
    }


def test_run_now_orders_the_latest_days_and_leaves_the_slots_alone():
    schedule = make_schedule("t1", "0 6 * * *", now=START)
    with all_tenants(reason="test"):
        job = run_now(schedule=schedule, now=START + 3 * HOUR)
    assert job.payload["starts_at"] == (START - 24 * HOUR).isoformat()
    assert job.payload["ends_at"] == START.isoformat()
    assert outcomes(schedule) == []
    assert decide_due(now=START + 6 * HOUR) == {"enqueued": 1}


# --- Outages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "what"),
    [
        ("skip", ["skipped", "skipped", "skipped", "enqueued"]),
        ("once", ["skipped", "skipped", "enqueued", "enqueued"]),
        ("all", ["enqueued", "enqueued", "enqueued", "enqueued"]),
    ],
)
def test_what_was_missed_in_an_outage_goes_by_the_rule(missed: str, what: list[str]):
    schedule = make_schedule("t1", "0 * * * *", missed=missed, now=START)
    decide_due(now=START + 4 * HOUR + MINUTE)
    due = [START + number * HOUR for number in range(1, 5)]
    assert outcomes(schedule) == list(zip(due, what, strict=True))
    with all_tenants(reason="test"):
        slots = Slot.objects.exclude(job_id=None).order_by("due_at")
        assert [slot.job_id for slot in slots] == [job.pk for job in jobs()]
    assert len(jobs()) == what.count("enqueued")
    # Once more changes nothing.
    assert decide_due(now=START + 4 * HOUR + 2 * MINUTE) == {}


def test_after_a_long_outage_all_are_caught_up_with_part_by_part():
    schedule = make_schedule("t1", "0 * * * *", missed="all", now=START)
    hours = MOST_AT_ONCE + 7
    now = START + hours * HOUR
    assert decide_due(now=now) == {"enqueued": MOST_AT_ONCE}
    assert decide_due(now=now + MINUTE) == {"enqueued": 7}
    due = [START + number * HOUR for number in range(1, hours + 1)]
    assert outcomes(schedule) == [(slot, "enqueued") for slot in due]


def test_a_clock_that_is_behind_decides_nothing():
    schedule = make_schedule("t1", "0 * * * *", now=START)
    decide_due(now=START + HOUR)
    assert decide(schedule_id=schedule.pk, now=START) == {}
    assert again(schedule).decided_upto == START + HOUR


# --- Pauses, changes and ends ---------------------------------------------------------


def test_slots_of_a_pause_are_neither_missed_nor_run():
    schedule = make_schedule("t1", "0 * * * *", missed="all", now=START)
    with all_tenants(reason="test"):
        assert schedule_pause(schedule=schedule)
        assert not schedule_pause(schedule=schedule)
    assert decide_due(now=START + 3 * HOUR) == {}
    assert decide(schedule_id=schedule.pk, now=START + 3 * HOUR) == {}
    with all_tenants(reason="test"):
        assert schedule_resume(schedule=schedule, now=START + 3 * HOUR + MINUTE)
        assert not schedule_resume(schedule=schedule, now=START + 9 * HOUR)
    decide_due(now=START + 5 * HOUR)
    assert [due for due, _ in outcomes(schedule)] == [
        START + 4 * HOUR,
        START + 5 * HOUR,
    ]


def test_what_was_due_by_old_times_is_decided_before_they_change():
    schedule = make_schedule("t1", "0 * * * *", now=START)
    changed = START + HOUR + MINUTE
    with all_tenants(reason="test"):
        schedule_save(schedule=again(schedule), cron=cron("30 * * * *"), now=changed)
    assert outcomes(schedule) == [(START + HOUR, "enqueued")]
    assert again(schedule).task.crontab.minute == "30"
    # Half past midnight was before there was such a time.
    decide_due(now=START + 2 * HOUR)
    assert [due for due, _ in outcomes(schedule)] == [
        START + HOUR,
        START + HOUR + 30 * MINUTE,
    ]


def test_another_name_leaves_what_is_decided_as_it_is():
    schedule = make_schedule("t1", "0 * * * *", now=START)
    renamed = again(schedule)
    renamed.name = "hourly"
    with all_tenants(reason="test"):
        schedule_save(schedule=renamed, cron=cron("0 * * * *"), now=START + 2 * HOUR)
    assert again(schedule).decided_upto == START
    assert again(schedule).task.name == f"schedule {schedule.pk}: hourly of t1"


def test_its_task_of_beat_is_made_and_removed_with_it():
    schedule = make_schedule("t1", "5 6 * * 1-5", zone="Asia/Kolkata", now=START)
    task = PeriodicTask.objects.get()
    assert (task.name, task.task, task.queue, task.args) == (
        f"schedule {schedule.pk}: nightly of t1",
        "reconciliation.tasks.wake_schedule",
        "maintenance",
        f"[{schedule.pk}]",
    )
    row = task.crontab
    assert (row.minute, row.hour, row.day_of_week) == ("5", "6", "1-5")
    assert str(row.timezone) == "Asia/Kolkata"
    decide_due(now=START + 24 * HOUR)
    with all_tenants(reason="test"):
        with pytest.raises(ProtectedError):
            task.delete()
        schedule_delete(schedule=again(schedule))
        assert not Schedule.objects.exists()
        assert not Slot.objects.exists()
    assert not PeriodicTask.objects.exists()
    assert not CrontabSchedule.objects.exists()
    assert len(jobs()) == 1


# --- Refusals and failures ------------------------------------------------------------


def test_a_refused_order_is_told_and_the_others_run():
    make_tenant("t2")
    with all_tenants(reason="test"):
        Tenant.objects.filter(pk="t1").update(is_accepting=False)
    refused = make_schedule("t1", "0 * * * *", now=START)
    runs = make_schedule("t2", "0 * * * *", now=START)
    assert decide_due(now=START + HOUR) == {"refused": 1, "enqueued": 1}
    assert outcomes(refused) == [(START + HOUR, "refused")]
    assert outcomes(runs) == [(START + HOUR, "enqueued")]
    with all_tenants(reason="test"):
        slot = Slot.objects.get(schedule=refused)
        assert "No new jobs are taken for the tenant" in slot.text
        with pytest.raises(NotAcceptingError):
            run_now(schedule=refused, now=START)


def test_a_kind_that_is_switched_off_is_refused():
    Switch.objects.create(scope="kind", name="report", is_accepting=False)
    schedule = make_schedule("t1", "0 * * * *", now=START)
    assert decide_due(now=START + HOUR) == {"refused": 1}
    assert outcomes(schedule) == [(START + HOUR, "refused")]


def test_one_that_fails_is_told_and_the_others_run(monkeypatch: pytest.MonkeyPatch):
    """Half an order is undone, so that nothing runs which no slot names."""
    fails = make_schedule("t1", "0 * * * *", now=START, name="a", report={"what": "x"})
    runs = make_schedule("t1", "0 * * * *", now=START, name="b")
    order = orders.report_order

    def half(**given: Any) -> Any:
        job = order(**given)
        if given["payload"]["what"] == "x":
            raise ZeroDivisionError("in the middle")
        return job

    monkeypatch.setattr("reconciliation.schedules.report_order", half)
    assert decide_due(now=START + HOUR) == {"refused": 1, "enqueued": 1}
    assert outcomes(fails) == [(START + HOUR, "refused")]
    assert outcomes(runs) == [(START + HOUR, "enqueued")]
    assert [job.payload["what"] for job in jobs()] == ["mismatches"]


def test_a_schedule_whose_crontab_was_broken_stops_no_other():
    broken = make_schedule("t1", "0 * * * *", now=START, name="a")
    CrontabSchedule.objects.update(minute="nonsense")
    runs = make_schedule("t1", "0 * * * *", now=START, name="b")
    assert decide_due(now=START + HOUR) == {"enqueued": 1}
    assert decide(schedule_id=broken.pk, now=START + HOUR) == {"failed": 1}
    assert outcomes(runs) == [(START + HOUR, "enqueued")]


def test_what_the_database_refuses_is_tried_again():
    """A slot that is there already: its job is not ordered a second time."""
    schedule = make_schedule("t1", "0 * * * *", now=START)
    with all_tenants(reason="test"):
        slot = Slot.objects.create(
            tenant_id="t1", schedule=schedule, due_at=START + HOUR, outcome="enqueued"
        )
    assert decide_due(now=START + HOUR) == {"failed": 1}
    assert jobs() == []
    assert again(schedule).decided_upto == START
    with all_tenants(reason="test"):
        slot.delete()
    assert decide_due(now=START + HOUR) == {"enqueued": 1}


def test_the_last_slot_of_each():
    one = make_schedule("t1", "0 * * * *", name="a", missed="skip", now=START)
    two = make_schedule("t1", "30 * * * *", name="b", now=START)
    new = make_schedule("t1", "0 6 * * *", name="c", now=START)
    decide_due(now=START + 3 * HOUR)
    with all_tenants(reason="test"):
        found = last_slots([one, two, new])
    assert {key: slot.due_at for key, slot in found.items()} == {
        one.pk: START + 3 * HOUR,
        two.pk: START + 2 * HOUR + 30 * MINUTE,
    }
