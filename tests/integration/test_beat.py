"""Beat itself wakes schedules: what it sends is what decides their slots."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from celery.signals import before_task_publish
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler
from kombu import Connection

from jobs import handlers, synthetic
from jobs.queues import MAINTENANCE_QUEUE
from reconciliation.schedules import schedule_pause
from taskqueue_site.celery import app
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.scheduling import again, jobs, make_schedule, outcomes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = replace(synthetic.SLEEP, name="report")
    monkeypatch.setitem(handlers._kinds, "report", kind)
    make_tenant("t1")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, list]]]:
    """What is published, instead of being published: task, queue, arguments."""
    found: list[tuple[str, str, list]] = []
    monkeypatch.setattr(app.conf, "broker_url", "memory://")

    def note(sender: str, routing_key: str, body: tuple, **_: object) -> None:
        found.append((sender, routing_key, list(body[0])))

    before_task_publish.connect(note)
    yield found
    before_task_publish.disconnect(note)
    with Connection("memory://") as connection:
        MAINTENANCE_QUEUE.bind(connection.channel()).purge()


def beat() -> DatabaseScheduler:
    """Return a beat that reads the database, with what the product sets."""
    app.loader.import_default_modules()
    return DatabaseScheduler(app=app, lazy=False)


def run_all(scheduler: DatabaseScheduler) -> None:
    """Let it send whatever is due, as its loop does."""
    for _ in range(10):
        if scheduler.tick() > 0:
            return


def test_beat_wakes_a_schedule_and_its_task_decides(sent: list):
    now = timezone.now()
    schedule = make_schedule("t1", "* * * * *", now=now - timedelta(minutes=2))
    # As if it had been sent two minutes ago.
    PeriodicTask.objects.update(last_run_at=now - timedelta(minutes=2))
    run_all(beat())
    wakes = [each for each in sent if each[0] == "reconciliation.tasks.wake_schedule"]
    assert wakes == [
        ("reconciliation.tasks.wake_schedule", "maintenance", [schedule.pk])
    ]
    (name, _, args) = wakes[0]
    assert app.tasks[name](*args)["enqueued"] >= 1
    assert len(outcomes(schedule)) == len(jobs()) >= 1


def test_beat_lets_a_paused_schedule_be(sent: list):
    now = timezone.now()
    schedule = make_schedule("t1", "* * * * *", now=now - timedelta(minutes=2))
    with all_tenants(reason="test"):
        schedule_pause(schedule=schedule)
    run_all(beat())
    assert "reconciliation.tasks.wake_schedule" not in {each[0] for each in sent}


def test_beat_decides_all_each_minute(sent: list):
    now = timezone.now()
    schedule = make_schedule("t1", "* * * * *", now=now - timedelta(minutes=2))
    scheduler = beat()
    entry = scheduler.schedule["schedules"]
    assert entry.schedule.run_every == timedelta(minutes=1)
    assert entry.task == "reconciliation.tasks.decide_schedules"
    scheduler.apply_async(entry)
    assert (entry.task, "maintenance", []) in sent
    assert app.tasks[entry.task]()["enqueued"] >= 1
    assert outcomes(again(schedule))
