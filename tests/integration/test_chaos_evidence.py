"""The audit of a chaos run on a real ledger, into which a fault was planted."""

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection

from ingestion import storage
from jobs.models import Job, UsageEvent
from samples.generate import Writer
from taskqueue_site.chaos.evidence import Ledger
from taskqueue_site.chaos.verdict import Evidence, FileTruth, Verdict
from tenants.scoping import all_tenants
from tests.arrange import dispatch, make_job, make_tenant, run, start

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "a.csv"


@dataclass
class Story:
    """What the producers would know."""

    ledger: Ledger
    accepted: list[Job]
    truth: FileTruth

    def verdict(self) -> Verdict:
        ledger = self.ledger
        return Verdict(
            Evidence(
                accepted={str(job.pk): {} for job in self.accepted},
                files={("t1", PATH): self.truth},
                jobs=ledger.jobs(),
                attempts=ledger.attempts(),
                loads=ledger.loads(),
                usage=ledger.usage(),
            )
        )


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """A file that was loaded and a sleep that was done, as a run would leave them."""
    monkeypatch.setattr(
        storage, "storages", {"default": FileSystemStorage(location=tmp_path)}
    )
    make_tenant("t1")
    writer = Writer(5)
    content = b"".join(writer.file(400, 40, 30))
    storage.store().write(storage.object_key("t1", PATH), io.BytesIO(content))
    told = writer.truth
    truth = FileTruth(
        rows=told.rows,
        bytes=len(content),
        inserted=told.good - told.same_again - told.conflicting,
        conflicting=told.conflicting,
        rejected=len(told.rejects),
    )
    payload = {"s3_path": PATH, "source": "UPI"}
    jobs = [make_job("t1", kind="ingest", payload=payload), make_job("t1")]
    for job in jobs:
        run(job)
    with closing(Ledger(connection.connection.dsn + _password())) as ledger:
        yield Story(ledger, jobs, truth)


def _password() -> str:
    """Return what a connection keeps to itself."""
    password = connection.settings_dict["PASSWORD"]
    return f" password={password}" if password else ""


def test_a_ledger_in_order_is_good(story: Story):
    verdict = story.verdict()
    assert verdict.faults == []
    assert verdict.units_true["rows"] == story.truth.rows == 400
    assert verdict.states == {"succeeded": 2}


def test_a_usage_event_more_is_found(story: Story):
    with all_tenants(reason="test"):
        event = UsageEvent.objects.filter(meter="rows").first()
        event.pk, event.source = None, f"{event.source}-again"
        event.save(force_insert=True)
    assert story.verdict().dup_effect


def test_a_row_more_is_found(story: Story):
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE twin AS SELECT * FROM fintech_transactions LIMIT 1"
        )
        cursor.execute("UPDATE twin SET id = id + 1000000, txn_id = txn_id || 'X'")
        cursor.execute("INSERT INTO fintech_transactions SELECT * FROM twin")
    assert story.verdict().dup_effect


def test_a_job_without_an_end_is_stuck(story: Story):
    story.accepted.append(make_job("t1"))
    verdict = story.verdict()
    assert len(verdict.stuck) == len(verdict.lost) == 1


def test_what_a_worker_was_at_work_on_is_followed_until_it_is_queued_again(
    story: Story,
):
    job = make_job("t1")
    attempt_id = dispatch(job)
    start(attempt_id, worker="shared@host-4711")
    assert story.ledger.interrupted(711).attempt_ids == []
    interrupted = story.ledger.interrupted(4711)
    assert interrupted.attempt_ids == [attempt_id]
    assert story.ledger.recoveries(interrupted) == [None]
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_attempt SET outcome = 'lost', settled_us = 0, "
            "is_billable = false, finished_at = %s + interval '12 s' WHERE id = %s",
            [interrupted.at, attempt_id],
        )
    assert story.ledger.recoveries(interrupted) == [12.0]


def test_the_reader_outlives_its_connection(story: Story):
    states = story.ledger.states()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert story.ledger.states() == states
    with pytest.raises(psycopg2.OperationalError):
        Ledger("postgresql://127.0.0.1:1/nothing").states()


def test_a_snapshot_is_of_one_moment(story: Story):
    with story.ledger.snapshot():
        before = story.ledger.states()
        make_job("t1")
        assert story.ledger.states() == before
    assert story.ledger.states() != before
