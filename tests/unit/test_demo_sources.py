"""The files of the demonstration: a good and a bad one of each source there is."""

from pathlib import Path

import pytest

from ingestion.sources.registry import SOURCES
from taskqueue_site.demo import SAMPLES
from taskqueue_site.demo_sources import FILES

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
