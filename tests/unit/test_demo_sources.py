"""The files of the demonstration: a good and a bad one of each source there is."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion.sources.base import Row, SourceError
from ingestion.sources.registry import SOURCES
from taskqueue_site import demo_reconciliation
from taskqueue_site.demo import SAMPLES
from taskqueue_site.demo_sources import FILES
from tests.corpus_cases import source_named

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]


def test_every_source_is_shown_once():
    dialects = (ROOT / "ingestion" / "dialects").glob("*.json")
    known = [*SOURCES, *(file.stem.upper() for file in dialects)]
    assert sorted(source for source, _, _ in FILES) == sorted(known)


def test_every_sample_is_shown():
    there = {f.name for f in (ROOT / "samples").iterdir() if f.is_file()}
    there -= {"README.md", "__init__.py", "generate.py"}
    shown = [name for _, *names in FILES for name in names]
    assert len(shown) == len(set(shown))
    compared = [name for name, _ in demo_reconciliation.FILES]
    assert {*shown, *SAMPLES, *compared} == there


def ids(source: str, name: str) -> set[str]:
    """Return the ids of a sample's rows, up to where it breaks off."""
    found: set[str] = set()
    try:
        for record in source_named(source).read(
            [(ROOT / "samples" / name).read_bytes()]
        ):
            if isinstance(record, Row):
                found.add(record.txn_id)
    except SourceError:
        pass
    return found


def test_no_two_samples_have_a_row_in_common():
    """They are loaded side by side, and nobody knows which of two comes first."""
    every = [ids(source, name) for source, *names in FILES for name in names]
    assert sum(map(len, every)) == len(set().union(*every)) > len(FILES)


def test_the_two_sides_that_are_compared_are_of_one_day_and_have_no_id_in_common():
    day = datetime.fromisoformat(demo_reconciliation.DAY["starts_at"])
    found: set[str] = set()
    for name, source in demo_reconciliation.FILES:
        rows = [
            record
            for record in source_named(source).read(
                [(ROOT / "samples" / name).read_bytes()]
            )
            if isinstance(record, Row)
        ]
        assert {(row.txn_timestamp - day).days for row in rows} == {0}
        assert len(rows) >= 20
        assert found.isdisjoint(row.txn_id for row in rows)
        found |= {row.txn_id for row in rows}


def run(**counts: Any) -> dict[str, Any]:
    """Return a job of a run as the API tells it."""
    whole = {
        "mode": "full",
        "rows": 41,
        "plain": 11,
        "matched": {"1": 2, "3": 3, "4": 2},
        "unmatched": 12,
    }
    return {"result": {**whole, **counts}}


REPORT = """mismatch_type,amount,notes,state
status,10.00,SUCCESS here,open
amount,1000.50,far apart,resolved
status,2.00,FAILED there,assigned
ambiguous,7.00,told as amount by now,closed
"""


def test_what_a_run_found_is_told_by_types():
    first, _, _, _, *lines = demo_reconciliation.summary(run(), REPORT)
    assert first == (
        "41 rows: 11 pairs plainly match, rules match 5 more rows and suggest a match "
        "of 2, 12 are left."
    )
    assert [line.split() for line in lines] == [
        ["amount", "1", "1,000.50", "far", "apart"],
        ["status", "2", "12.00", "SUCCESS", "here"],
    ]


def test_a_second_demonstration_says_that_nothing_came():
    first, *_ = demo_reconciliation.summary(run(mode="changes", rows=0), REPORT)
    assert first == "0 rows came since the day was compared last."
