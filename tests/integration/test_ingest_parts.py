"""A file whose rows are dealt to two loaders: each row is written once all the same."""

import gc
import time
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from django.db import connection

from ingestion import handlers, loader
from ingestion.models import FilePart
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

#: In an order in which each chunk of four has ids of both parts.
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
        assert not FilePart.objects.exists()
    assert audit() == []


def test_every_chunk_has_rows_of_both_parts():
    ids = [line.partition(",")[0] for line in LINES]
    for start in range(0, len(LINES), 4):
        dealt = [crc32(i.encode()) % 2 for i in ids[start : start + 4] if i in GOOD]
        assert {*dealt} == {0, 1}


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


@pytest.mark.usefixtures("ingest")
@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("txn_id", GOOD)
def test_a_part_that_was_committed_before_another_failed_is_not_written_again(
    objects: Path, monkeypatch: pytest.MonkeyPatch, txn_id: str, is_written: bool
):
    """The part with this id breaks off, before its rows are written or behind them."""
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
    with all_tenants(reason="test"):
        written = dict(FilePart.objects.values_list("part", "line"))
    assert written.get(0, 0) != written.get(1, 0)  # one is further than the other
    check(run(job), objects)
