"""How records are cut into chunks."""

import threading
from itertools import count

import pytest

from ingestion.reading import Ahead, Chunk, chunks
from ingestion.sources.base import FileFault, Position, SourceError
from tests.dialects import PAYMENTS, source

pytestmark = pytest.mark.unit


def test_a_fault_about_an_early_line_does_not_turn_a_chunk_back():
    """What is loaded is known by the last line: rows behind it would come again."""
    rows = [f"T{n},1.00,OK,2026-01-05" for n in range(6)]
    text = "\n".join(["Rows,7", "Txn ID,Amount,Status,Date", *rows])
    of = source(PAYMENTS, labels={"row_count": ["Rows"]})
    first, second = chunks(of.read([text.encode()]), most_rows=4)
    assert (first.last_line, len(first.faults)) == (6, 0)
    assert [fault.line for fault in second.faults] == [1]
    assert second.last_line == 8


def test_no_more_than_one_chunk_is_read_ahead():
    read = []
    last = threading.Event()

    def reading():
        for number in range(4):
            read.append(number)
            yield chunk(number)
        last.set()

    with Ahead(reading()) as found:
        for number, item in enumerate(found):
            assert item.last_line == number
            assert len(read) <= number + 2
    assert last.is_set()


def test_who_stops_in_the_middle_does_not_wait_for_the_rest():
    with Ahead(chunk(number) for number in count()) as found:
        assert [next(found).last_line, next(found).last_line] == [0, 1]


def test_what_goes_wrong_ahead_is_raised_where_the_chunk_would_have_come():
    def reading():
        yield chunk(1)
        raise SourceError(FileFault.NOT_TEXT, "That is no text.")

    with Ahead(reading()) as found:
        assert next(found).last_line == 1
        with pytest.raises(SourceError):
            next(found)


def chunk(line):
    return Chunk([], [], [], [], Position(0, 1, {}), line)
