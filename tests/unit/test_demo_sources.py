"""The files of the demonstration: a good and a bad one of each source there is."""

from pathlib import Path

import pytest

from ingestion.sources.base import Row, SourceError
from ingestion.sources.registry import SOURCES
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
    assert {*shown, *SAMPLES} == there


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
