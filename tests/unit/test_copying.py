"""Rows survive COPY's text format, whatever their texts hold."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.copying import COLUMNS, NULL, copy_text
from ingestion.sources.base import Row, raw_json

pytestmark = pytest.mark.unit

UNESCAPED = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
#: What PostgreSQL stores as text: no NUL, no surrogates.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
rows = st.builds(
    Row,
    line=st.integers(1, 10**9),
    txn_id=text,
    source_txn_id=text,
    reference_id=st.none() | text,
    account_id=st.none() | text,
    counterparty_account=st.none() | text,
    vpa_or_ifsc=st.none() | text,
    amount=st.decimals(0, 10**15, places=2),
    currency=st.just("INR"),
    status=st.just("SUCCESS"),
    direction=st.just("D"),
    txn_timestamp=st.just(datetime(2026, 1, 5, tzinfo=UTC)),
    raw_row=st.dictionaries(text, text).map(raw_json),
    row_hash=st.binary(min_size=32, max_size=32),
)


def decoded(stream: bytes) -> list[dict[str, str | None]]:
    """Read the stream as COPY does."""
    *lines, last = stream.decode().split("\n")
    assert last == ""
    return [
        {
            name: None if field == NULL else unescaped(field)
            for name, field in zip(COLUMNS, line.split("\t"), strict=True)
        }
        for line in lines
    ]


def unescaped(field: str) -> str:
    return re.sub(
        r"\\(x[0-9a-f]{2}|.)",
        lambda found: UNESCAPED.get(found[1]) or chr(int(found[1][1:], 16)),
        field,
        flags=re.DOTALL,
    )


@given(st.lists(rows, max_size=4))
def test_what_is_read_back_is_what_was_written(written):
    for row, found in zip(written, decoded(copy_text(written)), strict=True):
        assert found["raw_row"] is not None
        assert json.loads(found["raw_row"]) == json.loads(row.raw_row)
        assert found["row_hash"] == f"\\x{row.row_hash.hex()}"
        assert Decimal(found["amount"] or "") == row.amount
        for name in ("txn_id", "source_txn_id", "reference_id", "account_id"):
            assert found[name] == getattr(row, name)
        assert found["counterparty_account"] == row.counterparty_account
        assert found["vpa_or_ifsc"] == row.vpa_or_ifsc
