"""Laws of the UPI reader that hold for every file, searched with random files."""

import csv
import io
import json
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.sources import upi
from ingestion.sources.base import Position, Reason, SourceError
from tests.readings import Found, records
from tests.statements import assert_work_is_linear

pytestmark = pytest.mark.unit
HEADER = (
    b"txn_id,rrn,payer_vpa,payee_vpa,amount,currency,status,txn_timestamp,remarks\n"
)
FRAMING = {Reason.UNCLOSED_QUOTE, Reason.MALFORMED_CSV, Reason.WRONG_FIELD_COUNT}

name = st.text("abcXYZ019._-", min_size=2, max_size=9)
moment = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
payment = st.fixed_dictionaries(
    {
        "txn_id": st.text("abcXYZ019._/-", min_size=1, max_size=64),
        "rrn": st.text("0123456789", min_size=12, max_size=12),
        "payer": name,
        "payee": name,
        "paise": st.integers(1, 10**18 - 1),
        "style": st.sampled_from(["plain", "western", "indian"]),
        "status": st.sampled_from(["SUCCESS", "FAILED", "PENDING", "REVERSED"]),
        "moment": moment,
        "offset": st.sampled_from([None, "Z", "+05:30", "-0800"]),
        "remarks": st.text(
            st.sampled_from('ab",\n é\u0301😀;\t') | st.characters(codec="utf-8")
        ).map(lambda text: text.replace("\0", "")),
    }
)
OFFSETS = {
    None: timedelta(hours=5, minutes=30),
    "Z": timedelta(),
    "+05:30": timedelta(hours=5, minutes=30),
    "-0800": timedelta(hours=-8),
}


def amount_text(paise: int, style: str) -> str:
    whole, cents = divmod(paise, 100)
    if style == "western":
        return f"{whole:,}.{cents:02d}"
    if style == "indian" and whole >= 1000:
        head, tail = str(whole)[:-3], str(whole)[-3:]
        first = len(head) % 2 or 2
        pairs = [head[i : i + 2] for i in range(first, len(head), 2)]
        return ",".join([head[:first], *pairs, tail]) + f".{cents:02d}"
    return f"{whole}.{cents:02d}"


def cells(drawn: dict) -> list[str]:
    return [
        drawn["txn_id"],
        drawn["rrn"],
        drawn["payer"] + "@okaxis",
        drawn["payee"] + "@ybl",
        amount_text(drawn["paise"], drawn["style"]),
        "INR",
        drawn["status"],
        drawn["moment"].isoformat(" ", "microseconds") + (drawn["offset"] or ""),
        drawn["remarks"],
    ]


def csv_bytes(rows: list[list[str]], end: str = "\n") -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows(rows)
    return out.getvalue().replace("\n", end).encode()


# The csv module quotes no lone CR when lines end in LF, and the reader refuses it.
good_cells = payment.map(cells).filter(lambda row: "\r" not in row[-1])
good_line = good_cells.map(lambda row: csv_bytes([row]))
bad_line = st.one_of(
    st.binary(max_size=30).map(lambda data: data + b"\n"),
    good_line.map(lambda line: line.replace(b"okaxis", b"")),
    good_line.map(lambda line: line[:-1] + b'"\n'),
    st.sampled_from([b"\n", b"\r\n", b'"\n', b",,,,,,,,\n", b'a,"b\n', b'x","\n']),
)
a_file = st.lists(good_line | bad_line, max_size=8).map(
    lambda lines: HEADER + b"".join(lines)
)
good_file = st.lists(good_line, min_size=1, max_size=6).map(
    lambda lines: HEADER + b"".join(lines)
)


def read(data: bytes, resume: Position | None = None) -> list[Found]:
    return records(upi.read, [data], resume)


@given(a_file, st.lists(st.integers(0, 10**6), max_size=6))
def test_block_sizes_do_not_matter(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    blocks = [data[start:end] for start, end in pairwise(edges)]
    assert records(upi.read, blocks) == read(data)
    singly = (data[i : i + 1] for i in range(len(data)))
    assert records(upi.read, singly) == read(data)


@given(a_file)
def test_resuming_after_any_record_gives_the_rest(data):
    found = read(data)
    for index, record in enumerate(found, 1):
        stored = json.loads(json.dumps(record.position.to_json()))
        position = Position.from_json(stored)
        assert read(data[position.offset :], position) == found[index:]


@given(a_file)
def test_every_record_is_a_row_or_a_reject_in_file_order(data):
    places = [(1, len(HEADER))]
    for record in read(data):
        assert (record.row is None) != (record.reject is None)
        assert record.line < record.next_line
        assert record.line > places[-1][0]
        assert record.end_offset > places[-1][1]
        assert record.next_line == 1 + data[: record.end_offset].count(b"\n") + (
            not data[: record.end_offset].endswith(b"\n")
        )
        places.append((record.line, record.end_offset))
        if record.reject:
            assert "\0" not in record.reject.value
            assert record.reject.value.encode().decode().isprintable()


@given(st.lists(payment, max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_valid_rows_round_trip(drawn, end):
    drawn = [d for d in drawn if "\r" not in d["remarks"]]
    data = HEADER + csv_bytes([cells(d) for d in drawn], end)
    for record, given_row in zip(read(data), drawn, strict=True):
        row = record.row
        assert row is not None, record.reject
        assert row.txn_id == given_row["txn_id"]
        assert row.reference_id == given_row["rrn"]
        assert row.vpa_or_ifsc == given_row["payee"].lower() + "@ybl"
        assert row.amount == Decimal(given_row["paise"]) / 100
        assert row.amount.as_tuple().exponent == -2
        assert row.status == given_row["status"]
        local = given_row["moment"].replace(tzinfo=UTC)
        assert row.txn_timestamp == local - OFFSETS[given_row["offset"]]
        assert row.raw_row["remarks"] == given_row["remarks"].replace("\n", end)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_records_or_a_source_error(data, with_header):
    with nullcontext() if with_header else suppress(SourceError):
        read(HEADER + data if with_header else data)


def spans(found: list[Found]) -> list[tuple[int, int, Found]]:
    """Return (start, end, record): where each record lies in its file."""
    ends = [len(HEADER), *(record.end_offset for record in found)]
    return [(*span, record) for span, record in zip(pairwise(ends), found, strict=True)]


def is_whole(record: Found, lines: int) -> bool:
    """Return whether lines were joined to a record with the right number of fields."""
    return lines > 1 and (record.reject is None or record.reject.reason not in FRAMING)


@given(
    good_file,
    st.integers(0, 10**6),
    st.integers(0, 3),
    st.binary(max_size=4) | st.text('",\n\ra', max_size=4).map(str.encode),
)
def test_damage_costs_only_the_rows_it_touches(data, place, removed, inserted):
    """Replace any few bytes after the header by any others.

    A row none of whose bytes was touched is read as before. The one exception: the
    damage, or the row it hit, opens a quote that a later row's quote closes so that
    all lines between form one well-formed record with the right number of fields; then
    that record holds the row.
    """
    at = len(HEADER) + place % (len(data) - len(HEADER) + 1)
    until = min(at + removed, len(data))
    shift = len(inserted) - (until - at)
    after = spans(read(data[:at] + inserted + data[until:]))
    found = {(end, record.row.row_hash) for _, end, record in after if record.row}
    hit_until = until
    for start, end, record in spans(read(data)):
        if end > at and start <= until:
            hit_until = max(hit_until, end)
            continue
        moved = shift if start >= until else 0
        if (end + moved, record.row.row_hash) in found:
            continue
        assert any(
            is_whole(other, other.next_line - other.line)
            and s <= hit_until + shift
            and s <= start + moved
            and end + moved <= e
            for s, e, other in after
        ), record


@given(a_file)
def test_the_quick_way_agrees_with_the_careful_one(data):
    quick = read(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upi.UpiLayout, "quick", lambda *_: None)
        assert read(data) == quick


@given(a_file)
def test_a_refused_row_behind_the_head_is_refused_again_for_the_same(data):
    for record in read(data):
        if record.reject is None:
            continue
        assert record.reject.raw.removesuffix(b"\n") in data
        alone = upi.head([data]) + record.reject.raw
        (again,) = read(alone)
        assert again.reject == record.reject._replace(line=2)


GOOD = b"T1,600000000001,a@okaxis,b@ybl,10.00,INR,SUCCESS,2026-01-15 10:00:00,"


@pytest.mark.parametrize(
    "line",
    [GOOD, GOOD + b'"a\nb"', b"x,y", GOOD + b'"', b'"', b'x","', b"", b"\0" * 100],
    ids=["row", "lines", "short", "unclosed", "quote", "closed", "blank", "zeros"],
)
def test_the_work_is_linear_whatever_the_lines(line: bytes):
    def a_file(times: int) -> bytes:
        return HEADER + (line + b"\n") * times + GOOD + b"\n"

    assert_work_is_linear(upi.read, a_file)
