"""Laws that hold for readers of statements, whatever their format."""

import json
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise

from ingestion.sources.base import Position, Read, Reject, Row
from tests.readings import Found, records


def cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Return the data in blocks that end at the cuts, taken round its length."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def assert_blocks_do_not_matter(read: Read, data: bytes, cuts: Sequence[int]) -> None:
    whole = records(read, [data])
    assert records(read, cut(data, cuts)) == whole
    assert records(read, (data[i : i + 1] for i in range(len(data)))) == whole


def assert_resuming_gives_the_rest(read: Read, data: bytes) -> None:
    found = records(read, [data])
    start = Position.from_json(read([data]).position.to_json())
    assert records(read, [data], start) == found
    for index, record in enumerate(found, 1):
        stored = json.loads(json.dumps(record.position.to_json()))
        position = Position.from_json(stored)
        rest = records(read, [data[position.offset :]], position)
        assert rest == found[index:]


def assert_records_can_be_stored(found: Sequence[Found], *, size: int) -> None:
    """Lines only rise, those of what is stored by line never twice; texts are clean."""
    line = last = offset = 0
    for one in found:
        record = one.record
        assert record.line >= line
        line = record.line
        assert offset <= one.end_offset <= size
        offset = one.end_offset
        if isinstance(record, Row | Reject):
            assert record.line > last
            last = record.line
        if isinstance(record, Row):
            assert_row_can_be_stored(record)
        if isinstance(record, Reject):
            assert "\0" not in record.value
            assert record.value.isprintable()


def assert_row_can_be_stored(row: Row) -> None:
    names = (row.txn_id, row.source_txn_id, row.reference_id, row.account_id)
    others = (row.counterparty_account, row.vpa_or_ifsc)
    assert all(text is None or (text and text.isprintable()) for text in names + others)
    assert row.amount >= 0
    assert -row.amount.as_tuple().exponent == 2
    assert row.direction in ("C", "D")
    assert isinstance(json.loads(row.raw_row), dict)
    assert "\\u0000" not in row.raw_row
    assert len(row.row_hash) == 32


def count_calls(work: Callable[[], object]) -> int:
    """Return how many functions are called by some work, and how many return."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def calls(read: Read, data: bytes) -> tuple[int, int]:
    """Return how many functions a reading calls, and the size of its last position."""
    found: list[Found] = []
    count = count_calls(lambda: found.extend(records(read, [data])))
    return count, len(json.dumps(found[-1].position.to_json()))


def assert_work_is_linear(read: Read, a_file: Callable[[int], bytes]) -> None:
    """Twice the file takes twice the calls, and no more is known behind it."""
    few, small = calls(read, a_file(400))
    many, large = calls(read, a_file(800))
    assert many < 2.1 * few
    assert large <= small + 20
