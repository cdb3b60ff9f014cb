"""Reports: exactly the rows that were asked for, whatever happens on the way."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.utils import timezone

from ingestion import storage
from ingestion.masking import mask_account, mask_id, mask_text
from ingestion.models import IngestedFile, Transaction
from jobs import runner, sweeps
from jobs.cancelling import jobs_cancel
from jobs.ledger import AttemptSupersededError
from jobs.models import Job, UsageEvent
from jobs.pruning import prune
from reconciliation import orders, report_files, report_handlers
from reconciliation.models import Profile, Reconciliation, Report
from reconciliation.report_payloads import check_report
from tenants.models import Tenant
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import (
    dispatch,
    make_file,
    make_job,
    make_tenant,
    make_transaction,
    reread,
    run,
)

pytestmark = pytest.mark.django_db(transaction=True)

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MAY = datetime(2026, 5, 1, tzinfo=UTC)
COLUMNS = (
    *("tenant_id", "source", "txn_id", "source_txn_id", "reference_id", "account_id"),
    *("counterparty_account", "vpa_or_ifsc", "amount", "currency", "direction"),
    *("status", "txn_timestamp", "created_at", "file_id"),
)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows are a page, and windows are nearly as small."""
    monkeypatch.setattr(report_handlers, "PAGE_ROWS", 3)
    monkeypatch.setattr(report_handlers, "_FIRST_WINDOW", 2)
    monkeypatch.setattr(report_handlers, "_WIDEST_WINDOW", 8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the object store, and the tenant t1."""
    place = FileSystemStorage(location=tmp_path)
    monkeypatch.setattr(storage, "storages", {"default": place})
    make_tenant("t1")
    return tmp_path


def fill(tenant: str, count: int = 17) -> IngestedFile:
    """Load a file of so many transactions, an hour apart, into a tenant."""
    file = make_file(tenant, job=make_job(tenant))
    for number in range(count):
        make_transaction(
            file,
            txn_id=f"MT940:50100012345678:{file.pk}:{number}",
            source_txn_id=("=1+1", "@x", "plain, with comma", 'a "b"')[number % 4],
            reference_id=(None, "+9", "-2+3", "two\r\nlines")[number % 4],
            amount=Decimal(number) + Decimal("0.50"),
            status=("SUCCESS", "FAILED")[number % 2],
            direction=("C", "D")[number % 3 == 0],
            source=("UPI", "NEFT")[number % 5 == 0],
            txn_timestamp=APRIL + timedelta(hours=number),
        )
    return file


def payload(what: str = "transactions", **changes: Any) -> dict[str, Any]:
    period = {"starts_at": APRIL.isoformat(), "ends_at": MAY.isoformat()}
    return {"what": what, **period, "filters": {}, **changes}


def order(tenant: str = "t1", what: str = "transactions", **changes: Any) -> Job:
    checked = check_report(tenant, payload(what, **changes))
    with tenant_scope(tenant):
        return orders.report_order(
            tenant_id=tenant, payload=checked, now=timezone.now()
        )


def content(job: Job) -> bytes:
    found = reread(job)
    assert found.state == "succeeded", found.error
    store = storage.store()
    item = store.stat(found.result["report_path"])
    told = b"".join(store.blocks(item, 0))
    assert found.result["size"] == len(told)
    return told


def read(job: Job) -> list[dict[str, str]]:
    text = content(job).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert reread(job).result["rows"] == len(rows)
    return rows


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def safe(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "@"} or text == "-2+3" else text


def expected(tenant: str = "t1", **wanted: Any) -> list[dict[str, str]]:
    """Read the same by the ORM, and write down each cell by itself."""
    with tenant_scope(tenant):
        rows = list(Transaction.objects.filter(**wanted).order_by("id"))
    return [
        {
            "tenant_id": tenant,
            "source": row.source,
            "txn_id": mask_id(row.txn_id),
            "source_txn_id": safe(row.source_txn_id),
            "reference_id": safe(row.reference_id or ""),
            "account_id": mask_account(row.account_id),
            "counterparty_account": mask_account(row.counterparty_account),
            "vpa_or_ifsc": mask_text(row.vpa_or_ifsc or ""),
            "amount": f"{row.amount:.2f}",
            "currency": row.currency,
            "direction": row.direction,
            "status": row.status,
            "txn_timestamp": utc(row.txn_timestamp),
            "created_at": utc(row.created_at),
            "file_id": str(row.file_id),
        }
        for row in rows
    ]


# --- What is in it --------------------------------------------------------------------


def test_it_is_what_the_database_says_in_each_store(store_url: str):
    make_tenant("t1")
    make_tenant("t2")
    fill("t1", 9)
    fill("t2", 5)
    fill("t1", 8)
    job = run(order())
    assert read(job) == expected()
    assert len(read(job)) == 17
    key = f"tenants/t1/reports/{job.pk}.csv"
    assert job.result == {
        "what": "transactions",
        "rows": 17,
        "size": len(content(job)),
        "report_path": key,
    }
    first, *_ = content(job).split(b"\r\n")
    assert first.decode() == ",".join(COLUMNS)


def test_no_part_is_left_and_the_row_says_what_was_written(folder: Path):
    fill("t1")
    job = run(order(filters={"status": "FAILED"}))
    assert [path.name for path in (folder / "tenants/t1/reports").iterdir()] == [
        f"{job.pk}.csv"
    ]
    with tenant_scope("t1"):
        row = Report.objects.get(job=job)
    assert (row.what, row.path) == ("transactions", job.result["report_path"])
    assert (row.rows, row.size) == (8, len(content(job)))
    assert row.finished_at is not None
    assert row.filters == {
        "starts_at": "2026-04-01T00:00:00.000000Z",
        "ends_at": "2026-05-01T00:00:00.000000Z",
        "status": "FAILED",
    }


def test_nothing_to_report_is_a_head_alone(folder: Path):
    job = run(order())
    assert content(job).decode() == ",".join(COLUMNS) + "\r\n"
    fill("t1")
    later = {"starts_at": "2026-04-20T00:00:00Z"}
    job = run(order(**later))
    assert (job.result["rows"], read(job)) == (0, [])


def test_the_period_begins_with_its_start_and_stops_before_its_end(folder: Path):
    fill("t1")
    ends = APRIL + timedelta(hours=5)
    job = run(order(ends_at=ends.isoformat()))
    assert len(read(job)) == 5
    assert read(job) == expected(txn_timestamp__lt=ends)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"source": "NEFT"}, {"source": "NEFT"}),
        ({"status": "SUCCESS"}, {"status": "SUCCESS"}),
        ({"direction": "D"}, {"direction": "D"}),
        ({"currency": "USD"}, {"currency": "USD"}),
        ({"account_id": "50100012345678"}, {}),
        ({"account_id": "50100012345679"}, {"account_id": "x"}),
        ({"amount_min": "3.50"}, {"amount__gte": "3.50"}),
        ({"amount_max": "3.50"}, {"amount__lte": "3.50"}),
        (
            {"amount_min": "3", "amount_max": "9", "status": "FAILED"},
            {"amount__gte": 3, "amount__lte": 9, "status": "FAILED"},
        ),
    ],
)
def test_each_filter_of_transactions(
    folder: Path, filters: dict[str, Any], wanted: dict[str, Any]
):
    fill("t1")
    assert read(run(order(filters=filters))) == expected(**wanted)


def test_a_file_is_a_filter(folder: Path):
    fill("t1", 3)
    file = fill_other()
    assert read(run(order(filters={"file_id": file.pk}))) == expected(file=file)


def fill_other() -> IngestedFile:
    file = make_file("t1", job=make_job("t1"), path="b.csv")
    make_transaction(file, txn_id="B1", txn_timestamp=APRIL)
    return file


def test_what_comes_after_the_start_is_not_in_it(folder: Path):
    file = fill("t1", 4)
    job = lost(order(), step=2)
    make_transaction(file, txn_id="LATE", txn_timestamp=APRIL)
    again(job)
    assert len(read(job)) == 4


# --- Mismatches and usage -------------------------------------------------------------


def make_profile(tenant: str = "t1", **values: Any) -> Profile:
    with tenant_scope(tenant):
        made: Profile = Profile.objects.create(
            **{
                "tenant_id": tenant,
                "name": "=upi",
                "internal_sources": ["LEDGER"],
                "external_sources": ["UPI"],
                **values,
            }
        )
    return made


def make_mismatch(profile: Profile | None = None, **values: Any) -> Reconciliation:
    with tenant_scope("t1"):
        made: Reconciliation = Reconciliation.objects.create(
            **{
                "tenant_id": "t1",
                "profile": profile,
                "mismatch_type": "amount",
                "created_at": APRIL,
                **values,
            }
        )
    return made


def test_mismatches_with_their_states(folder: Path):
    profile = make_profile()
    made = make_mismatch(
        profile,
        internal_txn_id="LEDGER:7",
        external_txn_id="MT940:50100012345678:1:2",
        internal_id=1,
        external_id=2,
        key="=key",
        day=date(2026, 4, 3),
        amount=Decimal("10.00"),
        difference=Decimal("-0.50"),
        currency="INR",
        notes="paid to asha.rao@okbank",
        state="approved",
        reason_code="timing",
        resolved_by="asha",
        resolved_at=APRIL,
        approved_by="navin",
        approved_at=MAY,
    )
    make_mismatch(profile, internal_id=3, day=date(2026, 4, 4))
    first, second = read(run(order(what="mismatches")))
    assert first == {
        "tenant_id": "t1",
        "id": str(made.pk),
        "profile": "'=upi",
        "mismatch_type": "amount",
        "state": "approved",
        "day": "2026-04-03",
        "internal_txn_id": "LEDGER:7",
        "external_txn_id": "MT940:••••5678:1:2",
        "key": "'=key",
        "amount": "10.00",
        "difference": "-0.50",
        "currency": "INR",
        "notes": "paid to as***@okbank",
        "reason_code": "timing",
        "resolved_by": "asha",
        "resolved_at": "2026-04-01T00:00:00Z",
        "approved_by": "navin",
        "approved_at": "2026-05-01T00:00:00Z",
        "created_at": "2026-04-01T00:00:00Z",
    }
    assert (second["state"], second["resolved_at"]) == ("open", "")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [1, 2, 3, 4]),
        ({"state": "resolved"}, [2]),
        ({"mismatch_type": "date"}, [3]),
        ({"profile": "=upi"}, [1, 2, 3]),
        ({"currency": "USD"}, [1]),
        ({"profile": "=upi", "state": "open", "mismatch_type": "amount"}, [1]),
    ],
)
def test_each_filter_of_mismatches(
    folder: Path, filters: dict[str, Any], found: list[int]
):
    profile = make_profile()
    ids = [
        made.pk
        for made in (
            make_mismatch(profile, currency="USD"),
            make_mismatch(profile, internal_id=2, state="resolved"),
            make_mismatch(profile, mismatch_type="date"),
            make_mismatch(make_profile(name="other")),
        )
    ]
    job = run(order(what="mismatches", filters=filters))
    assert [int(row["id"]) for row in read(job)] == [ids[n - 1] for n in found]


@pytest.mark.parametrize(
    ("cutoff", "begins"),
    [
        ("00:00", datetime(2026, 4, 2, 18, 30, tzinfo=UTC)),
        ("18:00", datetime(2026, 4, 2, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_mismatch_is_where_its_day_begins(
    folder: Path, cutoff: str, begins: datetime
):
    make_mismatch(make_profile(cutoff=cutoff), day=date(2026, 4, 3))
    moment = timedelta(microseconds=1)

    def count(starts: datetime, ends: datetime) -> int:
        period = {"starts_at": starts.isoformat(), "ends_at": ends.isoformat()}
        return len(read(run(order(what="mismatches", **period))))

    assert count(APRIL, begins) == 0
    assert count(APRIL, begins + moment) == 1
    assert count(begins, MAY) == 1
    assert count(begins + moment, MAY) == 0


def test_usage_with_the_kind_of_its_job(folder: Path):
    job, gone = make_job("t1"), UUID(int=1)
    with tenant_scope("t1"):
        for source, meter, of in (
            ("a", "rows", job.pk),
            ("=b", "bytes", job.pk),
            ("c", "rows", gone),
        ):
            UsageEvent.objects.create(
                tenant_id="t1",
                source=source,
                meter=meter,
                quantity=5,
                job_id=of,
                occurred_at=APRIL,
            )
    rows = read(run(order(what="usage")))
    assert rows[1] == {
        "tenant_id": "t1",
        "occurred_at": "2026-04-01T00:00:00Z",
        "meter": "bytes",
        "quantity": "5",
        "job_id": str(job.pk),
        "kind": "sleep",
        "source": "'=b",
    }
    assert [row["source"] for row in rows] == ["a", "'=b", "c"]
    assert rows[2]["kind"] == ""
    by_meter = read(run(order(what="usage", filters={"meter": "rows"})))
    assert [row["source"] for row in by_meter] == ["a", "c"]
    by_kind = read(run(order(what="usage", filters={"kind": "sleep"})))
    assert [row["source"] for row in by_kind] == ["a", "'=b"]


# --- Two tenants ----------------------------------------------------------------------


@pytest.mark.parametrize("what", ["transactions", "mismatches", "usage"])
def test_another_tenants_rows_are_in_no_report(folder: Path, what: str):
    make_tenant("t2")
    foreign = fill("t2", 5)
    with tenant_scope("t2"):
        profile = make_profile("t2")
        Reconciliation.objects.create(
            tenant_id="t2", mismatch_type="amount", profile=profile, created_at=APRIL
        )
        UsageEvent.objects.create(
            tenant_id="t2",
            source="x",
            meter="rows",
            quantity=1,
            job_id=foreign.job_id,
            occurred_at=APRIL,
        )
    assert read(run(order("t1", what))) == []
    assert {row["tenant_id"] for row in read(run(order("t2", what)))} == {"t2"}
    if what == "transactions":
        job = run(order("t1", filters={"file_id": foreign.pk}))
        assert read(job) == []


def test_another_tenants_profile_is_unknown(folder: Path):
    make_tenant("t2")
    make_profile("t2")
    with pytest.raises(ValueError, match="filters/profile: There is no profile"):
        order("t1", "mismatches", filters={"profile": "=upi"})


# --- What may happen on the way -------------------------------------------------------


def lost(job: Job, *, step: int) -> Job:
    """Lose the job's attempt before its so many-th step is committed, from 1."""
    real, done = runner._Attempt._commit, []

    def commit(attempt: Any, do: Any) -> Any:
        done.append(do)
        if len(done) == step:
            raise AttemptSupersededError(0)
        return real(attempt, do)

    attempt_id = dispatch(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner._Attempt, "_commit", commit)
        runner.run(attempt_ids=[attempt_id], worker="w1")
    assert len(done) == step, "it came to its end before"
    with all_tenants(reason="test"):
        sweeps.lose_of_worker(worker="w1", attempt_ids=[attempt_id], max_losses=3)
    return reread(job)


def again(job: Job) -> Job:
    return run(reread(job))


def steps_of(job: Job) -> int:
    real, done = runner._Attempt._commit, []

    def commit(attempt: Any, do: Any) -> Any:
        done.append(do)
        return real(attempt, do)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner._Attempt, "_commit", commit)
        run(job)
    return len(done)


def test_lost_at_any_step_it_is_whole_and_holds_nothing_twice(folder: Path):
    fill("t1", 11)
    undisturbed = order()
    steps = steps_of(undisturbed)
    assert steps > 5
    for step in range(1, steps + 1):
        job = again(lost(order(), step=step))
        assert content(job) == content(undisturbed), step
        left = {path.name for path in (folder / "tenants/t1/reports").iterdir()}
        assert {name for name in left if not name.endswith(".csv")} == set()


def test_what_a_lost_attempt_wrote_and_did_not_commit_does_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
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
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    fill("t1", 5)
    job = order()

    def away(*_: Any) -> None:
        raise storage.StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(storage.FolderStore, "write", away)
        failed = run(job)
    assert (failed.state, failed.error["code"]) == ("retryable", "store_unavailable")


def test_parts_that_are_gone_end_the_job(folder: Path):
    fill("t1", 5)
    job = lost(order(), step=4)
    storage.store().remove_folder(report_files.parts_key("t1", job.pk))
    dead = again(job)
    assert (dead.state, dead.error["code"]) == ("dead", "parts_gone")


def test_a_report_that_is_cancelled_leaves_no_part(
    folder: Path, monkeypatch: pytest.MonkeyPatch
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
    assert list((folder / "tenants/t1/reports").iterdir()) == []


def test_a_dead_report_with_another_payload_begins_anew(folder: Path):
    fill("t1", 5)
    job = order()
    with tenant_scope("t1"):
        report_handlers.forget_report(job.pk)
        Job.objects.filter(pk=job.pk).update(payload=payload(filters={"source": "UPI"}))
    run(job)
    with tenant_scope("t1"):
        assert Report.objects.get(job=job).filters["source"] == "UPI"


def test_no_call_of_the_store_is_made_in_a_transaction(
    folder: Path, monkeypatch: pytest.MonkeyPatch
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
    folder: Path,
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
    folder: Path, monkeypatch: pytest.MonkeyPatch, traced: None
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
