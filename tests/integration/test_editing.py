"""A dead job gets another payload and is tried again; what it was asked for is kept."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection

from ingestion import loader, storage
from ingestion.models import IngestedFile
from jobs import audit, deciding, editing
from jobs.editing import NotDeadError, PayloadFixedError
from jobs.errors import PermanentError
from jobs.models import Job, JobEvent
from jobs.payloads import PayloadError
from jobs.selectors import UnknownJobError
from tenants.acting import acting
from tenants.scoping import all_tenants, tenant_scope
from tests.acceptance.product import wait_for
from tests.arrange import make_dead_job, make_job, make_tenant, reread, run

pytestmark = pytest.mark.django_db(transaction=True)

FAILS = {"seconds": 0.0, "steps": 4, "fail": "permanent"}
MENDED = {"seconds": 0.0, "steps": 2}


@pytest.fixture(autouse=True)
def tenants() -> None:
    make_tenant("t1")
    make_tenant("t2")


def dead(payload: Any = FAILS, **values: Any) -> Job:
    job = run(make_job("t1", payload=payload, **values))
    assert job.state == "dead"
    return job


def edit(job: Job, payload: Any, **options: Any) -> editing.Edit:
    with acting(who="staff ann", why="mended"), tenant_scope("t1"):
        return editing.job_edit_and_revive(job_id=job.pk, payload=payload, **options)


def log(job: Job) -> list[tuple[Any, ...]]:
    with all_tenants(reason="test"):
        rows = JobEvent.objects.filter(job=job).order_by("id")
        return list(rows.values_list("event", "to_state", "actor", "reason"))


def assert_untouched(job: Job) -> None:
    before, after = vars(job).copy(), vars(reread(job)).copy()
    before.pop("_state"), after.pop("_state")
    assert after == before


# --- Any kind -------------------------------------------------------------------------


def test_it_starts_from_the_beginning_with_the_new_payload():
    job = dead(size=5)
    assert job.checkpoint == {"steps": 4}
    assert edit(job, MENDED).changed == ("fail", "steps")
    found = reread(job)
    assert (found.state, found.payload, found.original_payload) == (
        *("queued", MENDED, FAILS),
    )
    assert (found.checkpoint, found.progress_done, found.size) == (None, 0, None)
    assert (found.failed_count, found.error, found.fingerprint) == (0, None, "")
    assert run(found).result == {"steps": 2}


def test_the_log_says_who_changed_what_and_why():
    job = dead()
    edit(job, MENDED)
    assert log(job)[-2:] == [
        ("edited", "dead", "staff ann", "fail, steps changed: mended"),
        ("revived", "queued", "staff ann", "mended"),
    ]


def test_what_was_asked_for_first_is_kept_through_every_edit():
    job = dead()
    edit(job, {**FAILS, "steps": 3})
    edit(run(reread(job)), MENDED)
    found = reread(job)
    assert (found.payload, found.original_payload) == (MENDED, FAILS)


def test_the_same_payload_is_a_plain_retry_which_resumes():
    job = dead()
    assert edit(job, dict(FAILS)).changed == ()
    found = reread(job)
    assert (found.state, found.original_payload) == ("queued", None)
    assert (found.checkpoint, found.progress_done) == ({"steps": 4}, 4)
    assert [event for event, *_ in log(job)][-2:] == ["buried", "revived"]


def test_a_bad_payload_changes_nothing():
    job = dead()
    with pytest.raises(PayloadError, match=r"^steps: .* wings: There is no such"):
        edit(job, {"seconds": 0, "steps": 0, "wings": 2})
    assert_untouched(job)


def test_a_kind_that_nothing_can_check_keeps_its_payload():
    job = dead()
    with all_tenants(reason="test"):
        Job.objects.update(kind="unheard.of")
    with pytest.raises(PayloadFixedError, match=r"check payloads of .*unheard\.of"):
        edit(job, MENDED)
    assert reread(job).payload == FAILS
    with tenant_scope("t1"):
        assert "unheard.of" in editing.why_fixed(reread(job))


def test_another_tenants_job_is_as_unknown_as_one_that_never_was():
    foreign = make_dead_job("t2")
    for job_id in (foreign.pk, uuid4()):
        with tenant_scope("t1"), pytest.raises(UnknownJobError):
            editing.job_edit_and_revive(job_id=job_id, payload=MENDED)
    assert_untouched(foreign)


# --- Several people -------------------------------------------------------------------


def test_a_job_that_was_retried_meanwhile_stays_as_it_is():
    job = dead()
    with tenant_scope("t1"):
        deciding.jobs_revive(job_ids=[job.pk])
    retried = reread(job)
    with pytest.raises(NotDeadError, match=r"is queued, not dead\. Nothing"):
        edit(job, MENDED)
    assert_untouched(retried)


def test_a_job_that_died_again_meanwhile_stays_as_it_is():
    job = dead()
    seen = job.attempt_count
    edit(job, {**FAILS, "steps": 3}, seen_attempts=seen)
    again = run(reread(job))
    for payload in (MENDED, again.payload):
        with pytest.raises(NotDeadError, match="has died once more"):
            edit(again, payload, seen_attempts=seen)
    assert_untouched(again)


@contextmanager
def retrying_beside(job: Job) -> Iterator[Any]:
    """A transaction of somebody else that retries the job, and ends when told."""
    with closing(connection.copy()) as beside:
        beside.set_autocommit(False)
        with beside.cursor() as cursor:
            cursor.execute("SELECT set_config('role', 'dtq_platform', true)")
            cursor.execute(
                "UPDATE jobs_job SET state = 'queued', event = 'revived', "
                "finished_at = NULL WHERE id = %s",
                [job.pk],
            )
        yield beside


def test_of_two_at_the_same_time_the_second_finds_it_queued():
    job = dead()
    found: list[Any] = []

    def late() -> None:
        try:
            found.append(edit(job, MENDED))
        except NotDeadError as error:
            found.append(error.state)
        finally:
            connection.close()

    with retrying_beside(job) as beside:
        second = Thread(target=late)
        second.start()
        wait_for(_somebody_waits_for_a_lock, 60)
        assert found == []
        beside.commit()
    second.join()
    assert found == ["queued"]
    assert reread(job).payload == FAILS


def _somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE NOT l.granted AND a.datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


# --- Ingests --------------------------------------------------------------------------

HEADER = "txn_id,rrn,payer_vpa,payee_vpa,amount,currency,status,txn_timestamp,remarks"
ROW = "T{n},{rrn},asha@okbank,shop@okbank,10.00,INR,SUCCESS,2026-01-15 10:00:00,".format
GOOD = "\n".join([HEADER, *(ROW(n=n, rrn=600000000000 + n) for n in range(4)), ""])


@pytest.fixture
def objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[Path]:
    """The tenant's part of the store, with a good file, for chunks of two rows."""
    folder = FileSystemStorage(location=tmp_path)
    monkeypatch.setattr(storage, "storages", {"default": folder})
    settings.INGEST_CHUNK_ROWS = 2
    own = tmp_path / "tenants" / "t1"
    own.mkdir(parents=True)
    (own / "good.csv").write_text(GOOD)
    yield own
    assert audit.audit() == []


def ingest(path: str) -> Job:
    payload = {"s3_path": path, "source": "UPI"}
    return run(make_job("t1", kind="ingest", payload=payload))


def files() -> list[tuple[str, str, int]]:
    with tenant_scope("t1"):
        return list(IngestedFile.objects.values_list("path", "state", "rows"))


def test_the_path_of_a_missing_file_is_mended(objects: Path):
    job = ingest("typo.csv")
    assert (job.error["code"], files()) == ("object_missing", [])
    edit(job, {"s3_path": "good.csv", "source": "UPI"})
    assert run(reread(job)).result["inserted"] == 4
    assert files() == [("good.csv", "loaded", 4)]


def test_the_wrong_file_is_replaced_before_anything_of_it_is_loaded(objects: Path):
    (objects / "wrong.csv").write_text("a,b\n1,2\n")
    job = ingest("wrong.csv")
    assert files() == [("wrong.csv", "failed", 0)]
    edit(job, {"s3_path": "good.csv", "source": "UPI"})
    assert files() == []
    assert run(reread(job)).result["inserted"] == 4
    assert files() == [("good.csv", "loaded", 4)]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"s3_path": "tenants/t2/a.csv", "source": "UPI"}, "s3_path"),
        ({"s3_path": "good.csv", "source": "SWIFT"}, "source"),
    ],
)
def test_an_edit_keeps_the_rules_of_the_enqueue_call(
    objects: Path, payload: Any, field: str
):
    job = ingest("typo.csv")
    with pytest.raises(PayloadError, match=f"^{field}: "):
        edit(job, payload)
    assert_untouched(job)


def test_a_file_of_which_rows_are_loaded_stays_its_jobs(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    real, calls = loader.load, []

    def breaks(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise PermanentError("broken", "The second chunk breaks.")
        return real(*args)

    monkeypatch.setattr(loader, "load", breaks)
    job = ingest("good.csv")
    assert files() == [("good.csv", "failed", 2)]
    with pytest.raises(PayloadFixedError, match=r"^2 row\(s\) of 'good.csv' are load"):
        edit(job, {"s3_path": "other.csv", "source": "UPI"})
    assert_untouched(job)
    # As it is, it goes on where it stopped.
    edit(job, {"s3_path": "good.csv", "source": "UPI"})
    assert run(reread(job)).result["rows"] == 4
