"""The audit of the ledger, and the command that runs it and looks around."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from ingestion import services
from ingestion.models import IngestedFile
from jobs import deciding
from jobs.audit import Finding, audit
from jobs.errors import Failure
from jobs.invariants import Invariant, registered
from jobs.ledger import hand_back
from jobs.lifecycle import TERMINAL_STATES
from jobs.models import Attempt, Job
from jobs.snapshots import FORMAT
from jobs.sweeps import lose_expired, replace_not_started
from tenants.acting import acting
from tenants.scoping import all_tenants
from tests import arrange
from tests.arrange import dispatch, lead, make_job, make_tenant, reread, start
from tests.integration.dispatching import add_worker

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def two_tenants() -> None:
    for slug in ("t1", "t2"):
        make_tenant(slug)


def sql(statement: str, **values: Any) -> None:
    """Change rows past the protocol."""
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute(statement, values)


def alter(statement: str) -> None:
    """Change the layout, until the test's transaction is undone."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)


def found(**options: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in audit(**options)}


# --- Jobs at each point of their life -------------------------------------------------


def dispatched() -> Job:
    job = make_job("t1")
    dispatch(job)
    return job


def running() -> Job:
    job = make_job("t1")
    start(dispatch(job))
    return job


def succeeded(**options: Any) -> Job:
    job = make_job("t1", **options)
    claim = start(dispatch(job))
    with all_tenants(reason="test"):
        arrange.finish(claim.assignment, {})
    return job


def failed(*, retry_in_seconds: float | None) -> Job:
    job = make_job("t1")
    claim = start(dispatch(job))
    failure = Failure({"code": "x", "message": "x"}, "f00d", "", is_retryable=True)
    with all_tenants(reason="test"):
        arrange.fail(claim.assignment, failure, retry_in_seconds=retry_in_seconds)
    return job


def retryable() -> Job:
    return failed(retry_in_seconds=60)


def lost() -> Job:
    job = running()
    sql("UPDATE jobs_attempt SET lease_expires_at = now() - interval '1 second'")
    with all_tenants(reason="test"):
        assert len(lose_expired(max_losses=3)) == 1
    return job


def loaded() -> Job:
    """A file of one transaction and one rejected row, as if a job had loaded it."""
    job = succeeded(kind="ingest", payload={})
    file = arrange.make_file("t1", job=job)
    arrange.make_transaction(file)
    count_usage(job, rows=2, bytes=1234)
    return job


def told() -> Job:
    """A loaded file with a statement and a fault."""
    job = loaded()
    with all_tenants(reason="test"):
        file = IngestedFile.objects.get(job=job)
    arrange.make_statement(file)
    arrange.make_fault(file)
    return job


def quarantined() -> Job:
    """A file with a fault, as its job left it."""
    job = succeeded(kind="ingest", payload={})
    arrange.make_quarantined_file("t1", job=job)
    return job


def refused() -> Job:
    """The same, after a person has decided."""
    job = quarantined()
    with acting(why="sent anew"), all_tenants(reason="test"):
        services.file_refuse(file_id=IngestedFile.objects.get(job=job).pk)
    return job


def known() -> Job:
    """A file with the content of one that was loaded before."""
    first = arrange.make_file("t1", job=make_job("t1"), rows=0, **_EMPTY)
    job = succeeded(kind="ingest", payload={})
    arrange.make_file("t1", job=job, rows=0, same_as=first, **_EMPTY)
    sql("DELETE FROM ingestion_keptoutrow")
    return job


_EMPTY = {"inserted": 0, "rejected": 0, "content_digest": "f00d"}


def count_usage(job: Job, *, part: str = "0:0", **meters: int) -> None:
    for meter, quantity in meters.items():
        sql(
            "INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id) "
            "VALUES ('t1', %(source)s, %(meter)s, %(quantity)s, %(job)s)",
            source=f"job:{job.pk}:{meter}:{part}",
            meter=meter,
            quantity=quantity,
            job=job.pk,
        )


# --- A healthy ledger -----------------------------------------------------------------


def test_a_ledger_with_jobs_in_every_state_has_no_finding():
    lost()
    make_job("t1", run_after=timezone.now() + timedelta(hours=1))
    make_job("t1")
    handed = make_job("t1")
    start(attempt := dispatch(handed))
    late = dispatched()
    sql("UPDATE jobs_attempt SET dispatched_at = now() - interval '1 hour' "
        "WHERE job_id = %(job)s", job=late.pk)  # fmt: skip
    add_worker("shared", 9)
    with all_tenants(reason="test"):
        hand_back([attempt])
        replace_not_started(timeout_seconds=15, fresh_seconds=8)
    dispatched()
    running()
    failed(retry_in_seconds=60)
    succeeded()
    loaded()
    refused()
    quarantined()
    failed(retry_in_seconds=None)
    revived = failed(retry_in_seconds=None)
    with all_tenants(reason="test"):
        assert deciding.jobs_revive(job_ids=[revived.pk]) == 1
    cancelled = make_job("t1")
    sql("UPDATE jobs_job SET state = 'cancelled', event = 'cancelled', "
        "finished_at = now() "
        "WHERE id = %(job)s", job=cancelled.pk)  # fmt: skip
    sql("INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id) "
        "VALUES ('t1', 'job:' || %(job)s || ':jobs', 'jobs', 1, %(job)s::uuid)",
        job=str(cancelled.pk))  # fmt: skip

    assert audit() == []
    with all_tenants(reason="test"):
        states = set(Job.objects.values_list("state", flat=True))
        outcomes = set(Attempt.objects.values_list("outcome", flat=True))
    assert states == {s.value for s in TERMINAL_STATES} | {
        *("scheduled", "queued", "dispatched", "running", "retryable")
    }
    assert outcomes == {None, "succeeded", "failed", "lost", "yielded"}


# --- A breach of every invariant ------------------------------------------------------


class Breach(NamedTuple):
    """How an invariant is broken: what starts it, and what is done to it."""

    name: str
    begin: Callable[[], Job]
    change: str
    alter: str = ""


_SECOND_ATTEMPT = (
    "INSERT INTO jobs_attempt (tenant_id, job_id, number, pool, term, held_us, weight) "
    "SELECT tenant_id, id, 2, 'shared', 1, 1, 1000 FROM jobs_job"
)
_USAGE = (
    "INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id) "
    "SELECT {tenant}, {source}, {meter}, {quantity}, {job} FROM "
)
_OLD_SNAPSHOT = (
    "INSERT INTO jobs_schedulersnapshot (pool, last_attempt_id, state, taken_at) "
    "SELECT 'shared', 0, jsonb_build_object('format', '{format}'), "
    "clock_timestamp() - {ago} * interval '1 second'"
)
_WORKER = (
    "INSERT INTO jobs_worker (name, pool, slots, started_at) VALUES ('w9', 'shared', "
    "{slots}, clock_timestamp() - {since} * interval '1 second'); "
    "UPDATE jobs_attempt SET dispatched_at = clock_timestamp() "
    "- {ago} * interval '1 second'"
)
_LEASE = (
    "UPDATE jobs_attempt SET lease_expires_at = clock_timestamp() "
    "- {ago} * interval '1 second'"
)
_DUE = "UPDATE jobs_job SET run_after = clock_timestamp() - {ago} * interval '1 second'"
_ANOTHER = _USAGE.format(
    tenant="'t1'", source="'job:x:' || id", meter="{0}", quantity="1", job="id"
)

_COUNT = "UPDATE ingestion_ingestedfile SET {0} = {0} + 1"

BREACHES = (
    Breach("no_job_is_stuck", dispatched, "DELETE FROM jobs_attempt"),
    Breach("no_job_is_stuck", running, "DELETE FROM jobs_attempt"),
    Breach(
        "one_live_attempt",
        dispatched,
        _SECOND_ATTEMPT,
        "DROP INDEX attempt_one_live",
    ),
    Breach(
        "job_and_attempt_agree",
        dispatched,
        "UPDATE jobs_attempt SET started_at = now()",
    ),
    Breach(
        "job_and_attempt_agree", running, "UPDATE jobs_attempt SET started_at = NULL"
    ),
    Breach(
        "waiting_job_is_idle",
        dispatched,
        "UPDATE jobs_job SET state = 'queued', event = 'not_started'",
    ),
    Breach(
        "ended_job_is_idle",
        dispatched,
        "UPDATE jobs_job SET state = 'cancelled', event = 'cancelled', "
        "finished_at = now()",
    ),
    Breach(
        "ended_job_has_its_time",
        lambda: make_job("t1"),
        "UPDATE jobs_job SET finished_at = now()",
        "ALTER TABLE jobs_job DROP CONSTRAINT job_finished_at_when_terminal",
    ),
    Breach("lease_is_renewed_or_swept", running, _LEASE.format(ago=16)),
    Breach(
        "attempt_is_taken_or_replaced",
        dispatched,
        _WORKER.format(slots=1, since=61, ago=61),
    ),
    Breach("due_job_is_queued", retryable, _DUE.format(ago=11)),
    Breach("attempts_are_counted", running, "UPDATE jobs_job SET attempt_count = 2"),
    Breach("attempts_are_counted", running, "UPDATE jobs_attempt SET number = 2"),
    Breach(
        "attempts_are_counted",
        running,
        "UPDATE jobs_attempt SET number = 0; UPDATE jobs_job SET attempt_count = 0",
    ),
    Breach(
        "failures_are_within_bounds", running, "UPDATE jobs_job SET failed_count = 9"
    ),
    Breach("failures_are_counted", running, "UPDATE jobs_job SET failed_count = 1"),
    Breach("failures_are_counted", retryable, "UPDATE jobs_job SET failed_count = 0"),
    Breach("failures_are_counted", lost, "UPDATE jobs_job SET lost_count = 0"),
    Breach("failures_are_counted", lost, "UPDATE jobs_job SET innocent_count = 1"),
    Breach(
        "event_log_agrees",
        running,
        "UPDATE jobs_job SET state = 'queued'",
        "ALTER TABLE jobs_job DISABLE TRIGGER USER",
    ),
    Breach(
        "attempt_is_billed_once",
        succeeded,
        "DELETE FROM usage_events WHERE meter = 'worker_us'",
    ),
    Breach(
        "attempt_is_billed_once",
        succeeded,
        "UPDATE usage_events SET quantity = 8 WHERE meter = 'worker_us'",
        "ALTER TABLE usage_events DISABLE TRIGGER usage_event_immutable",
    ),
    Breach(
        "attempt_is_billed_once",
        lost,
        _USAGE.format(
            tenant="tenant_id",
            source="'attempt:' || id",
            meter="'worker_us'",
            quantity="0",
            job="job_id",
        )
        + "jobs_attempt",
    ),
    Breach(
        "ended_job_is_counted_once",
        succeeded,
        "DELETE FROM usage_events WHERE meter = 'jobs'",
    ),
    Breach(
        "usage_is_of_its_tenant",
        succeeded,
        _USAGE.format(tenant="'t2'", source="'x'", meter="'x'", quantity="1", job="id")
        + "jobs_job",
    ),
    Breach(
        "file_rows_add_up",
        loaded,
        "UPDATE ingestion_ingestedfile SET rows = 3",
        "ALTER TABLE ingestion_ingestedfile DROP CONSTRAINT file_rows_add_up",
    ),
    Breach("file_has_its_transactions", loaded, "DELETE FROM fintech_transactions"),
    Breach("file_has_its_kept_out_rows", loaded, "DELETE FROM ingestion_keptoutrow"),
    Breach(
        "file_has_its_kept_out_rows",
        loaded,
        "UPDATE ingestion_keptoutrow SET why = 'conflicting'",
    ),
    Breach("file_has_its_statements", loaded, _COUNT.format("statement_count")),
    Breach("file_has_its_statements", told, "DELETE FROM ingestion_statement"),
    Breach("file_has_its_faults", loaded, _COUNT.format("fault_count")),
    Breach("file_has_its_faults", told, "DELETE FROM ingestion_filefault"),
    Breach(
        "file_has_its_faults",
        told,
        "UPDATE ingestion_ingestedfile SET fault_count = 0",
    ),
    Breach(
        "file_state_follows_its_job",
        loaded,
        "UPDATE ingestion_ingestedfile SET state = 'loading'",
    ),
    Breach(
        "file_state_follows_its_job",
        quarantined,
        "UPDATE ingestion_ingestedfile SET state = 'failed'",
    ),
    Breach(
        "quarantined_file_posted_nothing",
        quarantined,
        "UPDATE ingestion_ingestedfile SET fault_count = 0; "
        "DELETE FROM ingestion_filefault",
    ),
    Breach(
        "quarantined_file_posted_nothing",
        quarantined,
        "UPDATE ingestion_ingestedfile SET rows = 1, inserted = 1",
    ),
    Breach(
        "file_is_the_same_as_it_says",
        known,
        "UPDATE ingestion_ingestedfile SET content_digest = 'beef' "
        "WHERE same_as_id IS NOT NULL",
    ),
    Breach(
        "file_is_the_same_as_it_says",
        known,
        "UPDATE ingestion_ingestedfile SET rows = 1, duplicate = 1 "
        "WHERE same_as_id IS NOT NULL",
        "DELETE FROM usage_events WHERE meter = 'none'",
    ),
    Breach("file_usage_is_its_size", loaded, _ANOTHER.format("'rows'") + "jobs_job"),
    Breach("file_usage_is_its_size", loaded, _ANOTHER.format("'bytes'") + "jobs_job"),
    Breach(
        "file_usage_is_its_size",
        loaded,
        "DELETE FROM usage_events WHERE meter = 'bytes'",
    ),
)


def commit(breach: Breach) -> Job:
    job = breach.begin()
    assert audit() == []
    if breach.alter:
        alter(breach.alter)
    sql(breach.change)
    return job


@pytest.mark.parametrize("breach", BREACHES, ids=lambda b: b.name)
def test_a_breach_is_found_with_its_job_and_a_remedy(breach: Breach):
    job = commit(breach)
    finding = found()[breach.name]
    assert finding.count == 1
    assert finding.examples[0]["job_id"] == str(job.pk)
    assert finding.remedy
    json.dumps(finding.to_json())


def test_every_invariant_is_broken_by_a_test():
    broken = {breach.name for breach in BREACHES}
    others = {"every_job_has_ended", "scheduler_is_kept"}
    assert broken | others == {invariant.name for invariant in registered()}


def test_an_old_snapshot_is_found():
    lead()
    sql(_OLD_SNAPSHOT.format(format=FORMAT, ago=16))
    (finding,) = audit()
    assert finding.name == "scheduler_is_kept"
    assert finding.examples[0]["pool"] == "shared"


def test_at_rest_every_job_must_have_ended():
    job = make_job("t1")
    succeeded()
    assert audit() == []
    (finding,) = audit(at_rest=True)
    assert finding.name == "every_job_has_ended"
    assert [each["job_id"] for each in finding.examples] == [str(job.pk)]


# --- What a live system is allowed ----------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "change"),
    [
        (running, _LEASE.format(ago=5)),
        (dispatched, _WORKER.format(slots=1, since=3600, ago=20)),
        (dispatched, _WORKER.format(slots=0, since=3600, ago=3600)),
        (dispatched, _WORKER.format(slots=1, since=20, ago=3600)),
        (retryable, _DUE.format(ago=1)),
        (lambda: lead() and make_job("t1"), _OLD_SNAPSHOT.format(format=FORMAT, ago=5)),
    ],
)
def test_what_a_sweep_will_still_see_to_is_no_breach(
    begin: Callable[[], Job], change: str
):
    begin()
    sql(change)
    assert audit() == []


@pytest.mark.parametrize(
    "switch",
    [
        "UPDATE tenants_tenant SET is_scheduling = false",
        "INSERT INTO jobs_switch (scope, name, is_accepting, is_dispatching, "
        "is_scheduling) VALUES ('kind', 'sleep', true, true, false)",
        "INSERT INTO jobs_switch (scope, name, is_accepting, is_dispatching, "
        "is_scheduling) VALUES ('pool', 'shared', true, true, false)",
    ],
)
def test_what_is_due_may_wait_while_scheduling_is_off(switch: str):
    retryable()
    sql(_DUE.format(ago=11))
    assert found().keys() == {"due_job_is_queued"}
    sql(switch)
    assert audit() == []


# --- The audit itself -----------------------------------------------------------------


def test_a_tenant_is_audited_alone():
    dispatched()
    sql("DELETE FROM jobs_attempt")
    assert found(tenant="t1").keys() == {"no_job_is_stuck", "attempts_are_counted"}
    assert found(tenant="t2") == {}


def test_all_rows_are_counted_and_some_are_shown():
    for _ in range(21):
        make_job("t1")
    sql("UPDATE jobs_job SET attempt_count = 1")
    finding = found()["attempts_are_counted"]
    assert (finding.count, len(finding.examples)) == (21, 20)


def invariant(statement: str) -> Invariant:
    return Invariant(name="x", meaning="x", remedy="x", statement=statement)


def test_what_takes_too_long_is_not_known():
    slow = invariant("SELECT NULL::text AS tenant_id, pg_sleep(60)")
    (finding,) = audit(invariants=[slow], timeout_seconds=0.05)
    assert (finding.count, finding.examples) == (None, [])


def test_the_audit_writes_nothing():
    writes = "SELECT NULL::text AS tenant_id, nextval('jobs_attempt_id_seq')"
    with pytest.raises(DatabaseError, match="read-only"):
        audit(invariants=[invariant(writes)])


# --- The command ----------------------------------------------------------------------


def doctor(*words: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("doctor", *words, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_the_doctor_says_that_all_is_well():
    lead()
    code, text = doctor()
    assert code == 0, text
    assert text.endswith("ok     ledger: every invariant holds\n")
    code, text = doctor("--json")
    assert (code, json.loads(text)["is_well"]) == (0, True)


def test_the_doctor_names_what_is_broken_and_what_to_do():
    job = dispatched()
    sql("DELETE FROM jobs_attempt")
    code, text = doctor()
    assert code == 1
    assert "WRONG  no_job_is_stuck: 1 row against it" in text
    assert f"job {job.pk}" in text
    assert "docs/operations.md" in text
    code, text = doctor("--json", "--tenant", "t1")
    report = json.loads(text)
    assert (code, report["is_well"], report["is_audited"]) == (1, False, True)
    assert {each["name"] for each in report["findings"]} == {
        "no_job_is_stuck",
        "attempts_are_counted",
    }
    assert doctor("--tenant", "t2")[0] == 0


def test_the_doctor_at_rest_wants_every_job_to_have_ended():
    lead()
    add_worker("shared", 1)
    make_job("t1")
    assert doctor()[0] == 0
    code, text = doctor("--at-rest")
    assert code == 1
    assert "every_job_has_ended" in text


def test_an_unknown_tenant_is_refused():
    with pytest.raises(CommandError, match="There is no tenant 't9'"):
        doctor("--tenant", "t9")


def test_a_stuck_job_is_queued_again_by_hand():
    """What docs/operations.md tells people to type."""
    job = dispatched()
    sql("DELETE FROM jobs_attempt; UPDATE jobs_job SET attempt_count = 0")
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    block = text.split("```sql\n")[1].split("```")[0]
    update = next(line for line in block.splitlines() if line.startswith("UPDATE"))
    sql(update.replace("…", str(job.pk)))
    assert audit() == []
    assert reread(job).state == "queued"


def test_a_database_away_is_wrong(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json", "--data", str(tmp_path)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"},
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["is_audited"]) == (1, False)
    assert report["signs"][0]["verdict"] == "wrong"
