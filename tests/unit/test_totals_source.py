"""The format that other tests bring totals with keeps the laws of every reader."""

import json

import pytest

from ingestion.sources.base import Control, Fault, Position, Reject, Row, Statement
from tests.readings import records
from tests.totals_source import read, statement

pytestmark = pytest.mark.unit

FILE = (
    statement("R|a|C|10.00", "R|b|D|2.50|odd", "R|c|C|x", closing="9", count=7)
    + statement("R|d|C|1", number=2, opening="7.5")
    + b"S|ACC1|3|INR|0|2026-01-16\n"
)


def test_what_it_finds():
    found = [each.record for each in records(read, [FILE])]
    kinds = [type(record) for record in found]
    assert kinds == [
        *(Row, Row, Reject, Statement, Fault, Fault, Row, Statement),
        Fault,
    ]
    faults = [record.control for record in found if isinstance(record, Fault)]
    assert faults == [Control.CLOSING_BALANCE, Control.ROW_COUNT, Control.UNFINISHED]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_resuming_after_any_record_gives_the_rest(size: int):
    found = records(read, [FILE])
    for index, record in enumerate(found, 1):
        position = Position.from_json(json.loads(json.dumps(record.position.to_json())))
        rest = FILE[position.offset :]
        blocks = [rest[n : n + size] for n in range(0, len(rest), size)]
        assert records(read, blocks, position) == found[index:]
