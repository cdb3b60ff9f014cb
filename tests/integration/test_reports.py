"""Reports: exactly the rows that were asked for."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from jobs.models import UsageEvent
from reconciliation.models import Profile, Reconciliation, Report
from tenants.scoping import tenant_scope
from tests.arrange import (
    make_job,
    make_tenant,
    make_transaction,
    run,
)
from tests.integration.reporting import (
    APRIL,
    COLUMNS,
    MAY,
    again,
    content,
    expected,
    fill,
    fill_other,
    lost,
    order,
    read,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("small_pages"),
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


def test_no_part_is_left_and_the_row_says_what_was_written(objects: Path):
    fill("t1")
    job = run(order(filters={"status": "FAILED"}))
    assert [path.name for path in (objects / "tenants/t1/reports").iterdir()] == [
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


def test_nothing_to_report_is_a_head_alone(objects: Path):
    job = run(order())
    assert content(job).decode() == ",".join(COLUMNS) + "\r\n"
    fill("t1")
    later = {"starts_at": "2026-04-20T00:00:00Z"}
    job = run(order(**later))
    assert (job.result["rows"], read(job)) == (0, [])


def test_the_period_begins_with_its_start_and_stops_before_its_end(objects: Path):
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
    objects: Path, filters: dict[str, Any], wanted: dict[str, Any]
):
    fill("t1")
    assert read(run(order(filters=filters))) == expected(**wanted)


def test_a_file_is_a_filter(objects: Path):
    fill("t1", 3)
    file = fill_other()
    assert read(run(order(filters={"file_id": file.pk}))) == expected(file=file)


def test_what_comes_after_the_start_is_not_in_it(objects: Path):
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


def make_mismatch(profile: Profile, **values: Any) -> Reconciliation:
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


def test_mismatches_with_their_states(objects: Path):
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
    objects: Path, filters: dict[str, Any], found: list[int]
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
    objects: Path, cutoff: str, begins: datetime
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


def test_usage_with_the_kind_of_its_job(objects: Path):
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
def test_another_tenants_rows_are_in_no_report(objects: Path, what: str):
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


def test_another_tenants_profile_is_unknown(objects: Path):
    make_tenant("t2")
    make_profile("t2")
    with pytest.raises(ValueError, match="filters/profile: There is no profile"):
        order("t1", "mismatches", filters={"profile": "=upi"})
