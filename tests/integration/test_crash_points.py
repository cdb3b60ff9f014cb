"""A process struck at any point: the job ends as if nothing had happened.

By default at a seeded sample of its SQL calls and lines; `make crash-points` takes all.
"""

import gzip
import io
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.utils import timezone

from ingestion import services, storage
from ingestion.loader import Counts
from ingestion.models import IngestedFile
from jobs import fencing, handlers, ledger
from jobs.handlers import Checkpoint
from jobs.models import Job
from jobs.statements import bound_pauses
from reconciliation import ranges, report_handlers
from tenants.acting import acting
from tenants.scoping import tenant_scope
from tests import totals_source
from tests.arrange import make_job, make_tenant, run
from tests.crash.bugs import BUGS
from tests.crash.enumeration import SEED, Enumeration, Report
from tests.crash.points import Fault, Point
from tests.crash.scenes import ATTEMPTS, STEPS
from tests.integration import test_ingest_camt, test_ingest_loaders
from tests.integration.dispatching import add_worker

pytestmark = pytest.mark.django_db(transaction=True)

Capture = pytest.CaptureFixture[str]

IS_LONG = os.environ.get("CRASH_POINTS") == "all"
KINDS = handlers.names()


_ROWS = [f"R|id{n}|C|1.00" for n in range(6)]
HOLDS = totals_source.statement(*_ROWS[:4], "R|id4|D|x") + totals_source.statement(
    *_ROWS[4:], number=2, opening="4.00"
)
DOES_NOT = HOLDS + totals_source.statement(closing="1", count=1)


def ingest(content: bytes, source: str) -> Callable[[str], Job]:
    """Return what stores a file for a tenant and enqueues its load."""

    def make(tenant: str) -> Job:
        storage.store().write(storage.object_key(tenant, "sample"), io.BytesIO(content))
        payload = {"s3_path": "sample", "source": source}
        return make_job(tenant, kind="ingest", payload=payload)

    return make


def release(tenant: str) -> Job:
    """Have a file put in quarantine, and return the job that loads it all the same."""
    run(ingest(DOES_NOT, "TOTALS")(tenant))
    with acting(who="staff asha", why="the bank confirmed it"), tenant_scope(tenant):
        file = IngestedFile.objects.get()
        return services.file_release(file_id=file.pk, now=timezone.now())


#: Files of which more is to be said than the sample of the kind says.
FILES: dict[str, Callable[[str], Job]] = {
    "totals that hold": ingest(HOLDS, "TOTALS"),
    "totals that do not": ingest(DOES_NOT, "TOTALS"),
    "released": release,
    "gzip": ingest(gzip.compress(test_ingest_loaders.CONTENT), "UPI"),
    "camt": ingest(test_ingest_camt.FILE.encode(), "CAMT053"),
    "two loaders": ingest(test_ingest_loaders.CONTENT, "UPI"),
}


@pytest.fixture(autouse=True)
def hasty(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No server is killed here, so what is committed need not be on its disk yet."""
    options = {"options": "-c synchronous_commit=off"}
    with monkeypatch.context() as patch:
        at = connection.settings_dict
        patch.setitem(at, "OPTIONS", {**at["OPTIONS"], **options})
        connection.close()
        yield
    connection.close()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """An empty folder as the object store, small steps, and a worker that is free."""
    folder = FileSystemStorage(location=tmp_path)
    monkeypatch.setattr(storage, "storages", {"default": folder})
    settings.INGEST_CHUNK_ROWS = 4
    monkeypatch.setattr(report_handlers, "PAGE_ROWS", 2)
    # The server ends a frozen loader after a minute, for which others wait.
    monkeypatch.setattr(fencing, "bound_pauses", lambda **_: bound_pauses(seconds=1))
    add_worker("shared", 10)


def check(enumeration: Enumeration, report: Report, capsys: Capture) -> None:
    with capsys.disabled():
        print(f"\n{report}; not compared: {report.not_compared}")
    assert report.violations == []
    # A slow moment makes a line more or less, so that the last ones may not be met.
    assert len(report.missed) <= len(enumeration.points) // 100, report.missed


def test_every_kind_has_a_sample():
    assert [name for name in KINDS if handlers.get(name).sample is None] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_is_of_several_steps(kind: str, monkeypatch: pytest.MonkeyPatch):
    done: list[Checkpoint] = []
    commit = ledger.commit_checkpoint

    def counting(assignment: Any, checkpoint: Checkpoint, **values: Any) -> None:
        done.append(checkpoint)
        commit(assignment, checkpoint, **values)

    monkeypatch.setattr(ledger, "commit_checkpoint", counting)
    assert run_sample(kind).state == "succeeded"
    assert len(done) >= 2


def test_rows_of_every_fate_are_in_the_sample_of_a_file():
    result = run_sample("ingest").result
    assert {name: result[name] for name in asdict(Counts())} == {
        "rows": 11,
        "inserted": 6,
        "duplicate": 2,
        "conflicting": 1,
        "rejected": 2,
    }


def run_sample(kind: str) -> Job:
    make_tenant("t1")
    sample = handlers.get(kind).sample
    assert sample is not None
    return run(make_job("t1", kind=kind, payload=sample("t1")))


def points_of(scene: str, enumeration: Enumeration) -> list[Point]:
    """Every point in the long form; else a draw, larger of what matters most.

    Who settles beside does the work of an attempt on the same way as who does it at
    once, and what a cut connection can spoil is what a death can.
    """
    if IS_LONG:
        return enumeration.some(calls=None, lines=None)
    if enumeration.fault is Fault.KILLED and scene != "settled beside":
        return enumeration.some(calls=40, lines=10 if scene in ATTEMPTS else 5)
    return enumeration.some(calls=6, lines=4)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("scene", ATTEMPTS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_attempt_struck_at_any_point_leaves_no_trace(
    kind: str, scene: str, fault: Fault, capsys: Capture
):
    enumeration = Enumeration(kind, scene, ATTEMPTS[scene], fault)
    report = enumeration.run(points_of(scene, enumeration))
    check(enumeration, report, capsys)


@pytest.fixture
def loaders(name: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Two loaders for a small file too, where they are what is tried out."""
    if name == "two loaders":
        monkeypatch.setattr("ingestion.handlers.SMALL_FILE_BYTES", 0)
        settings.INGEST_LOADERS = 2


@pytest.mark.usefixtures("totals_sources", "loaders")
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("name", FILES)
def test_a_load_of_a_file_struck_at_any_point_leaves_no_trace(
    name: str, fault: Fault, capsys: Capture
):
    scene = "settled at once"
    enumeration = Enumeration(
        "ingest", f"{name}, {scene}", ATTEMPTS[scene], fault, make=FILES[name]
    )
    few = None if IS_LONG else 5
    report = enumeration.run(enumeration.some(calls=few, lines=few))
    check(enumeration, report, capsys)


@pytest.mark.usefixtures("totals_sources", "loaders")
@pytest.mark.parametrize("name", ["two loaders"])
def test_the_threads_of_the_loaders_are_struck_too(name: str):
    scene = ATTEMPTS["settled at once"]
    killed = Enumeration("ingest", name, scene, Fault.KILLED, make=FILES[name])
    threads = {(point.thread, point.sort) for point in killed.points}
    assert {
        ("loader0_0", "sql"),
        ("loader1_0", "sql"),
        ("loader1_0", "line"),
    } <= threads


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small ranges of references, read along their index."""
    monkeypatch.setattr(ranges, "ROWS_IN_ORDER", 4)
    monkeypatch.setattr(ranges, "_is_in_order", lambda *_: True)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("fault", Fault)
def test_a_run_over_references_in_order_struck_at_any_point_leaves_no_trace(
    fault: Fault, capsys: Capture
):
    scene = ATTEMPTS["settled at once"]
    enumeration = Enumeration("reconcile", "in order", scene, fault)
    few = None if IS_LONG else 5
    report = enumeration.run(enumeration.some(calls=few, lines=few))
    check(enumeration, report, capsys)


@pytest.mark.parametrize("scene", STEPS)
def test_a_step_of_the_dispatcher_struck_at_any_point_leaves_no_trace(
    scene: str, capsys: Capture
):
    enumeration = Enumeration("sleep", scene, STEPS[scene], Fault.KILLED)
    report = enumeration.run(points_of(scene, enumeration))
    check(enumeration, report, capsys)


# --- The enumeration itself -----------------------------------------------------------


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_seen(name: str, monkeypatch: pytest.MonkeyPatch):
    bug = BUGS[name]
    with bug.planted(monkeypatch):
        scene = ATTEMPTS["settled at once"]
        enumeration = Enumeration(bug.kind, name, scene, bug.fault)
        points = enumeration.of("sql")
        random.Random(SEED).shuffle(points)
        report = enumeration.run(points, until_first=True)
    assert report.violations, report
