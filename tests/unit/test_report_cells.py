"""What stands in the cells of a report."""

import csv
import io
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.masking import mask_account
from reconciliation.report_files import Progress, part_keys
from reconciliation.report_payloads import FILTERS, ReportFilters
from reconciliation.report_tables import TABLES, cell, head


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        ("", ""),
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        (Decimal("-12.50"), "-12.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.00"), "0.00"),
        (-7, "-7"),
        (date(2026, 4, 1), "2026-04-01"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (
            datetime(2026, 4, 1, 5, 30, tzinfo=timezone(timedelta(hours=5.5))),
            "2026-04-01T00:00:00Z",
        ),
        (datetime(2026, 4, 1, 0, 0, 0, 7, tzinfo=UTC), "2026-04-01T00:00:00.000007Z"),
    ],
)
def test_a_value_as_it_stands_in_the_file(value: Any, written: str):
    assert cell(value) == written


def test_what_is_masked_is_disarmed_as_well():
    assert cell("50100012345678", mask_account) == "••••5678"
    assert cell("x", lambda text: f"={text}") == "'=x"


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_no_text_starts_like_a_formula_unless_it_is_a_number(text: str):
    written = cell(text)
    if written[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        assert written.strip("+-0123456789.,") == ""
    assert written in {text, f"'{text}"}


@pytest.mark.parametrize("what", TABLES)
def test_the_head_is_the_columns(what: str):
    (row,) = csv.reader(io.StringIO(head(TABLES[what]).decode(), newline=""))
    assert row == list(TABLES[what].columns)
    assert head(TABLES[what]).endswith(b"\r\n")


def test_every_filter_has_its_condition_and_its_field():
    assert {what: set(table.filters) for what, table in TABLES.items()} == {
        what: set(names) for what, names in FILTERS.items()
    }
    fields = set(ReportFilters().fields)
    assert fields == {name for names in FILTERS.values() for name in names}


def test_parts_are_those_of_the_attempts_that_committed_them():
    progress = Progress(after=0, upto=9, window=1)
    for attempt in (4, 4, 9):
        progress = progress.with_part(attempt, rows=2, size=5)
    assert (progress.rows, progress.size, progress.parts) == (6, 15, 3)
    assert list(part_keys("f", progress)) == [
        *("f/000001-4.csv", "f/000002-4.csv", "f/000003-9.csv"),
    ]
