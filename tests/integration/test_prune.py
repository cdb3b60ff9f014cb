"""Old jobs go with what hangs on them, and nothing that anybody needs."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import psycopg2
import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import Error, connection
from django.test import Client
from django.utils import timezone

from ingestion.models import (
    FileFault,
    IngestedFile,
    KeptOutRow,
    Statement,
    Transaction,
)
from jobs import pruning
from jobs.audit import audit
from jobs.models import Attempt, Job, SchedulerSnapshot, UsageEvent
from jobs.pruning import plan, prune
from tenants.models import MAX_RETENTION_DAYS, Tenant
from tenants.scoping import all_tenants
from tenants.services import tenant_update
from tests.arrange import (
    PASSWORD,
    make_admin,
    make_fault,
    make_file,
    make_job,
    make_statement,
    make_tenant,
    make_transaction,
)
from tests.integration.history import Ran, make_past_job
from tests.integration.web import database_url

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 24 * 3600.0
OLD = 100 * DAY
NO_REPORTS = {"unfinished reports": 0}
NO_FILES = {
    **{"kept-out rows": 0, "faults": 0, "statements": 0, "files": 0},
    **NO_REPORTS,
}
NOTHING_HELD = {
    "undecided dead letters": 0,
    "attempts a new dispatcher would replay": 0,
    "files neither loaded nor failed": 0,
}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture(autouse=True)
def t1() -> Tenant:
    make_tenant("t2")
    return make_tenant("t1")


def make_old_job(now: datetime, *, ago: float = OLD, **values: Any) -> Job:
    """Write a job that ended so long ago, in its first attempt."""
    tenant = values.pop("tenant", "t1")
    return make_past_job(tenant, ago, Ran(ago, 5), now=now, **values)


def count_usage() -> None:
    """Write the usage of all that was written as rows."""
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id) "
            "SELECT tenant_id, 'attempt:' || id, 'worker_us', settled_us, job_id "
            "FROM jobs_attempt WHERE is_billable UNION ALL "
            "SELECT tenant_id, 'job:' || id || ':jobs', 'jobs', 1, id FROM jobs_job"
        )


def left() -> set[Any]:
    with all_tenants(reason="test"):
        return set(Job.objects.values_list("pk", flat=True))


def count(model: Any) -> int:
    with all_tenants(reason="test"):
        return int(model.objects.count())


def prune_all(tenant: Tenant, now: datetime) -> int:
    return sum(removed["jobs"] for removed in prune(tenant=tenant, now=now))


# --- What goes ------------------------------------------------------------------------


def test_jobs_go_with_their_attempts_and_leave_their_usage(t1: Tenant, now: datetime):
    make_past_job("t1", OLD, Ran(OLD, 5, "lost"), Ran(OLD - 9, 5), now=now)
    make_old_job(now)
    young = make_old_job(now, ago=80 * DAY)
    count_usage()
    events = count(UsageEvent)
    assert list(prune(tenant=t1, now=now)) == [
        {**NO_FILES, "events": 2, "attempts": 3, "jobs": 2}
    ]
    assert left() == {young.pk}
    assert count(Attempt) == 1
    assert count(UsageEvent) == events


def test_the_end_decides_and_not_the_beginning(t1: Tenant, now: datetime):
    """A job that was enqueued long ago and ended yesterday is kept."""
    job = make_past_job("t1", OLD, Ran(DAY, 5), now=now)
    assert prune_all(t1, now) == 0
    assert left() == {job.pk}


def test_each_tenant_has_its_own_retention(t1: Tenant, now: datetime, settings: Any):
    kept = make_old_job(now, ago=80 * DAY)
    make_old_job(now, ago=80 * DAY, tenant="t2")
    with all_tenants(reason="test"):
        t2 = tenant_update(slug="t2", retention_days=79)
    assert (prune_all(t1, now), prune_all(t2, now)) == (0, 1)
    assert left() == {kept.pk}
    settings.RETENTION_DAYS = 79
    assert prune_all(t1, now) == 1


def test_other_tenants_jobs_stay(t1: Tenant, now: datetime):
    other = make_old_job(now, tenant="t2")
    make_old_job(now)
    assert prune_all(t1, now) == 1
    assert left() == {other.pk}


def test_a_dry_run_tells_what_a_run_does(t1: Tenant, now: datetime):
    for state in ("succeeded", "cancelled", "dead"):
        make_old_job(now, state=state)
    make_empty_file(now)
    before = left()
    told = plan(tenant=t1, now=now)
    assert left() == before
    assert (told.jobs, told.retention_days) == (3, 90)
    assert told.held == {**NOTHING_HELD, "undecided dead letters": 1}
    (removed,) = prune(tenant=t1, now=now)
    assert removed == {"jobs": told.jobs, **told.rows}
    assert plan(tenant=t1, now=now).jobs == 0


# --- What stays -----------------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", "running", "retryable", "scheduled"])
def test_what_has_not_ended_stays(t1: Tenant, now: datetime, state: str):
    job = make_old_job(now, state=state)
    told = plan(tenant=t1, now=now)
    assert (told.jobs, told.held) == (0, NOTHING_HELD)
    assert prune_all(t1, now) == 0
    assert left() == {job.pk}


def undecided(now: datetime) -> None:
    make_old_job(now, state="dead")


def unsettled(now: datetime) -> None:
    make_past_job("t1", OLD, Ran(OLD, None), now=now, state="cancelled",
                  finished_at=now - timedelta(days=99))  # fmt: skip


def newer_than_the_snapshot(now: datetime) -> None:
    attempt = attempt_of(make_old_job(now))
    keep_snapshot(last=attempt - 1, open_=[])


def open_in_the_snapshot(now: datetime) -> None:
    attempt = attempt_of(make_old_job(now))
    keep_snapshot(last=attempt, open_=[attempt - 1, attempt])


def being_loaded(now: datetime) -> None:
    make_file("t1", job=make_old_job(now), state="loading")


def attempt_of(job: Job) -> int:
    with all_tenants(reason="test"):
        return int(Attempt.objects.get(job=job).pk)


def keep_snapshot(*, last: int, open_: list[int], pool: str = "shared") -> None:
    SchedulerSnapshot.objects.create(
        pool=pool, last_attempt_id=last, state={"format": "2", "open": open_}
    )


@pytest.mark.parametrize(
    ("begin", "name"),
    [
        (undecided, "undecided dead letters"),
        (unsettled, "attempts a new dispatcher would replay"),
        (newer_than_the_snapshot, "attempts a new dispatcher would replay"),
        (open_in_the_snapshot, "attempts a new dispatcher would replay"),
        (being_loaded, "files neither loaded nor failed"),
    ],
)
def test_what_somebody_needs_is_held(
    t1: Tenant, now: datetime, begin: Callable[[datetime], None], name: str
):
    begin(now)
    before = left()
    told = plan(tenant=t1, now=now)
    assert (told.jobs, told.held) == (0, {**NOTHING_HELD, name: 1})
    assert prune_all(t1, now) == 0
    assert left() == before


def test_another_pools_snapshot_holds_nothing(t1: Tenant, now: datetime):
    """A pool that is no longer used has a snapshot that stays old for ever."""
    attempt = attempt_of(make_old_job(now))
    keep_snapshot(last=0, open_=[], pool="unused")
    keep_snapshot(last=attempt, open_=[attempt + 1])
    assert prune_all(t1, now) == 1


def test_a_later_apps_hold_is_obeyed(
    t1: Tenant, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    invoiced = make_old_job(now, kind="invoiced")
    make_old_job(now)
    monkeypatch.setattr(pruning, "_holds", dict(pruning._holds))
    pruning.hold("open invoices", "j.kind = 'invoiced'")
    with pytest.raises(ValueError, match="open invoices"):
        pruning.hold("open invoices", "true")
    assert plan(tenant=t1, now=now).held["open invoices"] == 1
    assert prune_all(t1, now) == 1
    assert left() == {invoiced.pk}


def test_a_job_that_somebody_changes_is_left_for_the_next_run(
    t1: Tenant, now: datetime
):
    busy = make_old_job(now)
    make_old_job(now)
    with closing(psycopg2.connect(database_url())) as other, other.cursor() as cursor:
        cursor.execute("SET ROLE dtq_platform")
        cursor.execute("SELECT FROM jobs_job WHERE id = %s FOR UPDATE", [str(busy.pk)])
        assert prune_all(t1, now) == 1
        assert left() == {busy.pk}
        other.rollback()
    assert prune_all(t1, now) == 1


def test_a_dead_letter_that_was_discarded_goes(t1: Tenant, now: datetime):
    make_old_job(now, state="dead", discarded_at=now)
    make_old_job(now, state="dead")
    assert prune_all(t1, now) == 1


def test_the_events_of_a_job_go_with_it(t1: Tenant, now: datetime):
    job = make_job("t1")
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET state = 'cancelled', event = 'cancelled', "
            "finished_at = now()"
        )
        cursor.execute("SELECT count(*) FROM jobs_jobevent WHERE job_id = %s", [job.pk])
        ((events,),) = cursor.fetchall()
    assert events > 0
    later = now + timedelta(days=91)
    assert plan(tenant=t1, now=later).rows["events"] == events
    (removed,) = prune(tenant=t1, now=later)
    assert (removed["jobs"], removed["events"]) == (1, events)


# --- Files ----------------------------------------------------------------------------


def make_empty_file(now: datetime) -> IngestedFile:
    counts = {"rows": 1, "inserted": 0, "rejected": 1}
    return make_file("t1", job=make_old_job(now), state="failed", **counts)


@pytest.mark.parametrize("state", ["loaded", "failed"])
def test_what_a_file_brought_outlives_its_job(t1: Tenant, now: datetime, state: str):
    file = make_file("t1", job=make_old_job(now), state=state)
    make_transaction(file)
    make_statement(file)
    make_fault(file)
    count_usage()
    assert prune_all(t1, now) == 1
    with all_tenants(reason="test"):
        file.refresh_from_db()
    assert (file.job_id, file.tenant_id, file.inserted) == (None, "t1", 1)
    assert (count(Transaction), count(KeptOutRow)) == (1, 1)
    assert (count(Statement), count(FileFault)) == (1, 1)
    assert audit() == []


def test_a_file_whose_job_was_pruned_is_shown(t1: Tenant, now: datetime):
    file = make_file("t1", job=make_old_job(now))
    prune_all(t1, now)
    make_admin()
    client = Client()
    assert client.login(username="operator", password=PASSWORD)
    for page in ("", f"{file.pk}/change/"):
        answer = client.get(f"/admin/ingestion/ingestedfile/{page}")
        assert answer.status_code == 200
        assert "in/upi.csv" in answer.content.decode()
    assert "pruned" in answer.content.decode()


def test_a_failed_load_that_brought_nothing_goes_with_its_job(
    t1: Tenant, now: datetime
):
    file = make_empty_file(now)
    make_statement(file)
    make_fault(file)
    assert list(prune(tenant=t1, now=now)) == [
        {
            **{"kept-out rows": 1, "faults": 1, "statements": 1, "files": 1},
            **NO_REPORTS,
            **{"events": 1, "attempts": 1, "jobs": 1},
        }
    ]
    tables = (IngestedFile, KeptOutRow, FileFault, Statement)
    assert [count(table) for table in tables] == [0] * 4


# --- Batches --------------------------------------------------------------------------


def test_a_run_that_is_killed_between_batches_is_gone_on_with(
    t1: Tenant, now: datetime
):
    for ago in range(5):
        make_old_job(now, ago=OLD + ago)
    count_usage()
    run = prune(tenant=t1, now=now, batch=2)
    assert next(run)["jobs"] == 2
    run.close()  # type: ignore[attr-defined]
    assert (len(left()), count(Attempt)) == (3, 3)
    assert audit() == []
    again = prune(tenant=t1, now=now, batch=2)
    assert [removed["jobs"] for removed in again] == [2, 1]
    assert count(Attempt) == 0


def test_held_jobs_among_the_oldest_hold_up_no_others(t1: Tenant, now: datetime):
    held = {make_old_job(now, ago=OLD + 9, state="dead").pk for _ in range(3)}
    for _ in range(3):
        make_old_job(now)
    sizes = [removed["jobs"] for removed in prune(tenant=t1, now=now, batch=2)]
    assert sizes == [2, 1]
    assert left() == held


def test_a_batch_that_breaks_off_is_undone(
    t1: Tenant, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    make_empty_file(now)
    # The last thing before the attempts: files and rows have gone by then.
    broken = {**pruning._leftovers, "broken": ("jobs_attempt", "x.id / 0 = 1")}
    with monkeypatch.context() as patched:
        patched.setattr(pruning, "_leftovers", broken)
        with pytest.raises(Error, match="zero"):
            prune_all(t1, now)
    assert [count(m) for m in (Job, Attempt, IngestedFile, KeptOutRow)] == [1] * 4
    assert prune_all(t1, now) == 1


# --- The command and the setting ------------------------------------------------------


def run(*words: str) -> str:
    out = StringIO()
    call_command("prune", *words, stdout=out)
    return out.getvalue()


def test_the_command_reports_and_prunes(now: datetime):
    make_old_job(now)
    undecided(now)
    make_old_job(now, tenant="t2")
    dry = "t1  kept 90 days  would go: 1 jobs, 1 events, 1 attempts; held back: 1"
    assert run("--dry-run").startswith(dry)
    assert len(left()) == 3
    (told,) = json.loads(run("--tenant", "t2", "--json"))
    assert told == {
        "tenant": "t2",
        "retention_days": 90,
        "jobs": 1,
        "rows": {**NO_FILES, "events": 1, "attempts": 1},
        "dry_run": False,
    }
    assert run("--batch", "1").splitlines() == [
        "t1  kept 90 days  removed: 1 jobs, 1 events, 1 attempts",
        "t2  kept 90 days  removed: 0 jobs",
    ]
    assert len(left()) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tenant", "t9"), "There is no tenant 't9'"),
        (("--batch", "0"), "from 1 to 10000"),
        (("--batch", "many"), "from 1 to 10000"),
    ],
)
def test_the_command_refuses(words: tuple[str, ...], told: str):
    with pytest.raises(CommandError, match=told):
        run(*words)


def test_a_tenants_retention_is_set_by_command():
    out = StringIO()
    call_command("tenant", "set", "t1", "--retention-days", "30", stdout=out)
    assert out.getvalue().strip().endswith("retention days 30")
    call_command("tenant", "set", "t1", "--weight", "2", stdout=out)
    with all_tenants(reason="test"):
        assert Tenant.objects.get(slug="t1").retention_days == 30
    call_command("tenant", "set", "t1", "--retention-days", "0", stdout=out)
    with all_tenants(reason="test"):
        assert Tenant.objects.get(slug="t1").retention_days is None


def test_the_longest_retention_reaches_behind_1970_and_keeps_everything(now: datetime):
    make_old_job(now)
    with all_tenants(reason="test"):
        t1 = tenant_update(slug="t1", retention_days=MAX_RETENTION_DAYS)
    assert plan(tenant=t1, now=now).jobs == 0
    assert list(prune(tenant=t1, now=now)) == []


@pytest.mark.parametrize("days", [-1, 36_501])
def test_a_retention_that_no_calendar_has_is_refused(days: int):
    with all_tenants(reason="test"), pytest.raises(ValidationError, match="retention"):
        tenant_update(slug="t1", retention_days=days)


def test_a_tenants_retention_is_on_its_page():
    make_admin()
    client = Client()
    assert client.login(username="operator", password=PASSWORD)
    page = client.get("/admin/tenants/tenant/t1/change/").content.decode()
    assert 'name="retention_days"' in page
