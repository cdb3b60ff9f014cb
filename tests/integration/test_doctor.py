"""The audit of the ledger, and the command that runs it and looks around."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

from jobs import deciding
from jobs.audit import Finding, audit
from jobs.invariants import Invariant, registered
from jobs.ledger import hand_back
from jobs.lifecycle import TERMINAL_STATES
from jobs.models import Attempt, Job
from jobs.snapshots import FORMAT
from jobs.sweeps import replace_not_started
from tenants.scoping import all_tenants
from tests.arrange import dispatch, lead, make_job, make_tenant, reread, start
from tests.integration.dispatching import add_worker
from tests.integration.file_breaches import (
    FILE_BREACHES,
    loaded,
    quarantined,
    refused,
)
from tests.integration.ledger_states import (
    USAGE,
    Breach,
    alter,
    dispatched,
    failed,
    lost,
    retryable,
    running,
    sql,
    succeeded,
)

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def two_tenants() -> None:
    for slug in ("t1", "t2"):
        make_tenant(slug)


def found(**options: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in audit(**options)}


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


_SECOND_ATTEMPT = (
    "INSERT INTO jobs_attempt (tenant_id, job_id, number, pool, term, held_us, weight) "
    "SELECT tenant_id, id, 2, 'shared', 1, 1, 1000 FROM jobs_job"
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
        USAGE.format(
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
        USAGE.format(tenant="'t2'", source="'x'", meter="'x'", quantity="1", job="id")
        + "jobs_job",
    ),
    *FILE_BREACHES,
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


@pytest.mark.parametrize("timeout", ["-1", "0", "86401", "9" * 5000, "x"])
def test_a_timeout_that_is_none_is_refused(timeout: str):
    with pytest.raises(CommandError, match="is not from 1 to 86400 seconds"):
        doctor("--timeout", timeout)


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
