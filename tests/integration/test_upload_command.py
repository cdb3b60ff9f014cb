"""`manage.py upload`: files brought for a tenant and followed, or one copied."""

import json
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ingestion.management.commands import upload
from jobs.models import Job
from taskqueue_site.settings import _object_store
from tenants.scoping import all_tenants
from tests.arrange import make_tenant, run
from tests.integration.ingesting import row, text
from tests.integration.test_totals import BAD

pytestmark = pytest.mark.django_db(transaction=True)

LOAD = ("--tenant", "t1", "--source", "UPI")


@pytest.fixture(autouse=True)
def objects(settings: Any, tmp_path: Path) -> Path:
    """An empty folder as the object store, and the tenant t1."""
    folder = tmp_path / "objects"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": _object_store(folder.as_uri()),
    }
    make_tenant("t1")
    return folder


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """A good file, and one that no reader knows."""
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(text(row(1), row(2)))
    bad.write_bytes(b"what is this\n")
    return [str(good), str(bad)]


def typed(*words: str) -> tuple[str, str]:
    """Run the command; returns what it prints and what it tells beside."""
    out, beside = StringIO(), StringIO()
    call_command("upload", *words, stdout=out, stderr=beside)
    return out.getvalue(), beside.getvalue()


def jobs() -> list[Job]:
    with all_tenants(reason="test"):
        return list(Job.objects.order_by("id"))


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what is queued while the command sleeps, as a worker would."""

    def work(_: float) -> None:
        for job in jobs():
            if job.state == "queued":
                run(job)

    monkeypatch.setattr(upload, "sleep", work)


def test_files_are_loaded_and_their_jobs_printed(files: list[str], objects: Path):
    out, beside = typed(*LOAD, *files)
    found = jobs()
    assert out.splitlines() == [str(job.pk) for job in found]
    assert beside == ""
    for job, file in zip(found, files, strict=True):
        assert job.payload["source"] == "UPI"
        assert job.payload["s3_path"].endswith(f"/{Path(file).name}")
        kept = objects / "tenants/t1" / job.payload["s3_path"]
        assert kept.read_bytes() == Path(file).read_bytes()


def test_as_json(files: list[str]):
    told = json.loads(typed(*LOAD, files[0], "--json")[0])
    (job,) = jobs()
    assert told == [
        {"job": str(job.pk), "s3_path": job.payload["s3_path"], "state": "queued"}
    ]


@pytest.mark.usefixtures("at_work")
def test_it_waits_for_the_end(files: list[str]):
    out, beside = typed(*LOAD, files[0], "--wait")
    (job,) = jobs()
    assert job.state == "succeeded"
    assert out == f"{job.pk}\n"
    first, *_, last = beside.splitlines()
    assert first == f"{job.pk}  queued"
    assert last.startswith(f"{job.pk}  succeeded: ")
    became = {name: job.result[name] for name in ("inserted", "rejected")}
    assert f"{job.result['rows']:,} rows" in last
    assert all(f"{n:,} {name}" in last for name, n in became.items() if n)


@pytest.mark.usefixtures("at_work")
def test_if_one_dies_it_says_why_and_fails(files: list[str]):
    with pytest.raises(CommandError) as caught:
        typed(*LOAD, *files, "--wait")
    good, bad = jobs()
    assert (good.state, bad.state) == ("succeeded", "dead")
    assert str(caught.value) == (
        f"{bad.payload['s3_path']} is dead: {bad.error['message']}"
    )


def test_what_came_before_a_refusal_is_told(files: list[str], tmp_path: Path):
    out, beside = StringIO(), StringIO()
    missing = str(tmp_path / "missing.csv")
    with pytest.raises(CommandError, match=r"missing\.csv: .*No such file"):
        call_command(
            "upload", *LOAD, files[0], missing, files[1], stdout=out, stderr=beside
        )
    (job,) = jobs()
    assert out.getvalue() == f"{job.pk}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("t1",),
        ("t1", "a.csv", "b.csv"),
        ("t1", "a.csv", "--wait"),
        ("--tenant", "t1", "a.csv"),
        ("--source", "UPI", "t1", "a.csv"),
        (*LOAD, "a.csv", "--as", "b.csv"),
        (*LOAD, "a.csv", "--replace"),
    ],
)
def test_a_mixture_of_both_forms_is_refused(words: tuple[str, ...]):
    with pytest.raises(CommandError, match=r"^Give --tenant SLUG --source SOURCE"):
        typed(*words)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"--tenant": "t9"}, "There is no tenant 't9'"),
        ({"--source": "NOPE"}, "Unknown source 'NOPE'"),
    ],
)
def test_an_unknown_name_is_told(files: list[str], changes: Any, told: str):
    words = {"--tenant": "t1", "--source": "UPI", **changes}
    pairs = [word for pair in words.items() for word in pair]
    with pytest.raises(CommandError, match=told):
        typed(*pairs, files[0])
    assert jobs() == []


# --- Copies ---------------------------------------------------------------------------


def test_a_copy_replaces_only_what_it_is_told_to(files: list[str], objects: Path):
    good, bad = files
    typed("t1", good, "--as", "in/a.csv")
    kept = objects / "tenants/t1/in/a.csv"
    with pytest.raises(CommandError, match=r"in/a\.csv is there already\. .*--replace"):
        typed("t1", bad, "--as", "in/a.csv")
    assert kept.read_bytes() == Path(good).read_bytes()
    typed("t1", bad, "--as", "in/a.csv", "--replace")
    assert kept.read_bytes() == Path(bad).read_bytes()
    assert jobs() == []


def test_folders_of_loads_are_not_open(files: list[str], objects: Path):
    with pytest.raises(CommandError, match="kept for what jobs leave behind"):
        typed("t1", files[0], "--as", "rejects/a.csv")
    assert not objects.exists()


def test_two_at_once_do_not_replace_each_other(files: list[str], objects: Path):
    refused: list[CommandError] = []

    def copy(file: str) -> None:
        try:
            typed("t1", file, "--as", "a.csv")
        except CommandError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=copy, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    kept = (objects / "tenants/t1/a.csv").read_bytes()
    assert kept in [Path(file).read_bytes() for file in files]


@pytest.mark.usefixtures("at_work", "totals_sources")
def test_a_file_in_quarantine_is_told_of(tmp_path: Path):
    file = tmp_path / "bad.txt"
    file.write_bytes(BAD)
    words = ("--tenant", "t1", "--source", "TOTALS", str(file), "--wait")
    assert "succeeded, the file is in quarantine" in typed(*words)[1]
