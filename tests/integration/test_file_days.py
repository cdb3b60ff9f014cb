"""What files brought of each day: by what loaders added up, or else by their rows."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db.models import Max, Min

from ingestion.models import IngestedFile, Transaction
from reconciliation.models import FileDay
from tenants.scoping import all_tenants
from tests.arrange import make_tenant, run
from tests.integration.ingesting import Ingest
from tests.integration.two_sides import arrive, make_profile, order, ours
from tests.totals_source import statement

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("totals_sources"),
]

Days = set[tuple[int, str, str, int, Decimal]]

ONE_DAY = statement("R|a|C|10.00", "R|b|D|2.50") + statement(
    "R|c|C|1.00", account="ACC2", currency="KWD"
)
NEXT_DAY = statement("R|d|C|4.00", number=2, opening="7.50", day="2026-01-16")


def count() -> Days:
    """Run a profile that reads the files; returns what they brought, in their order."""
    make_profile(internal_sources=["LINES"], cutoff="18:00", time_zone="UTC")
    assert run(order()).state == "succeeded"
    with all_tenants(reason="test"):
        first = FileDay.objects.aggregate(first=Min("file_id"))["first"]
        return {
            (d.file_id - first, str(d.day), d.currency, d.rows, d.amount)
            for d in FileDay.objects.all()
        }


def forget_spans() -> None:
    """Let files be as those that were loaded before spans were noted."""
    with all_tenants(reason="test"):
        IngestedFile.objects.update(first_at=None, last_at=None)


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_file_of_one_day(ingest: Ingest, is_noted: bool):
    ingest(ONE_DAY, source="LINES")
    if not is_noted:
        forget_spans()
    assert count() == {
        (0, "2026-01-15", "INR", 2, Decimal("12.50")),
        (0, "2026-01-15", "KWD", 1, Decimal("1.00")),
    }


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_file_of_two_days(ingest: Ingest, is_noted: bool):
    ingest(statement("R|a|C|7.50") + NEXT_DAY, source="LINES")
    if not is_noted:
        forget_spans()
    assert count() == {
        (0, "2026-01-15", "INR", 1, Decimal("7.50")),
        (0, "2026-01-16", "INR", 1, Decimal("4.00")),
    }


def test_rows_that_an_earlier_file_brought_are_its_alone(ingest: Ingest):
    ingest(statement("R|a|C|7.50"), source="LINES", path="a.csv")
    ingest(statement("R|a|C|7.50", "R|b|C|1.00"), source="LINES", path="b.csv")
    assert count() == {
        (0, "2026-01-15", "INR", 1, Decimal("7.50")),
        (1, "2026-01-15", "INR", 1, Decimal("1.00")),
    }


def test_where_clocks_go_back_rows_are_counted_one_by_one():
    make_tenant("t1")
    make_profile(cutoff="02:30", time_zone="Europe/Berlin")
    first, between, last = (
        datetime(2026, 10, 25, *at, tzinfo=UTC) for at in ((0, 35), (1, 5), (12, 0))
    )
    arrive(
        *(ours(f"R{at}", at=at) for at in (first, between, last)),
        first_at=first,
        last_at=last,
        totals=[["INR", "SUCCESS", "C", 3, "30.00"]],
    )
    assert run(order()).state == "succeeded"
    with all_tenants(reason="test"):
        days = FileDay.objects.order_by("day").values_list("day", "rows")
        assert [(str(day), rows) for day, rows in days] == [
            ("2026-10-25", 1),
            ("2026-10-26", 2),
        ]


def test_what_a_file_brought_is_known_when_its_rows_are_gone(ingest: Ingest):
    ingest(statement("R|a|C|7.50"), source="LINES")
    with all_tenants(reason="test"):
        Transaction.objects.all().delete()
    assert count() == {(0, "2026-01-15", "INR", 1, Decimal("7.50"))}


def test_the_span_of_a_file_is_that_of_its_rows(ingest: Ingest):
    ingest(ONE_DAY + NEXT_DAY + statement("R|x|C|1", day="2026-01-11"), source="LINES")
    with all_tenants(reason="test"):
        file = IngestedFile.objects.get()
        moments = Transaction.objects.aggregate(
            first=Min("txn_timestamp"), last=Max("txn_timestamp")
        )
    assert (file.first_at, file.last_at) == (moments["first"], moments["last"])
    assert (file.last_at - file.first_at).days == 5
