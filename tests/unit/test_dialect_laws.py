"""Laws of every dialect that hold for every file, searched with random files."""

import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.sources.base import Position, Reject, Row, SourceError
from ingestion.sources.dialect.balances import MAX_BREAKS
from ingestion.sources.dialect.occurrences import MAX_DIGESTS, Occurrences
from tests.dialects import HEADER, PAYMENTS, STATEMENT, read, source, told
from tests.readings import records

pytestmark = pytest.mark.unit
BANK = source(STATEMENT)
PLACES = source(
    STATEMENT,
    has_header=False,
    columns={
        "date": ["1"],
        "narration": ["2"],
        "reference": ["3"],
        "value_date": ["4"],
        "debit": ["5"],
        "credit": ["6"],
        "balance": ["7"],
    },
)
NET = source(PAYMENTS)

row = st.builds(
    "{},{},{},{},{},{},{}".format,
    st.sampled_from(["01/04/2026", "02/04/2026", "3-Apr-2026", "31/02/2026", "45231"]),
    st.sampled_from(["UPI/412345678901/x", '"two\nlines"', "", "é", '"a,""b"""']),
    st.sampled_from(["", "-", "000501", "0000412345678901"]),
    st.sampled_from(["", "01/04/2026", "x"]),
    st.sampled_from(["", "0", "100.00", '"1,00,000.00"', "1.005"]),
    st.sampled_from(["", "100.00", "5.00 Cr"]),
    st.sampled_from(["", "100.00", "0.00", "200.00 Dr", "?"]),
)
between = st.sampled_from(
    [
        *(",more of it,,,,,", "", ",,,,,,", "***,***,***", HEADER, ",short"),
        *(",,OPENING BALANCE,,,,100.00", "Opening Balance,100.00", "Total,,,,1,2,"),
        *("Debits,Credits,Rows", "100.00,100.00,2", "End of statement", "any words"),
        *('"', 'x"y,z', "a,b,c,d,e,f,g,h,i", "\udce9,\udce9", "1,2,3,4,5,6,7", ","),
    ]
)
line = st.one_of(row, between)
before = st.lists(
    st.sampled_from(["Bank", "Account No,123456", "", 'a "b']), max_size=3
)
a_file = st.builds(
    lambda head, rows, end: (
        "\n".join([*head, HEADER, *rows, ""])
        .replace("\n", end)
        .encode("utf-8", "surrogateescape")
    ),
    before,
    st.lists(line, max_size=8),
    st.sampled_from(["\n", "\r\n"]),
)
sources = st.sampled_from([BANK, PLACES])


def found_in(of, data, resume=None):
    with suppress(SourceError):
        return read(of, data, resume)
    return []


@given(sources, a_file, st.lists(st.integers(0, 10**6), max_size=6))
def test_block_sizes_do_not_matter(of, data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    whole = found_in(of, data)
    with suppress(SourceError):
        blocks = [data[start:end] for start, end in pairwise(edges)]
        assert records(of.read, blocks) == whole
        assert records(of.read, (data[i : i + 1] for i in range(len(data)))) == whole


@given(sources, a_file, st.sampled_from(["", "cp1252", "utf-16", "utf-16-be"]))
def test_resuming_after_any_record_gives_the_rest(of, data, codec):
    if codec == "cp1252":
        data = data.decode("utf-8", "replace").encode("cp1252", "replace")
    elif codec:
        text = data.decode("utf-8", "replace")
        mark = b"\xfe\xff" if codec == "utf-16-be" else b""
        data = mark + text.encode(codec)
    found = found_in(of, data)
    for index, item in enumerate(found, 1):
        position = Position.from_json(json.loads(json.dumps(item.position.to_json())))
        assert position.offset <= len(data)
        assert read(of, data[position.offset :], position) == found[index:]


@given(a_file)
def test_lines_and_offsets_never_go_back(data):
    place = (0, 0)
    for item in found_in(BANK, data):
        here = (item.position.line, item.position.offset)
        assert here >= place
        assert item.line <= item.position.line
        place = here


@given(st.sampled_from([BANK, PLACES, NET]), st.binary(max_size=200), st.booleans())
def test_any_bytes_give_records_or_a_source_error(of, data, with_header):
    found_in(of, (HEADER.encode() + b"\n" if with_header else b"") + data)


@given(a_file)
def test_ids_are_unique_within_a_file(data):
    ids = [r.txn_id for r in told(found_in(BANK, data)) if isinstance(r, Row)]
    assert len(set(ids)) == len(ids)


@given(st.lists(row, max_size=6), st.integers(0, 40), st.binary(min_size=1, max_size=3))
def test_damage_in_one_line_leaves_the_other_lines_alone(rows, place, damage):
    """Bytes without quotes and line ends cost the line they fall in, and no other."""
    if set(damage) & set(b'"\r\n'):
        return
    good = "01/04/2026,good,,,1.00,,5.00"
    plain = [text for text in rows if '"' not in text]
    lines = [HEADER, *plain, good, *plain]
    hit = bytearray(good.encode())
    at = place % (len(hit) + 1)
    hit[at:at] = damage
    data = "\n".join(lines).encode()
    after = data.replace(good.encode(), bytes(hit), 1)
    kept = [r.line for r in told(read(BANK, data)) if isinstance(r, Row | Reject)]
    left = [r.line for r in told(read(BANK, after)) if isinstance(r, Row | Reject)]
    line_hit = len(plain) + 2
    assert [n for n in kept if n != line_hit] == [n for n in left if n != line_hit]


days = st.sampled_from(["2026-04-01", "2026-04-02", "2026-04-03"])


@given(st.lists(st.tuples(days, st.integers(0, 3)), max_size=40), st.integers(0, 40))
def test_occurrences_are_counted_over_a_pause(seen, pause):
    counted: dict[tuple[str, int], int] = {}
    whole = Occurrences()
    for index, (day, number) in enumerate(seen):
        if index == pause:
            paused = Occurrences()
            paused.recall(json.loads(json.dumps(whole.to_json())))
            whole = paused
        key = (day, number)
        counted[key] = counted.get(key, 0) + 1
        assert whole.number(day, bytes([number] * 8)) == counted[key]


def test_the_state_stays_small():
    lines = [f"01/04/2026,row {n},,,1.00,,{3 * n}.00" for n in range(2 * MAX_DIGESTS)]
    reading = BANK.read(["\n".join([HEADER, *lines]).encode()])
    others = [record for record in reading if not isinstance(record, Row)]
    assert len(json.dumps(reading.position.to_json())) < 16 * MAX_DIGESTS
    assert len(others) == MAX_BREAKS + 1
