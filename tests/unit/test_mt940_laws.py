"""Laws of the MT940 and MT942 readers that hold for every file."""

from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import mt940 as library
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.sources import mt940
from ingestion.sources.base import Fault, Row, SourceError, Statement
from tests.readings import records
from tests.statements import (
    assert_blocks_do_not_matter,
    assert_records_can_be_stored,
    assert_resuming_gives_the_rest,
)

pytestmark = pytest.mark.unit
START = date(2026, 1, 5)

amount = st.integers(1, 10**9).map(lambda cents: Decimal(cents) / 100)
details = st.lists(st.text("abcXYZ ?20/+.", max_size=30).map("x".__add__), max_size=3)
entry = st.fixed_dictionaries(
    {
        "days": st.integers(0, 400),
        "has_entry_date": st.booleans(),
        "mark": st.sampled_from(["C", "D", "RC", "RD"]),
        "funds": st.sampled_from(["", "R", "N"]),
        "amount": amount,
        "reference": st.sampled_from(["NONREF", "INV 17", "A/B-1", "1234567890123456"]),
        "bank": st.sampled_from(["", "BANK17"]),
        "below": st.sampled_from([[], ["more about it"]]),
        "details": details,
    }
)
statement = st.tuples(amount, st.lists(entry, max_size=5))
statements = st.lists(statement, min_size=1, max_size=3)
end = st.sampled_from(["\n", "\r\n", "\r"])


def money(value: Decimal) -> str:
    return f"{abs(value):.2f}".replace(".", ",")


def balance(value: Decimal) -> str:
    return f"{'C' if value >= 0 else 'D'}260105EUR{money(value)}"


def signed(drawn: dict[str, Any]) -> Any:
    return drawn["amount"] * (1 if drawn["mark"] in ("C", "RD") else -1)


def entry_lines(drawn: dict[str, Any]) -> list[str]:
    day = START + timedelta(days=drawn["days"])
    entry_date = f"{day:%m%d}" if drawn["has_entry_date"] else ""
    bank = f"//{drawn['bank']}" if drawn["bank"] else ""
    first = (
        f":61:{day:%y%m%d}{entry_date}{drawn['mark']}{drawn['funds']}"
        f"{money(drawn['amount'])}NTRF{drawn['reference']}{bank}"
    )
    info = "\n".join(drawn["details"])
    told = f":86:{info}".split("\n") if info else []
    return [first, *drawn["below"], *told]


def message(number: int, opening: Decimal, entries: list[dict[str, Any]]) -> list[str]:
    closing = opening + sum(map(signed, entries))
    return [
        f":20:REF{number}",
        ":25:50880050/0194777100",
        f":28C:{number}/1",
        f":60F:{balance(opening)}",
        *(line for drawn in entries for line in entry_lines(drawn)),
        f":62F:{balance(closing)}",
        "-",
    ]


def a_file(drawn: Any, line_end: str = "\n") -> bytes:
    lines = [line for n, one in enumerate(drawn, 1) for line in message(n, *one)]
    return line_end.join([*lines, ""]).encode()


odd_line = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        rb"""-
-}

{1:F01X}{4:
{1:F01X}{4::20:Y
:99Z:x
:61:260230C1,00NTRFX
:86:
:86:text
:62M:C260105EUR1,
:90C:1EUR5,
:34F:EURD5,
:13D:2601051200+0100
:60M:C260105USD1,00
:20:Z
:65:C260105EUR1,00-}
:NS:01x
ABNANL2A
940""".split(b"\n")
    ),
)
few = st.lists(st.tuples(amount, st.lists(entry, max_size=2)), min_size=1, max_size=2)
good_lines = few.map(lambda drawn: a_file(drawn).split(b"\n"))


@st.composite
def damaged_files(draw) -> bytes:
    lines: list[bytes] = draw(good_lines)
    for line in draw(st.lists(odd_line, max_size=6)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    if draw(st.booleans()):
        del lines[draw(st.integers(0, len(lines) - 1))]
    line_end: bytes = draw(st.sampled_from([b"\n", b"\r\n", b"\r", b"@@"]))
    mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return line_end.join([mark + b":20:A", *lines])


reads = st.sampled_from([mt940.read_940, mt940.read_942])


@settings(deadline=None)  # reads the file many times
@given(reads, damaged_files(), st.lists(st.integers(0, 10**6), max_size=6))
def test_block_sizes_do_not_matter(read, data, cuts):
    assert_blocks_do_not_matter(read, data, cuts)


@settings(deadline=None)  # reads the file many times
@given(reads, damaged_files())
def test_resuming_after_any_record_gives_the_rest(read, data):
    assert_resuming_gives_the_rest(read, data)


@given(reads, damaged_files())
def test_records_are_in_order_and_fit_to_be_stored(read, data):
    assert_records_can_be_stored(records(read, [data]), size=len(data))


@given(reads, st.binary(max_size=200), st.sampled_from([b"", b":20:X\n", b"\n:61:"]))
def test_any_bytes_give_records_or_a_source_error(read, data, before):
    with suppress(SourceError):
        found = records(read, [before + data])
        assert_records_can_be_stored(found, size=len(before + data))


@given(statements, end)
def test_good_statements_round_trip(drawn, line_end):
    found = [one.record for one in records(mt940.read_940, [a_file(drawn, line_end)])]
    assert not [record for record in found if isinstance(record, Fault)]
    rows = [record for record in found if isinstance(record, Row)]
    given_entries = [one for _, entries in drawn for one in entries]
    assert len(rows) == len(given_entries)
    for row, one in zip(rows, given_entries, strict=True):
        assert row.amount == one["amount"]
        assert row.direction == ("C" if one["mark"] in ("C", "RD") else "D")
        assert row.status == ("REVERSED" if "R" in one["mark"] else "SUCCESS")
        day = START + timedelta(days=one["days"])
        assert (row.txn_timestamp + timedelta(hours=5, minutes=30)).date() == day
    closings = [one.closing for one in found if isinstance(one, Statement)]
    assert closings == [
        opening + sum(map(signed, entries)) for opening, entries in drawn
    ]


@given(statements)
def test_the_library_reads_the_same(drawn):
    """It reads whole files; where both find an entry they must not differ."""
    data = a_file(drawn)
    options = library.Options(reversal_sign=True)
    theirs = [
        one
        for found in library.parse_statements(data.decode(), options=options)
        for one in found.transactions
        if "amount" in one.data
    ]
    ours = [one.record for one in records(mt940.read_940, [data])]
    rows = [record for record in ours if isinstance(record, Row)]
    assert [
        (row.amount if row.direction == "C" else -row.amount, row.currency)
        for row in rows
    ] == [(one.data["amount"].amount, one.data["amount"].currency) for one in theirs]
    for row, one in zip(rows, theirs, strict=True):
        booked = one.data.get("entry_date") or one.data["date"]
        moment = row.txn_timestamp + timedelta(hours=5, minutes=30)
        assert moment.date() == date(booked.year, booked.month, booked.day)


def rows_of(lines: list[bytes]) -> list[Row]:
    found = records(mt940.read_940, [b"\n".join(lines)])
    return [one.record for one in found if isinstance(one.record, Row)]


@given(statements, st.integers(0, 10**6), st.text("abc:-{/", max_size=5))
def test_damage_stays_local(drawn, place, damage):
    """Replace any line but the first: other entries of other lines stay as they are.

    A line that begins no entry any more is text of the one before. What stands in a
    damaged heading, such as the currency, is of all entries of its statement.
    """
    lines = a_file(drawn).split(b"\n")
    at = 1 + place % (len(lines) - 1)
    after = rows_of([*lines[:at], damage.encode(), *lines[at + 1 :]])
    entries = [n for n in range(at) if lines[n].startswith(b":61:")]
    later = [n for n in range(at + 1, len(lines)) if lines[n].startswith(b":20:")]
    for row in rows_of(lines):
        if row.line - 1 in entries[:-1] or (later and row.line > later[0]):
            assert row in after
