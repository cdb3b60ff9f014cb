"""A file at which two loaders take turns: each row is written once all the same."""

import gc
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from ingestion import handlers, loader, recording
from ingestion.models import IngestedFile
from jobs.audit import audit
from jobs.ledger import AttemptSupersededError
from jobs.models import Job, UsageEvent
from tenants.scoping import all_tenants
from tests.arrange import make_job, run
from tests.integration.ingesting import (
    Ingest,
    counts,
    lose_attempt,
    put,
    rejects,
    row,
    stored,
    text,
)

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = (0, 4, 1, 5, 8, 6, 9, 7, 14, 10)
BAD = {1: {"amount": "x"}, 14: {"amount": "y"}}
#: Every fate: an id that is repeated, and one that is contradicted, in another chunk.
LINES = [
    *(row(n, **BAD.get(n, {})) for n in NUMBERS),
    row(0),
    row(4, amount="11.00"),
]
GOOD = [f"T{n}" for n in NUMBERS if n not in BAD]
CONTENT = text(*LINES)
COUNTS = (12, 8, 1, 1, 2)
PAYLOAD = {"s3_path": "a.csv", "source": "UPI"}


@pytest.fixture(autouse=True)
def side_by_side(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Two loaders for a file of any size, in small chunks."""
    monkeypatch.setattr(handlers, "SMALL_FILE_BYTES", 0)
    settings.INGEST_LOADERS = 2
    settings.INGEST_CHUNK_ROWS = 4


def check(job: Job, objects: Path) -> None:
    """Compare what came of the file with what is in it."""
    assert counts(job) == COUNTS
    assert [r["line"] for r in rejects(objects, job)] == ["4", "10"]
    assert [str(t.amount) for t in stored() if t.txn_id == "T4"] == ["10.00"]
    assert len(stored()) == 8
    with all_tenants(reason="test"):
        usage = UsageEvent.objects.filter(job=job, meter="rows")
        assert sum(usage.values_list("quantity", flat=True)) == 12
    assert audit() == []


def test_two_loaders_do_what_one_does(ingest: Ingest, objects: Path):
    check(ingest(CONTENT), objects)


def sessions() -> int:
    """Return how many connections the database has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )
        (found,) = cursor.fetchone()
    return int(found)


def test_the_loaders_leave_no_connection_behind(ingest: Ingest):
    before = sessions()
    gc.disable()  # in a worker too garbage may wait for long
    try:
        for n in range(3):
            counts(ingest(text(row(n)), path=f"{n}.csv"))
        for _ in range(100):
            if sessions() <= before:
                break
            time.sleep(0.05)  # the server's side of a connection ends a little later
        assert sessions() <= before
    finally:
        gc.enable()


def test_the_server_ends_a_loader_in_which_a_worker_freezes(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
):
    """Else the next attempt would wait for its rows until it thaws."""
    real, seen = loader.load, set()

    def load(*args: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            seen.add(cursor.fetchone())
        return real(*args)

    monkeypatch.setattr(loader, "load", load)
    assert counts(ingest(CONTENT)) == COUNTS
    assert seen == {("1min",)}


@pytest.mark.usefixtures("ingest")
@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("txn_id", GOOD)
def test_a_loader_that_fails_takes_nothing_along(
    objects: Path, monkeypatch: pytest.MonkeyPatch, txn_id: str, is_written: bool
):
    """The chunk with this id breaks off, before its rows are written or behind them."""
    put(objects, CONTENT)
    job = make_job("t1", kind="ingest", payload=PAYLOAD)
    real = loader.load

    def dies(target: Any, batch: Any, found: Any) -> Any:
        if txn_id not in batch.firsts:
            return real(target, batch, found)
        if is_written:
            real(target, batch, found)
        raise AttemptSupersededError(0)

    with monkeypatch.context() as patch:
        patch.setattr(loader, "load", dies)
        lose_attempt(job)
    assert txn_id not in {t.txn_id for t in stored()}
    check(run(job), objects)


@pytest.mark.usefixtures("ingest")
@pytest.mark.parametrize("chunk", range(3))
def test_a_chunk_committed_before_its_step_failed_is_not_written_again(
    objects: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    put(objects, CONTENT)
    job = make_job("t1", kind="ingest", payload=PAYLOAD)
    real, step = recording.record, count()

    def dies(*args: Any, **options: Any) -> Any:
        if next(step) == chunk:
            raise AttemptSupersededError(0)
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr("ingestion.loading.record", dies)
        lose_attempt(job)
    with all_tenants(reason="test"):
        file = IngestedFile.objects.get()
    assert file.rows >= 4 * (chunk + 1)  # the step was to be the one of this chunk
    assert file.inserted == len(stored())
    assert audit() == []
    check(run(job), objects)


def test_a_loader_waits_for_the_one_before(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
):
    """Of two rows with one id the first in the file wins, however slow its chunk is."""
    real = loader.load

    def load(target: Any, batch: Any, found: Any) -> Any:
        if "T0" in batch.firsts:
            time.sleep(0.3)
        return real(target, batch, found)

    monkeypatch.setattr(loader, "load", load)
    lines = [*(row(n) for n in range(4)), row(1, amount="11.00"), row(5)]
    assert counts(ingest(text(*lines))) == (6, 5, 0, 1, 0)
    assert {str(t.amount) for t in stored() if t.txn_id == "T1"} == {"10.00"}
