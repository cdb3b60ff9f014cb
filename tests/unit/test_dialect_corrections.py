"""Refused rows of a dialect as they stood: a file of the dialect with the head."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.sources.base import Reject, Source
from tests.dialects import PAYMENTS, STATEMENT, read, source, told

pytestmark = pytest.mark.unit

HEADER = "Txn ID,RRN,From,To,IFSC,VPA,Amount,Currency,Status,Date,Time,Remarks"
NET = source(PAYMENTS, encodings=["utf-8", "cp1252", "utf-16"])
PLACES = source(
    PAYMENTS,
    has_header=False,
    encodings=["utf-8", "cp1252", "utf-16"],
    columns={name: [str(place)] for place, name in enumerate(PAYMENTS["columns"], 1)},
)
row = st.builds(
    "{},412345678901,A1,B2,,,{},INR,{},{},10:00:00,{}".format,
    st.sampled_from(["T1", "T2", "T 3", ""]),
    st.sampled_from(["1.00", "x", "-1", "1.005"]),
    st.sampled_from(["OK", "NO", "PERHAPS"]),
    st.sampled_from(["2026-04-01", "2026-02-31"]),
    st.sampled_from(["", "é", '"a,""b"""', '"two\nlines"', "€"]),
)
odd = st.sampled_from(["T9,short,2026-04-01", ",".join("abcdefghijklmno"), "", ","])
FIRST = "T0,412345678901,A1,B2,,,1.00,INR,OK,2026-04-01,10:00:00,"


def head_of(of: Source, data: bytes) -> bytes:
    assert of.head is not None
    return of.head([data])


def rejects(of: Source, data: bytes) -> list[Reject]:
    return [record for record in told(read(of, data)) if isinstance(record, Reject)]


@given(
    st.sampled_from([NET, PLACES]),
    st.lists(row | odd, max_size=6),
    st.sampled_from(["Bank of Somewhere", ""]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    st.booleans(),
)
def test_a_refused_row_behind_the_head_is_refused_again_for_the_same(
    of, rows, preamble, end, codec, is_closed
):
    """Whatever the encoding, the ends of the lines, and what stands before the rows."""
    begin = [preamble, HEADER, FIRST] if of is NET else [FIRST]
    text = end.join([*begin, *rows]) + (end if is_closed else "")
    data = text.encode(codec)
    head = head_of(of, data)
    assert data.startswith(head)
    first = (FIRST + end).encode("utf-16-le" if codec == "utf-16" else "utf-8")
    for reject in rejects(of, data):
        assert reject.raw is not None
        # Without a header it is the first whole row that a file is known by.
        (again,) = rejects(of, head + first + reject.raw)
        assert again._replace(line=reject.line) == reject


def test_the_bytes_are_those_of_the_file():
    line = FIRST.replace("T0", "T 0") + "\u00e9\n"
    for codec in ("utf-8", "utf-16-le"):
        mark = b"\xff\xfe" if codec == "utf-16-le" else b""
        data = mark + f"{HEADER}\n{line}".encode(codec)
        (reject,) = rejects(NET, data)
        assert reject.raw == line.encode(codec)
        assert head_of(NET, data) + reject.raw == data
    only = source(PAYMENTS, encodings=["cp1252"])
    data = f"{HEADER}\n{line}".encode("cp1252")
    (reject,) = rejects(only, data)
    assert head_of(only, data) + reject.raw == data


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": {"id": None}},
        {"columns": {"balance": ["Balance"], "currency": None}},
        {"continued": True},
        {"labels": {"opening": ["Opening"]}, "columns": {"currency": None}},
        {"labels": {"row_count": ["Total"]}, "trailer_required": True},
    ],
    ids=str,
)
def test_rows_that_count_on_others_are_not_kept(changes):
    of = source(PAYMENTS, **changes)
    assert of.head is None
    header = HEADER + (",Balance" if "balance" in changes.get("columns", {}) else "")
    found = rejects(of, f"{header}\n{FIRST.replace('1.00', 'x')}\n".encode())
    assert all(reject.raw is None for reject in found)


def test_a_statement_is_one_of_those():
    assert source(STATEMENT).head is None


def test_a_dialect_that_reads_otherwise_is_another_version():
    net = source(PAYMENTS)
    assert net.version == source(PAYMENTS, title="Another title").version
    assert net.version != source(PAYMENTS, zone="UTC").version
    assert net.version != source(PAYMENTS, columns={"vpa": None}).version
