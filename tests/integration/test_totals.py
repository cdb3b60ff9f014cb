"""What a file says about itself: statements, totals, and faults of its controls."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingestion.models import FileFault, Statement
from jobs.audit import audit
from tenants.scoping import tenant_scope
from tests.arrange import run
from tests.integration.ingesting import Ingest, counts, file_of, interrupted, put
from tests.totals_source import statement

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("totals_sources"),
]

GOOD = statement("R|a|C|10.00", "R|b|D|2.50") + statement(
    "R|c|C|1.00", account="ACC2", number=9, opening="0.005", currency="KWD"
)
#: Its totals are two times not what it says.
BAD = GOOD + statement(
    "R|d|C|1.00", number=2, opening="7.50", closing="9", day="2026-01-18", count=4
)
DAY = datetime(2026, 1, 15, tzinfo=UTC)


def statements() -> list[Statement]:
    with tenant_scope("t1"):
        return list(Statement.objects.order_by("ordinal"))


def faults() -> list[tuple[Any, ...]]:
    with tenant_scope("t1"):
        rows = FileFault.objects.order_by("line", "control")
        return list(rows.values_list("line", "control", "expected", "found"))


FAULTS = [(10, "closing_balance", "9", "8.50"), (10, "row_count", "4", "1")]


# --- While it is loaded ---------------------------------------------------------------


def test_statements_are_kept_with_every_digit(ingest: Ingest):
    job = ingest(GOOD, source="LINES")
    assert counts(job) == (3, 3, 0, 0, 0)
    first, second = statements()
    assert (first.ordinal, first.line, first.account_id) == (1, 4, "ACC1")
    assert (first.statement_id, first.number, first.rows) == ("ACC1/1", 1, 2)
    assert (first.opening, first.closing) == (0, Decimal("7.50"))
    assert (first.credits, first.debits) == (Decimal("10.00"), Decimal("2.50"))
    assert str(first.closing_date) == "2026-01-15"
    assert (second.opening, second.closing) == (Decimal("0.005"), Decimal("1.005"))
    assert (job.result["statement_count"], job.result["fault_count"]) == (2, 0)
    assert audit() == []


def test_faults_of_a_file_that_is_loaded_at_once_are_kept_and_hinder_nothing(
    ingest: Ingest,
):
    job = ingest(BAD, source="LINES")
    assert counts(job) == (4, 4, 0, 0, 0)
    assert faults() == FAULTS
    assert job.result["fault_count"] == 2
    assert audit() == []


def test_the_first_hundred_faults_are_kept_and_all_are_counted(ingest: Ingest):
    job = ingest(statement(closing="1", count=2) * 70, source="LINES")
    assert job.result["fault_count"] == 140
    assert len(faults()) == 100
    assert faults()[-1] == (100, "row_count", "2", "0")
    assert audit() == []


def test_what_it_holds_is_added_up_by_currency_status_and_direction(ingest: Ingest):
    job = ingest(GOOD + statement("R|a|C|10.00", "R|e|C|x"), source="LINES")
    assert counts(job) == (5, 3, 1, 0, 1)
    assert file_of(job).totals == [
        ["INR", "SUCCESS", "C", 2, "20.00"],
        ["INR", "SUCCESS", "D", 1, "2.50"],
        ["KWD", "SUCCESS", "C", 1, "1.00"],
    ]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("step", range(5))
def test_an_interruption_neither_loses_nor_repeats_what_was_read(
    ingest: Ingest, objects: Any, monkeypatch: pytest.MonkeyPatch, step: int
):
    put(objects, BAD)
    payload = {"s3_path": "a.csv", "source": "LINES"}
    job = run(interrupted(payload, step, monkeypatch))
    assert counts(job) == (4, 4, 0, 0, 0)
    assert [(s.ordinal, s.line) for s in statements()] == [(1, 4), (2, 7), (3, 10)]
    assert faults() == FAULTS
    file = file_of(job)
    assert [entry[3] for entry in file.totals] == [2, 1, 1]
    assert (file.first_at, file.last_at) == (DAY, DAY + timedelta(days=3))
    assert audit() == []
