"""A file that does not hold what it says: nothing of it is loaded, a person decides."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.utils import timezone

from ingestion import services
from ingestion.models import FileFault, IngestedFile, Statement
from ingestion.services import NotQuarantinedError
from jobs import ledger, switches
from jobs.audit import audit
from jobs.cancelling import jobs_cancel
from jobs.deciding import jobs_revive
from jobs.ledger import AttemptSupersededError
from jobs.models import Job, JobEvent, UsageEvent
from tenants.acting import acting
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_job, reread, run
from tests.integration.ingesting import (
    Ingest,
    counts,
    file_of,
    interrupted,
    lose_attempt,
    put,
    row,
    stored,
    text,
)
from tests.integration.test_totals import BAD, FAULTS, GOOD, faults, statements

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("totals_sources"),
]

PAYLOAD = {"s3_path": "a.csv", "source": "TOTALS"}


def release(file: IngestedFile) -> Job:
    with acting(who="staff asha", why="the bank confirmed it"), all_tenants(reason="t"):
        return services.file_release(file_id=file.pk, now=timezone.now())


def again(file: IngestedFile) -> IngestedFile:
    """Return the file as it is now."""
    with all_tenants(reason="test"):
        found: IngestedFile = IngestedFile.objects.get(pk=file.pk)
    return found


# --- The first reading ----------------------------------------------------------------


def test_a_file_that_holds_what_it_says_is_loaded(ingest: Ingest):
    job = ingest(GOOD, source="TOTALS")
    assert counts(job) == (3, 3, 0, 0, 0)
    assert [s.ordinal for s in statements()] == [1, 2]
    assert "quarantined" not in job.result
    assert audit() == []


def test_a_file_that_does_not_is_put_aside_and_nothing_of_it_is_loaded(ingest: Ingest):
    job = ingest(BAD, source="TOTALS")
    assert stored() == []
    assert job.state == "succeeded"
    assert job.result["quarantined"] is True
    assert (job.result["rows_read"], job.result["rows"]) == (4, 0)
    assert job.result["fault_count"] == 2
    assert job.result["faults"] == [
        {"line": 10, "control": "closing_balance", "expected": "9", "found": "8.50"},
        {"line": 10, "control": "row_count", "expected": "4", "found": "1"},
    ]
    assert statements() == []
    assert faults() == FAULTS
    file = file_of(job)
    assert (file.state, file.fault_count, file.rows) == ("quarantined", 2, 0)
    assert file.content_digest
    assert [entry[3] for entry in file.totals] == [2, 1, 1]
    with all_tenants(reason="test"):
        assert not UsageEvent.objects.filter(meter__in=["rows", "bytes"]).exists()
    assert audit() == []


def test_a_file_that_breaks_off_is_put_aside(ingest: Ingest):
    job = ingest(GOOD[: GOOD.rindex(b"E|")], source="TOTALS")
    assert job.result["faults"][0]["control"] == "unfinished"


def test_the_first_hundred_faults_are_kept_and_ten_are_in_the_result(ingest: Ingest):
    one = b"S|ACC1|1|INR|0|2026-01-15\nE|1|2026-01-15|2\n"
    job = ingest(one * 70, source="TOTALS")
    assert job.result["fault_count"] == file_of(job).fault_count == 140
    assert (len(job.result["faults"]), len(faults())) == (10, 100)


def test_progress_counts_both_readings(ingest: Ingest, monkeypatch: pytest.MonkeyPatch):
    steps: list[tuple[int, int | None]] = []
    commit = ledger.commit_checkpoint

    def spy(assignment: Any, checkpoint: Any, **values: Any) -> Any:
        steps.append((checkpoint.done, checkpoint.total))
        return commit(assignment, checkpoint, **values)

    monkeypatch.setattr(ledger, "commit_checkpoint", spy)
    job = ingest(GOOD, source="TOTALS")
    size = len(GOOD)
    assert steps == [(done * size, 2 * size) for done in (0, 1, 2, 2)]
    assert job.progress == {"done": 2 * size, "total": 2 * size, "unit": "bytes"}


def test_a_file_that_cannot_be_read_is_dead_as_ever(ingest: Ingest):
    job = ingest(b"nonsense\n", source="TOTALS")
    assert (job.state, job.error["code"]) == ("dead", "wrong_header")
    assert file_of(job).state == "failed"


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("content", "step"),
    [(GOOD, step) for step in range(6)] + [(BAD, step) for step in range(5)],
)
def test_an_interruption_in_either_reading_changes_nothing(
    objects: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, step: int
):
    put(objects, content)
    job = run(interrupted(PAYLOAD, step, monkeypatch))
    if content is GOOD:
        assert counts(job) == (3, 3, 0, 0, 0)
        assert [s.ordinal for s in statements()] == [1, 2]
    else:
        assert job.result["rows_read"] == 4
        assert faults() == FAULTS
    assert audit() == []


def test_an_attempt_lost_after_the_quarantine_is_gone_on_with(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    def dies(*_: Any) -> Any:
        raise AttemptSupersededError(0)

    put(objects, BAD)
    job = make_job("t1", kind="ingest", payload=PAYLOAD)
    with monkeypatch.context() as patch:
        patch.setattr("ingestion.handlers.result_of", dies)
        lose_attempt(job)
    assert file_of(job).state == "quarantined"
    assert run(job).result["rows_read"] == 4


def test_a_file_in_quarantine_does_not_make_its_content_known(ingest: Ingest):
    ingest(BAD, source="TOTALS")
    job = ingest(BAD, source="TOTALS")
    assert job.result["quarantined"] is True
    assert "same_as_file" not in job.result


# --- Released -------------------------------------------------------------------------


def test_a_released_file_is_loaded_by_a_job_of_its_own(ingest: Ingest):
    first = ingest(BAD, source="TOTALS")
    file = file_of(first)
    job = release(file)
    file = again(file)
    assert (file.state, file.job_id, file.quarantine_job_id) == (
        *("received", job.pk),
        first.pk,
    )
    assert (file.decided_by, file.decided_why) == (
        "staff asha",
        "the bank confirmed it",
    )
    assert audit() == []

    job = run(job)
    assert counts(job) == (4, 4, 0, 0, 0)
    assert "quarantined" not in job.result
    assert job.result["file_id"] == first.result["file_id"] == file.pk
    assert job.result["fault_count"] == 2
    assert job.progress["done"] == job.progress["total"] == len(BAD)
    file = again(file)
    assert file.state == "loaded"
    assert faults() == FAULTS
    assert len(statements()) == 3
    assert audit() == []


def test_who_released_it_is_in_the_log_of_the_job(ingest: Ingest):
    job = release(file_of(ingest(BAD, source="TOTALS")))
    with all_tenants(reason="test"):
        created = JobEvent.objects.get(job=job, event="created")
    assert created.actor == "staff asha"


def test_what_was_released_is_known_again(ingest: Ingest):
    job = run(release(file_of(ingest(BAD, source="TOTALS"))))
    twin = ingest(BAD, source="TOTALS")
    assert twin.result["same_as_file"] == job.result["file_id"]
    assert counts(twin) == (4, 4, 0, 0, 0)


@pytest.mark.parametrize("other", [GOOD, BAD[:-2] + b"2\n"], ids=["size", "byte"])
def test_only_what_was_looked_at_is_loaded(ingest: Ingest, objects: Path, other: bytes):
    job = release(file_of(ingest(BAD, source="TOTALS")))
    assert other != BAD
    put(objects, other)
    job = run(job)
    assert (job.state, job.error["code"]) == ("dead", "object_changed")
    assert file_of(job).state == "failed"
    assert stored() == []
    assert audit() == []


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("step", range(4))
def test_an_interrupted_release_changes_nothing(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch, step: int
):
    job = release(file_of(ingest(BAD, source="TOTALS")))
    real = reread(job)
    monkeypatch.setattr("tests.integration.ingesting.make_job", lambda *_, **__: real)
    job = run(interrupted(PAYLOAD, step, monkeypatch))
    assert counts(job) == (4, 4, 0, 0, 0)
    assert (faults(), len(statements())) == (FAULTS, 3)
    assert audit() == []


def test_a_release_that_is_cancelled_fails_and_may_be_revived(ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    job = release(file)
    with tenant_scope("t1"):
        jobs_cancel(job_ids=[job.pk])
    file = again(file)
    assert file.state == "failed"
    assert audit() == []


def test_a_release_that_died_goes_on_when_it_is_revived(ingest: Ingest, objects: Path):
    job = release(file_of(ingest(BAD, source="TOTALS")))
    away = objects / "tenants/t1/a.csv"
    hidden = away.rename(objects / "hidden")
    assert run(job).error["code"] == "object_missing"
    hidden.rename(away)
    with tenant_scope("t1"):
        jobs_revive(job_ids=[job.pk])
    assert counts(run(job)) == (4, 4, 0, 0, 0)
    assert file_of(job).state == "loaded"


# --- Decisions ------------------------------------------------------------------------


def test_a_refused_file_has_failed_for_a_reason(ingest: Ingest):
    job = ingest(BAD, source="TOTALS")
    with acting(who="staff asha", why="sent anew"), all_tenants(reason="test"):
        services.file_refuse(file_id=file_of(job).pk)
    file = file_of(job)
    assert (file.state, file.decided_why) == ("failed", "sent anew")
    assert file.decided_at is not None
    assert audit() == []


@pytest.mark.parametrize("first", ["release", "refuse"])
def test_a_file_is_decided_about_once(ingest: Ingest, first: str):
    file = file_of(ingest(BAD, source="TOTALS"))
    with acting(why="x"), all_tenants(reason="test"):
        if first == "release":
            services.file_release(file_id=file.pk, now=timezone.now())
        else:
            services.file_refuse(file_id=file.pk)
        with pytest.raises(NotQuarantinedError):
            services.file_release(file_id=file.pk, now=timezone.now())
        with pytest.raises(NotQuarantinedError):
            services.file_refuse(file_id=file.pk)


def test_a_loaded_file_is_not_decided_about(ingest: Ingest):
    file = file_of(ingest(GOOD, source="TOTALS"))
    with pytest.raises(NotQuarantinedError), tenant_scope("t1"):
        services.file_refuse(file_id=file.pk)


def test_nobody_decides_without_a_reason(ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    with pytest.raises(IntegrityError, match="reason"), tenant_scope("t1"):
        services.file_refuse(file_id=file.pk)


def test_while_new_jobs_are_refused_nothing_is_released(ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    with all_tenants(reason="test"):
        switches.switch_set(
            scope="kind", name="ingest", is_accepting=False, reason="test"
        )
    switches._read.clear()
    with pytest.raises(switches.NotAcceptingError):
        release(file)
    file = again(file)
    assert file.state == "quarantined"


def test_a_payload_that_names_a_file_reopens_only_its_own(ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    payload = {**PAYLOAD, "file_id": file.pk}
    job = run(make_job("t1", kind="ingest", payload=payload))
    assert (job.state, job.error["code"]) == ("dead", "not_released")
    assert stored() == []
    file = again(file)
    assert file.state == "quarantined"


# --- The command ----------------------------------------------------------------------


def command(*words: str) -> str:
    out = StringIO()
    call_command("file", *words, stdout=out)
    return out.getvalue()


def test_files_are_listed_and_shown(ingest: Ingest):
    good, bad = ingest(GOOD, source="TOTALS"), ingest(BAD, path="b", source="TOTALS")
    head, *lines = command("ls").splitlines()
    assert head.split()[:3] == ["id", "tenant_id", "state"]
    assert [line.split()[2] for line in lines] == ["quarantined", "loaded"]
    (told,) = json.loads(command("ls", "--state", "quarantined", "--json"))
    assert (told["path"], told["fault_count"], told["job"]) == ("b", 2, str(bad.pk))
    assert command("ls", "--tenant", "t9") == "No files.\n"
    shown = command("show", str(file_of(bad).pk))
    assert "line 10: closing_balance, said: 9, found: 8.50" in shown
    assert "INR  SUCCESS  C  2  11.00" in shown
    shown = command("show", str(file_of(good).pk))
    assert "ACC2 ACC2/9: 0.005 to 1.005 KWD" in shown


def test_a_file_is_released_from_a_terminal(ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    with pytest.raises(CommandError, match="--reason"):
        command("release", str(file.pk), "--reason", " ")
    told = json.loads(command("release", str(file.pk), "--reason", "ok", "--json"))
    assert counts(run(reread(told["job"]))) == (4, 4, 0, 0, 0)
    file = again(file)
    assert file.decided_by.endswith("by manage.py file")
    with pytest.raises(CommandError, match="is not in quarantine"):
        command("release", str(file.pk), "--reason", "again")


def test_a_file_is_refused_from_a_terminal(ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    assert command("refuse", str(file.pk), "--reason", "no") == (
        f"File {file.pk} stays out.\n"
    )
    file = again(file)
    assert file.state == "failed"
    with pytest.raises(CommandError, match="There is no file 999999"):
        command("show", "999999")


def test_a_source_without_totals_is_never_put_aside(ingest: Ingest):
    assert "quarantined" not in ingest(text(row(1, amount="x"))).result
    with tenant_scope("t1"):
        assert not FileFault.objects.exists()
        assert not Statement.objects.exists()
