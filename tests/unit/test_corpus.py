"""Every file of tests/corpus gets its verdict, whatever is wrong with it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion.sources.registry import SOURCES
from tests.corpus_cases import CORPUS, Case, cases, matches, read
from tests.corpus_files import ROOT

CASES = cases()
DIALECTS = {path.stem.upper() for path in (ROOT / "ingestion/dialects").glob("*.json")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_file_gets_its_verdict(case: Case):
    wanted = case.wanted
    found, rows, message = read(case)
    if matches(found.rows, case):
        found = replace(found, rows=wanted.rows)
    assert found == wanted, message
    assert case.told.get("says", "") in message
    values = {row.txn_id: row for row in rows}
    for txn_id, told in case.told.get("values", {}).items():
        row = values[txn_id]
        assert {name: shown(getattr(row, name)) for name in told} == told


def shown(value: Any) -> str:
    """Return a value as verdicts write it; moments are in UTC."""
    return str(value.astimezone(UTC) if isinstance(value, datetime) else value)


def test_there_is_a_case_for_every_source():
    assert {case.source for case in CASES} >= {*SOURCES, *DIALECTS}


def test_every_file_belongs_to_a_case():
    """A verdict whose name is mistyped would else leave its file untried."""
    told = {case.path for case in CASES}
    beside = {case.stored for case in CASES if "make" not in case.told}
    there = {path for path in CORPUS.glob("*/*") if path.is_file()}
    assert there == told | beside


def test_every_case_says_why():
    assert [case.name for case in CASES if not case.told.get("why")] == []


def test_there_are_more_than_a_hundred_cases():
    assert len(CASES) >= 100
