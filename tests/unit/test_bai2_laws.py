"""Laws of the BAI2 reader that hold for every file."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.sources import bai2
from ingestion.sources.base import Fault, Row, SourceError, Statement
from tests.readings import records
from tests.statements import (
    assert_blocks_do_not_matter,
    assert_records_can_be_stored,
    assert_resuming_gives_the_rest,
)

pytestmark = pytest.mark.unit

FUNDS = ("", "0", "Z", "V,260107,", "S,1,2,3", "D,2,0,1,1,2")
reference = st.sampled_from(["", "17", "BANK-1", "INV 17"])
text = st.text("abcXYZ 019,.:-/", max_size=20).filter(
    lambda drawn: "/ " not in drawn and drawn.strip() == drawn and drawn[-1:] != "/"
)
transaction = st.fixed_dictionaries(
    {
        "code": st.sampled_from(["108", "195", "252", "475", "552", "698"]),
        "amount": st.integers(1, 10**12),
        "funds": st.sampled_from(FUNDS),
        "bank": reference,
        "customer": reference,
        "text": text,
        "more": st.lists(text, max_size=2),
    }
)
account = st.tuples(st.integers(-(10**9), 10**9), st.lists(transaction, max_size=4))
files = st.lists(st.lists(account, max_size=3), max_size=2)


def signed(drawn: dict[str, Any]) -> int:
    amount: int = drawn["amount"]
    return amount if drawn["code"] < "400" else -amount


def transaction_lines(drawn: dict[str, Any]) -> list[str]:
    head = ",".join(
        (
            "16",
            drawn["code"],
            str(drawn["amount"]),
            drawn["funds"],
            drawn["bank"],
            drawn["customer"],
            drawn["text"],
        )
    )
    return [head + "/", *(f"88,{more}/" for more in drawn["more"])]


def account_lines(number: int, drawn: Any) -> tuple[list[str], int]:
    opening, transactions = drawn
    closing = opening + sum(map(signed, transactions))
    lines = [f"03,9900{number},USD,010,{opening},,/", f"88,015,{closing},,/"]
    lines += [line for one in transactions for line in transaction_lines(one)]
    total = opening + closing + sum(one["amount"] for one in transactions)
    return [*lines, f"49,{total},{len(lines) + 1}/"], total


def a_file(groups: Any) -> list[str]:
    lines, file_total = ["01,SENDER,RECEIVER,260106,0200,1,,,2/"], 0
    for number, accounts in enumerate(groups):
        group = [f"02,R,O{number},1,26010{number + 1},2359,USD,2/"]
        group_total = 0
        for place, one in enumerate(accounts):
            told, total = account_lines(place, one)
            group += told
            group_total += total
        lines += [*group, f"98,{group_total},{len(accounts)},{len(group) + 1}/"]
        file_total += group_total
    return [*lines, f"99,{file_total},{len(groups)},{len(lines) + 1}/"]


odd_line = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        rb"""
stray text
88,more
88:EREF: 17
16,195,1/  16,195,2,,,/
16,195,5,D,9,1
16
49,1,1/
98,1,1,1/
99,1,1,1/
01,A,B,260101,,1,,,2/
02,R,O,4,260101,,,/
03,17,XYZ,010,1,,,abc/
03,9900,,/""".split(b"\n")
    ),
)


@st.composite
def damaged_files(draw) -> bytes:
    few = st.lists(st.lists(account, max_size=2), max_size=1)
    lines = [line.encode() for line in a_file(draw(few))]
    for line in draw(st.lists(odd_line, max_size=6)):
        lines.insert(draw(st.integers(1, len(lines))), line)
    if draw(st.booleans()):
        del lines[draw(st.integers(1, len(lines) - 1))]
    line_end: bytes = draw(st.sampled_from([b"\n", b"\r\n", b"\r", b"  \n"]))
    mark: bytes = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return mark + line_end.join(lines)


@settings(deadline=None)  # reads the file many times
@given(damaged_files(), st.lists(st.integers(0, 10**6), max_size=6))
def test_block_sizes_do_not_matter(data, cuts):
    assert_blocks_do_not_matter(bai2.read, data, cuts)


@settings(deadline=None)  # reads the file many times
@given(damaged_files())
def test_resuming_after_any_record_gives_the_rest(data):
    assert_resuming_gives_the_rest(bai2.read, data)


@given(damaged_files())
def test_records_are_in_order_and_fit_to_be_stored(data):
    assert_records_can_be_stored(records(bai2.read, [data]), size=len(data))


@given(st.binary(max_size=200), st.sampled_from([b"", b"01,A,B,260101,,1,,,2/\n"]))
def test_any_bytes_give_records_or_a_source_error(data, before):
    with suppress(SourceError):
        found = records(bai2.read, [before + data])
        assert_records_can_be_stored(found, size=len(before + data))


@given(files)
def test_good_files_round_trip(groups):
    data = "\n".join(a_file(groups)).encode()
    found = records(bai2.read, [data])
    assert [one.record for one in found if isinstance(one.record, Fault)] == []
    accounts = [one for accounts in groups for one in accounts]
    closings = [
        one.record.closing for one in found if isinstance(one.record, Statement)
    ]
    assert closings == [
        Decimal(opening + sum(map(signed, transactions))) / 100
        for opening, transactions in accounts
    ]
    drawn = [one for _, transactions in accounts for one in transactions]
    for row, one in zip([f.row for f in found if f.row], drawn, strict=True):
        assert row.amount == Decimal(one["amount"]) / 100
        assert row.direction == ("C" if one["code"] < "400" else "D")
        assert row.raw_row["bank_reference"] == one["bank"].strip()
        assert row.raw_row["customer_reference"] == one["customer"].strip()
        assert row.raw_row["text"] == "\n".join([one["text"], *one["more"]])


def rows_of(lines: list[str]) -> list[Row]:
    found = records(bai2.read, ["\n".join(lines).encode()])
    return [one.record for one in found if isinstance(one.record, Row)]


@given(files, st.integers(0, 10**6), st.text("abc16,/", max_size=6))
def test_damage_stays_local(groups, place, damage):
    """Replace any line but the first: transactions before it stay as they are.

    One that has just begun takes an odd line for its text. Behind it, those of other
    accounts stay, as long as the line was not their group's.
    """
    lines = a_file(groups)
    at = 1 + place % (len(lines) - 1)
    after = rows_of([*lines[:at], damage, *lines[at + 1 :]])
    begun = [n for n in range(at) if lines[n].startswith("16,")]
    later = [n for n in range(at + 1, len(lines)) if lines[n].startswith("02,")]
    for row in rows_of(lines):
        if row.line - 1 in begun[:-1] or (later and row.line > later[0]):
            assert row in after
