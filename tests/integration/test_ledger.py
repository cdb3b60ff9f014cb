"""The protocol of the ledger, statement by statement, on a real PostgreSQL."""

import re
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from django.db import Error, IntegrityError, connection
from django.utils import timezone

from jobs import deciding, errors, handlers, leadership, ledger, services, sweeps
from jobs.handlers import Assignment, Checkpoint
from jobs.ledger import AttemptSupersededError, Pick
from jobs.lifecycle import TRANSITIONS, Event
from jobs.models import Attempt, Job, UsageEvent, Worker
from jobs.statements import look_after_connection, rows_by_key
from tenants.scoping import all_tenants, tenant_scope
from tests import arrange
from tests.arrange import (
    attempts_of,
    dispatch,
    lead,
    make_job,
    make_tenant,
    reread,
    start,
)
from tests.integration.ledger_states import sql

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def tenant() -> None:
    make_tenant("t1")


def expire(attempt_id: int) -> None:
    sql(
        "UPDATE jobs_attempt SET lease_expires_at = now() - interval '1 second' "
        "WHERE id = %(id)s",
        id=attempt_id,
    )


def finish(assignment: Assignment) -> None:
    with tenant_scope("t1"):
        arrange.finish(assignment, {"rows": 3})


def usage() -> dict[str, int]:
    with all_tenants(reason="test"):
        events = UsageEvent.objects.values_list("source", "quantity")
        return dict(events)


# --- The way through ------------------------------------------------------------------


def test_a_job_goes_through_and_is_settled_once():
    job = make_job("t1")
    attempt_id = dispatch(job, held_us=5000)
    claim = start(attempt_id)
    finish(claim.assignment)

    job = reread(job)
    (attempt,) = attempts_of(job)
    assert (job.state, job.result, job.attempt_count) == ("succeeded", {"rows": 3}, 1)
    assert job.dispatched_at <= job.started_at <= job.finished_at
    assert (attempt.outcome, attempt.held_us, attempt.is_billable) == (
        "succeeded",
        5000,
        True,
    )
    ran = attempt.finished_at - attempt.started_at
    assert attempt.settled_us == ran.total_seconds() * 1_000_000
    assert usage() == {
        f"attempt:{attempt_id}": attempt.settled_us,
        f"job:{job.pk}:jobs": 1,
    }


def test_a_job_is_dispatched_once():
    job = make_job("t1")
    dispatch(job)
    term = lead()
    with all_tenants(reason="test"):
        again = ledger.dispatch(
            lease=("dispatcher", "test", term),
            pool="shared",
            picks=[Pick(str(job.pk), 1, 1000)],
        )
    assert again == {}
    assert len(attempts_of(job)) == 1


def test_an_attempt_is_started_once():
    job = make_job("t1")
    attempt_id = dispatch(job)
    start(attempt_id)
    with all_tenants(reason="test"):
        second = ledger.claim(attempt_ids=[attempt_id], worker="w2", lease_seconds=30)
    assert second == []
    assert attempts_of(job)[0].worker == "w1"


def test_a_stale_message_starts_no_later_attempt():
    job = make_job("t1")
    stale = dispatch(job)
    with all_tenants(reason="test"):
        assert sweeps.replace_given_up(attempt_ids=[stale], max_losses=3)
    dispatch(job)
    with all_tenants(reason="test"):
        started = ledger.claim(attempt_ids=[stale], worker="w1", lease_seconds=30)
    assert started == []
    assert [attempt.started_at for attempt in attempts_of(job)] == [None, None]


def test_the_tenant_of_the_work_is_the_jobs_whatever_the_payload_says():
    make_tenant("t2")
    job = make_job("t1", payload={"seconds": 0, "tenant": "t2"})
    assert start(dispatch(job)).assignment.tenant == "t1"


def test_an_attempt_of_a_cancelled_job_is_not_started():
    job = make_job("t1")
    attempt_id = dispatch(job)
    sql(
        "UPDATE jobs_job SET state = 'cancelled', event = 'cancelled', "
        "finished_at = now()"
    )
    with all_tenants(reason="test"):
        claims = ledger.claim(attempt_ids=[attempt_id], worker="w1", lease_seconds=30)
    assert claims == []
    assert attempts_of(job)[0].started_at is None


# --- Leadership -----------------------------------------------------------------------


def test_only_the_leader_dispatches():
    job = make_job("t1")
    old = lead("old")
    sql("UPDATE jobs_leaderlease SET expires_at = now() - interval '1 second'")
    assert lead("new") == old + 1
    for holder, term in (("old", old), ("old", old + 1), ("new", old)):
        with all_tenants(reason="test"):
            written = ledger.dispatch(
                lease=("dispatcher", holder, term),
                pool="shared",
                picks=[Pick(str(job.pk), 1, 1000)],
            )
        assert written == {}
    assert reread(job).state == "queued"


def test_a_lease_is_held_against_others_and_renewed_without_a_new_term():
    term = lead("leader")
    assert leadership.acquire(name="dispatcher", holder="other", ttl_seconds=60) is None
    assert lead("leader") == term
    leadership.release(name="dispatcher", holder="leader")
    assert lead("other") == term + 1


# --- The fence ------------------------------------------------------------------------


def test_a_zombie_writes_neither_checkpoint_nor_end():
    job = make_job("t1")
    zombie = start(dispatch(job)).assignment
    expire(zombie.attempt_id)
    with all_tenants(reason="test"):
        sweeps.lose_expired(max_losses=3)
    live = start(dispatch(job), worker="w2").assignment

    for write in (
        lambda: ledger.commit_checkpoint(
            zombie,
            Checkpoint(state={"at": 9}, usage={("rows", "0:1"): 9}),
            lease_seconds=30,
        ),
        lambda: arrange.finish(zombie, {}),
        lambda: arrange.fail(
            zombie, errors.describe(ValueError("x")), retry_in_seconds=None
        ),
    ):
        with pytest.raises(AttemptSupersededError), tenant_scope("t1"):
            write()
    assert reread(job).state == "running"
    assert reread(job).checkpoint is None
    finish(live)
    assert reread(job).state == "succeeded"
    assert not any("rows" in source for source in usage())


def test_an_expired_lease_fences_before_any_sweep_came():
    assignment = start(dispatch(make_job("t1"))).assignment
    expire(assignment.attempt_id)
    with pytest.raises(AttemptSupersededError):
        finish(assignment)
    with all_tenants(reason="test"):
        assert not ledger.renew(attempt_ids=[assignment.attempt_id], lease_seconds=30)


def test_a_checkpoint_is_where_the_next_attempt_resumes():
    job = make_job("t1")
    assignment = start(dispatch(job)).assignment
    with tenant_scope("t1"):
        ledger.commit_checkpoint(
            assignment,
            Checkpoint(
                state={"at": 7},
                done=7,
                total=9,
                unit="rows",
                usage={("rows", "0:1"): 7},
            ),
            lease_seconds=30,
        )
    with all_tenants(reason="test"):
        sweeps.lose_of_worker(
            worker="w1", attempt_ids=[assignment.attempt_id], max_losses=3
        )
    assert start(dispatch(job)).assignment.checkpoint == {"at": 7}
    assert reread(job).progress == {"done": 7, "total": 9, "unit": "rows"}
    assert usage()[f"job:{job.pk}:rows:0:1"] == 7


# --- Failure --------------------------------------------------------------------------


def fail(job: Job, *, retry_in_seconds: float | None) -> None:
    assignment = start(dispatch(job)).assignment
    failure = errors.describe(errors.PermanentError("bad", "It is bad.", column="x"))
    with tenant_scope("t1"):
        arrange.fail(assignment, failure, retry_in_seconds=retry_in_seconds)


@pytest.mark.parametrize("ugly", ["\0", "\udcff", float("nan"), object()])
def test_a_failure_that_nothing_could_hold_is_still_told(ugly: Any):
    job = make_job("t1")
    assignment = start(dispatch(job)).assignment
    failure = errors.describe(errors.PermanentError("bad", f"found {ugly}", found=ugly))
    with all_tenants(reason="test"):
        arrange.fail(assignment, failure, retry_in_seconds=None)
    assert reread(job).state == "dead"
    assert reread(job).error["code"] == "bad"


def test_a_failure_waits_and_is_queued_when_due():
    job = make_job("t1")
    fail(job, retry_in_seconds=60)
    with all_tenants(reason="test"):
        assert sweeps.queue_due() == []
    assert (reread(job).state, reread(job).failed_count) == ("retryable", 1)
    sql("UPDATE jobs_job SET run_after = now()")
    with all_tenants(reason="test"):
        sweeps.queue_due()
    assert reread(job).state == "queued"


def test_a_burial_keeps_the_reason_and_a_person_revives():
    job = make_job("t1")
    fail(job, retry_in_seconds=None)
    dead = reread(job)
    assert dead.state == "dead"
    assert dead.error == {"code": "bad", "message": "It is bad.", "column": "x"}
    assert dead.fingerprint
    assert "PermanentError" in attempts_of(job)[0].traceback
    with tenant_scope("t1"):
        assert deciding.jobs_revive(job_ids=[job.pk]) == 1
        assert deciding.jobs_revive(job_ids=[job.pk]) == 0
    assert reread(job).run_after > dead.finished_at
    finish(start(dispatch(job)).assignment)
    assert reread(job).state == "succeeded"
    assert usage()[f"job:{job.pk}:jobs"] == 1


def test_a_revival_does_not_reach_another_tenants_job():
    make_tenant("stranger")
    job = make_job("t1")
    fail(job, retry_in_seconds=None)
    with tenant_scope("stranger"):
        assert deciding.jobs_revive(job_ids=[job.pk]) == 0
    assert reread(job).state == "dead"


# --- The sweep ------------------------------------------------------------------------


def test_a_lost_attempt_is_charged_its_lease_and_not_billed():
    job = make_job("t1")
    attempt_id = start(dispatch(job)).assignment.attempt_id
    expire(attempt_id)
    sql("UPDATE jobs_attempt SET started_at = lease_expires_at - interval '5 seconds'")
    with all_tenants(reason="test"):
        (ended,) = sweeps.lose_expired(max_losses=3)
        assert sweeps.lose_expired(max_losses=3) == []
    assert (ended.job_id, ended.state) == (job.pk, "queued")
    (attempt,) = attempts_of(job)
    assert (attempt.outcome, attempt.settled_us) == ("lost", 5_000_000)
    assert attempt.is_billable is False
    assert usage() == {}


def test_a_job_that_loses_its_worker_again_and_again_is_poison():
    job = make_job("t1")
    for _ in range(3):
        attempt_id = start(dispatch(job)).assignment.attempt_id
        expire(attempt_id)
        with all_tenants(reason="test"):
            sweeps.lose_expired(max_losses=2)
    dead = reread(job)
    assert (dead.state, dead.error["code"], dead.lost_count) == ("dead", "poison", 3)
    assert usage() == {f"job:{job.pk}:jobs": 1}


def test_a_live_lease_is_left_alone():
    start(dispatch(make_job("t1")))
    with all_tenants(reason="test"):
        assert sweeps.lose_expired(max_losses=3) == []


@pytest.mark.parametrize("years", [-30, 30])
def test_leases_run_out_by_the_clock_of_the_database(
    monkeypatch: pytest.MonkeyPatch, years: int
):
    live, expired = (make_job("t1") for _ in range(2))
    start(dispatch(live))
    expire(start(dispatch(expired)).assignment.attempt_id)
    wrong = time.time() + years * 365 * 86_400
    with all_tenants(reason="test"), monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: wrong)
        lost = sweeps.lose_expired(max_losses=3)
    assert [ended.job_id for ended in lost] == [expired.pk]


def test_a_sweep_passes_over_what_somebody_is_changing():
    busy, other = (start(dispatch(make_job("t1"))).assignment for _ in range(2))
    for assignment in (busy, other):
        expire(assignment.attempt_id)
    with closing(connection.copy()) as beside, beside.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SET LOCAL ROLE dtq_platform")
        cursor.execute(
            "SELECT id FROM jobs_attempt WHERE id = %s FOR UPDATE", [busy.attempt_id]
        )
        assert cursor.rowcount == 1
        with all_tenants(reason="test"), connection.cursor() as mine:
            mine.execute("SET LOCAL lock_timeout = '5s'")
            lost = sweeps.lose_expired(max_losses=3)
    assert [ended.job_id for ended in lost] == [other.job_id]


def test_an_expired_lease_is_found_behind_a_page_of_live_ones():
    page = 500
    with tenant_scope("t1"):
        ids = services.jobs_enqueue(
            tenant_id="t1",
            kind="sleep",
            payloads=[{"seconds": 0}] * (page + 1),
            now=timezone.now(),
        )
    picks = [Pick(str(job_id), 1, 1000) for job_id in ids]
    term = lead()
    with all_tenants(reason="test"):
        attempts = ledger.dispatch(
            lease=(*arrange.LEASE, term), pool="shared", picks=picks
        )
        last = max(attempts.values())
        claims = ledger.claim(
            attempt_ids=list(attempts.values()), worker="w1", lease_seconds=3600
        )
    assert len(claims) == page + 1
    expire(last)
    with all_tenants(reason="test"):
        lost = sweeps.lose_expired(max_losses=3)
    assert [attempts[str(ended.job_id)] for ended in lost] == [last]


def test_only_the_attempts_of_the_dead_worker_are_lost():
    job = make_job("t1")
    attempt_id = start(dispatch(job), worker="w1").assignment.attempt_id
    with all_tenants(reason="test"):
        lost = sweeps.lose_of_worker(
            worker="w2", attempt_ids=[attempt_id], max_losses=3
        )
    assert lost == []
    assert reread(job).state == "running"


@pytest.mark.parametrize(
    ("slots", "since", "seen", "replaced"),
    [
        (1, 16, 0, True),
        (0, 3600, 0, False),
        (1, 3600, 60, False),
        # As after a restart: the message is there, and about to be taken.
        (1, 14, 0, False),
    ],
    ids=["free worker", "no slot", "stale worker", "new worker"],
)
def test_a_published_attempt_is_replaced_only_while_a_slot_is_free(
    slots: int, since: int, seen: int, replaced: bool
):
    job = make_job("t1")
    dispatch(job)
    began, told = (timezone.now() - timedelta(seconds=s) for s in (since, seen))
    worker = {"name": "w", "started_at": began, "last_seen_at": told}
    Worker.objects.create(pool="shared", slots=slots, **worker)
    sql("UPDATE jobs_attempt SET dispatched_at = now() - interval '1 minute'")
    with all_tenants(reason="test"):
        ended = sweeps.replace_not_started(timeout_seconds=15, fresh_seconds=8)
    assert bool(ended) is replaced
    job = reread(job)
    assert job.state == ("queued" if replaced else "dispatched")
    assert (job.lost_count, job.failed_count) == (0, 0)
    assert attempts_of(job)[0].settled_us == (0 if replaced else None)


def test_a_scheduled_job_waits_for_its_time():
    later = timezone.now() + timedelta(hours=1)
    job = make_job("t1", run_after=later)
    assert job.state == "scheduled"
    with all_tenants(reason="test"):
        assert sweeps.queue_due() == []
    sql("UPDATE jobs_job SET run_after = now()")
    with all_tenants(reason="test"):
        assert [ended.job_id for ended in sweeps.queue_due()] == [job.pk]


# --- What the database refuses --------------------------------------------------------


def test_the_database_knows_the_same_moves_as_the_table():
    states = {state for (state, _) in TRANSITIONS} | set(TRANSITIONS.values())
    allowed = {(before, event, after) for (before, event), after in TRANSITIONS.items()}
    make_job("t1")
    tried = [(b, e, a) for b in states for e in Event for a in states]
    found = {triple for triple in tried if triple[1] != BEFORE and moves(*triple)}
    assert found == allowed


#: An event that no move begins with.
BEFORE = Event.CREATED


def moves(before: str, event: str, after: str) -> bool:
    """Try one move in a savepoint of its own; the way there goes past the trigger."""
    try:
        with all_tenants(reason="test"), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('role', 'none', true)")
            cursor.execute("ALTER TABLE jobs_job DISABLE TRIGGER job_lifecycle")
            cursor.execute("SELECT set_config('role', 'dtq_platform', true)")
            _force(cursor, before, BEFORE)
            cursor.execute("SELECT set_config('role', 'none', true)")
            cursor.execute("ALTER TABLE jobs_job ENABLE TRIGGER job_lifecycle")
            cursor.execute("SELECT set_config('role', 'dtq_platform', true)")
            _force(cursor, after, event)
            raise RollbackError
    except RollbackError:
        return True
    except IntegrityError:
        return False


class RollbackError(Exception):
    """Undoes the scope it is raised in."""


def _force(cursor: Any, state: str, event: str) -> None:
    is_final = state in {"succeeded", "dead", "cancelled"}
    cursor.execute(
        "UPDATE jobs_job SET state = %s, event = %s, "
        "finished_at = CASE WHEN %s THEN now() END",
        [str(state), str(event), is_final],
    )
    assert cursor.rowcount == 1


def test_a_settled_attempt_and_a_usage_event_never_change():
    job = make_job("t1")
    finish(start(dispatch(job)).assignment)
    for statement in (
        "UPDATE jobs_attempt SET settled_us = 1",
        "UPDATE usage_events SET quantity = 1",
    ):
        with pytest.raises(Error, match="is settled"):
            sql(statement)


def test_one_live_attempt_for_a_job():
    job = make_job("t1")
    dispatch(job)
    with pytest.raises(Error, match="attempt_one_live"), all_tenants(reason="test"):
        Attempt.objects.create(
            tenant_id="t1", job=job, number=9, pool="p", term=1, held_us=0, weight=1
        )


def test_an_unknown_kind_is_not_enqueued():
    with pytest.raises(handlers.UnknownKindError), tenant_scope("t1"):
        services.job_enqueue(
            tenant_id="t1", kind="nonsense", payload={}, now=timezone.now()
        )


# --- How rows are found ---------------------------------------------------------------


def test_jobs_and_attempts_are_looked_up_by_key_in_tables_never_analysed(monkeypatch):
    plans: list[str] = []

    def explained(statement: str, values: dict[str, Any]) -> list[Any]:
        plan = rows_by_key(statement, values, prefix="EXPLAIN")
        plans.extend(line for (line,) in plan)
        return rows_by_key(statement, values)

    monkeypatch.setattr(ledger, "rows_by_key", explained)
    with tenant_scope("t1"):
        services.jobs_enqueue(
            tenant_id="t1",
            kind="sleep",
            payloads=[{"seconds": 0}] * 2000,
            now=timezone.now(),
        )
    attempt_ids = [dispatch(make_job("t1")) for _ in range(60)]
    claims = [start(attempt_id) for attempt_id in attempt_ids]
    finish(claims[0].assignment)
    with tenant_scope("t1"):
        ledger.renew(attempt_ids=attempt_ids[1:], lease_seconds=30)
        ledger.commit_checkpoint(
            claims[1].assignment, Checkpoint(state={}), lease_seconds=30
        )
        ledger.hand_back(attempt_ids[1:])

    scan = re.compile(r"(\w+ Scan) (?:using (\w+) )?on jobs_(job|attempt)\b")
    found = {match.groups() for plan in plans if (match := scan.search(plan))}
    assert found == {
        ("Index Scan", "jobs_job_pkey", "job"),
        ("Index Scan", "jobs_attempt_pkey", "attempt"),
    }


def test_what_was_prepared_for_every_tenant_shows_one_tenant_no_others_rows():
    make_tenant("t2")
    attempt_id = dispatch(make_job("t1"))
    start(attempt_id)
    renewed = []
    for scope in (all_tenants(reason="t"), tenant_scope("t2"), tenant_scope("t1")):
        with scope:
            renewed.append(ledger.renew(attempt_ids=[attempt_id], lease_seconds=30))
    assert renewed == [1, 0, 1]


def test_a_new_connection_is_told_its_statements_again():
    for _ in range(2):
        connection.close()
        attempt_id = dispatch(make_job("t1"))
        assert start(attempt_id).assignment.attempt_id == attempt_id


def test_statements_need_not_be_prepared(settings):
    settings.PREPARE_STATEMENTS = False
    connection.close()
    attempt_id = dispatch(make_job("t1"))
    finish(start(attempt_id).assignment)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        assert cursor.fetchone() == (0,)


def test_a_connection_that_failed_is_replaced_at_once_and_a_sound_one_is_kept():
    look_after_connection()
    before = backend()
    look_after_connection()
    assert backend() == before

    with psycopg2.connect(**connection.get_connection_params()) as other:
        other.cursor().execute("SELECT pg_terminate_backend(%s)", [before])
    with pytest.raises(Error):
        backend()
    look_after_connection()
    assert backend() != before


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(pid)
