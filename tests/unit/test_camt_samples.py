"""The ISO 20022 samples are read to what their page says."""

import re
from pathlib import Path

import pytest

from ingestion.sources.base import Fault, Reject, Row
from ingestion.sources.registry import source_get
from tests.readings import records

pytestmark = pytest.mark.unit
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TROUBLE = r"^\| `(camt\w+\.xml)` \| (\d+) \| `([^`]+)` \| (.+) \|$"


def read(name: str) -> list:
    source = source_get(name.partition("_")[0].upper())
    data = (SAMPLES / name).read_bytes()
    return [each.record for each in records(source.read, [data])]


def trouble(record) -> list[tuple[str, str, str]]:
    """Return what is wrong with a record, in the words of the page."""
    line = str(record.line)
    if isinstance(record, Reject):
        return [(line, str(record.column), f"`{record.reason}`")]
    if isinstance(record, Fault):
        told = f"{record.expected}, but {record.found}"
        return [(line, str(record.control), told)]
    flags = record.flags if isinstance(record, Row) else ()
    return [(line, flag.column, f"`{flag.reason}` (a flag)") for flag in flags]


@pytest.mark.parametrize(
    ("name", "rows"),
    [("camt052_sample.xml", 2), ("camt053_sample.xml", 7), ("camt054_sample.xml", 2)],
)
def test_the_good_samples_have_nothing_wrong(name, rows):
    found = read(name)
    assert [each for record in found for each in trouble(record)] == []
    assert sum(isinstance(record, Row) for record in found) == rows


@pytest.mark.parametrize("kind", ["052", "053", "054"])
def test_the_bad_samples_have_what_the_page_lists(kind):
    name = f"camt{kind}_bad.xml"
    page = (SAMPLES / "README.md").read_text()
    listed = [row[1:] for row in re.findall(TROUBLE, page, re.M) if row[0] == name]
    found = [each for record in read(name) for each in trouble(record)]
    assert listed
    assert sorted(found) == sorted(listed)
