"""How records are cut into chunks."""

import pytest

from ingestion.reading import chunks
from tests.dialects import PAYMENTS, source

pytestmark = pytest.mark.unit


def test_a_fault_about_an_early_line_does_not_turn_a_chunk_back():
    """What is loaded is known by the last line: rows behind it would come again."""
    rows = [f"T{n},1.00,OK,2026-01-05" for n in range(6)]
    text = "\n".join(["Rows,7", "Txn ID,Amount,Status,Date", *rows])
    of = source(PAYMENTS, labels={"row_count": ["Rows"]})
    first, second = chunks(of.read([text.encode()]), parts=1, most_rows=4)
    assert (first.last_line, len(first.faults)) == (6, 0)
    assert [fault.line for fault in second.faults] == [1]
    assert second.last_line == 8
