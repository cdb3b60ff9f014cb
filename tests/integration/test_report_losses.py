"""Reports: whatever happens on the way, no row is lost and none is there twice."""

import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from ingestion import storage
from jobs.cancelling import jobs_cancel
from jobs.models import Job
from jobs.pruning import prune
from reconciliation import report_files, report_handlers
from reconciliation.models import Report
from tenants.models import Tenant
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import (
    make_file,
    make_job,
    make_transaction,
    reread,
    run,
)
from tests.integration.reporting import (
    APRIL,
    again,
    content,
    expected,
    fill,
    fill_other,
    lost,
    order,
    payload,
    read,
    steps_of,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("small_pages"),
]


def test_lost_at_any_step_it_is_whole_and_holds_nothing_twice(objects: Path):
    fill("t1", 11)
    undisturbed = order()
    steps = steps_of(undisturbed)
    assert steps > 5
    for step in range(1, steps + 1):
        job = again(lost(order(), step=step))
        assert content(job) == content(undisturbed), step
        left = {path.name for path in (objects / "tenants/t1/reports").iterdir()}
        assert {name for name in left if not name.endswith(".csv")} == set()


def test_what_a_lost_attempt_wrote_and_did_not_commit_does_not_count(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    """A row that came in between makes the second part another than the first one."""
    monkeypatch.setattr(report_handlers, "_FIRST_WINDOW", 100)
    file = fill("t1", 5)
    # An id that was drawn early and committed late.
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute("SELECT nextval('fintech_transactions_id_seq')")
        ((early,),) = cursor.fetchall()
    fill_other()
    job = lost(order(), step=3)
    make_transaction(file, id=early, txn_id="EARLY", txn_timestamp=APRIL)
    assert read(again(job)) == expected()
    assert len(read(job)) == 7


def test_a_store_that_is_away_is_tried_again(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    fill("t1", 5)
    job = order()

    def away(*_: Any) -> None:
        raise storage.StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(storage.FolderStore, "write", away)
        failed = run(job)
    assert (failed.state, failed.error["code"]) == ("retryable", "store_unavailable")


def test_parts_that_are_gone_end_the_job(objects: Path):
    fill("t1", 5)
    job = lost(order(), step=4)
    storage.store().remove_folder(report_files.parts_key("t1", job.pk))
    dead = again(job)
    assert (dead.state, dead.error["code"]) == ("dead", "parts_gone")


def test_a_report_that_is_cancelled_leaves_no_part(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    fill("t1", 9)
    job = order()
    real = report_files.write_part

    def cancelling(*args: Any, **values: Any) -> int:
        with tenant_scope("t1"):
            jobs_cancel(job_ids=[job.pk])
        return real(*args, **values)

    monkeypatch.setattr(report_files, "write_part", cancelling)
    assert run(job).state == "cancelled"
    assert list((objects / "tenants/t1/reports").iterdir()) == []


def test_a_dead_report_with_another_payload_begins_anew(objects: Path):
    fill("t1", 5)
    job = order()
    with tenant_scope("t1"):
        report_handlers.forget_report(job.pk)
        Job.objects.filter(pk=job.pk).update(payload=payload(filters={"source": "UPI"}))
    run(job)
    with tenant_scope("t1"):
        assert Report.objects.get(job=job).filters["source"] == "UPI"


def test_no_call_of_the_store_is_made_in_a_transaction(
    objects: Path, monkeypatch: pytest.MonkeyPatch
):
    fill("t1", 9)
    seen: list[bool] = []
    for name in ("write", "stat", "remove_folder"):
        real = getattr(storage.FolderStore, name)

        def noting(*args: Any, real: Any = real) -> Any:
            seen.append(connection.in_atomic_block)
            return real(*args)

        monkeypatch.setattr(storage.FolderStore, name, noting)
    run(order())
    assert len(seen) > 5
    assert not any(seen)


# --- Pruning, and much of it ----------------------------------------------------------


def test_a_written_report_outlives_its_job_and_an_unfinished_one_does_not(
    objects: Path,
):
    fill("t1", 2)
    written, never = run(order()), order()
    with tenant_scope("t1"):
        jobs_cancel(job_ids=[never.pk])
        tenant = Tenant.objects.get()
    later = timezone.now() + timedelta(days=200)
    removed = sum(
        batch["unfinished reports"] for batch in prune(tenant=tenant, now=later)
    )
    assert removed == 1
    with tenant_scope("t1"):
        (left,) = Report.objects.select_related("job")
        assert (left.path, left.job) == (written.result["report_path"], None)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


_MANY = """
INSERT INTO fintech_transactions (tenant_id, source, txn_id, source_txn_id, account_id,
    amount, currency, status, direction, txn_timestamp, raw_row, file_id, row_hash)
SELECT 't1', 'UPI', 'T' || n, 'T' || n, '50100012345678', n, 'INR', 'SUCCESS', 'D',
       '2026-04-02', '{}', %(file)s, '\\x00' FROM generate_series(1, %(rows)s) n
"""


def test_a_large_report_takes_little_memory(
    objects: Path, monkeypatch: pytest.MonkeyPatch, traced: None
):
    rows = 100_000
    monkeypatch.setattr(report_handlers, "PAGE_ROWS", 20_000)
    monkeypatch.setattr(report_handlers, "_FIRST_WINDOW", 20_000)
    monkeypatch.setattr(report_handlers, "_WIDEST_WINDOW", 640_000)
    file = make_file("t1", job=make_job("t1"))
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute(_MANY, {"file": file.pk, "rows": rows})
    job = order()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    while reread(job).state == "queued":  # it gives its slot back on the way
        again(job)
    _, peak = tracemalloc.get_traced_memory()
    assert content(job).count(b"\r\n") == rows + 1
    assert reread(job).result["rows"] == rows
    assert peak - before < 12_000_000
