"""Physical lines and CSV records: framing, offsets, and damage that stays local."""

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.sources.base import Reason, Reject, visible
from ingestion.sources.grammar import COMMA, Grammar
from ingestion.sources.lines import (
    MAX_FIELD_CHARS,
    MAX_RECORD_BYTES,
    MAX_RECORD_LINES,
    RecordReader,
    chunks,
    physical_lines,
)

pytestmark = pytest.mark.unit
HEADER = ("a", "b")
STRUCTURE = st.binary(max_size=60).map(
    lambda seed: bytes(b'",\n\r\0a \xc3\xa9"\n,b'[byte % 13] for byte in seed)
)
CUTS = st.lists(st.integers(0, 70), max_size=8)


def read(data, *, cuts=(), offset=0, line=1):
    """Return (line, outcome, next line, end offset) of each record of `data`."""
    edges = [0, *sorted(cuts), len(data)]
    blocks = [data[start:end] for start, end in pairwise(edges)]
    reader = RecordReader(blocks, offset=offset, line=line, header=HEADER)
    return [(start, out, reader.line, reader.offset) for start, out in reader]


def outcomes(data):
    return [
        (line, out.reason if isinstance(out, Reject) else out)
        for line, out, _, _ in read(data)
    ]


def test_plain_rows_have_lines_and_offsets():
    assert read(b"1,2\n3,4") == [(1, ["1", "2"], 2, 4), (2, ["3", "4"], 3, 7)]


def test_blank_lines_are_skipped_but_counted():
    assert outcomes(b"\n1,2\n \t\r\n\n3,4\n") == [(2, ["1", "2"]), (5, ["3", "4"])]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n"])
def test_line_ends_are_dropped(end):
    assert outcomes(b"1,2" + end + b'"3",4' + end) == [(1, ["1", "2"]), (2, ["3", "4"])]


def test_quoted_newlines_count_as_lines_and_are_kept():
    assert outcomes(b'1,"x\r\ny\n"\n3,4\n') == [(1, ["1", "x\r\ny\n"]), (4, ["3", "4"])]


def test_only_a_line_feed_ends_a_line():
    text = "1,x\x0b\x0c\x1c\u2028\u0085y\n"
    assert outcomes(text.encode()) == [(1, text.rstrip("\n").split(","))]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", [""]),
        (",", ["", ""]),
        ("a,", ["a", ""]),
        ('"a""b",c', ['a"b', "c"]),
        ('""""', ['"']),
        ('"",""', ["", ""]),
        (' "a,b" ,\t"c"', ["a,b", "c"]),
        (" a , b ", [" a ", " b "]),
        ('"a\nb",c', ["a\nb", "c"]),
        ('a"b,c', None),
        ('"a"b,c', None),
        ('"a,b', None),
        ("a\rb,c", None),
    ],
)
def test_split_record(text, fields):
    assert COMMA.split(text) == fields


@pytest.mark.parametrize(
    ("delimiter", "text", "fields"),
    [
        (";", 'a;"b;""c";d,e', ["a", 'b;"c', "d,e"]),
        ("|", 'a| "b" |', ["a", "b", ""]),
        ("~", "a~~b", ["a", "", "b"]),
        ("^", "a^b", ["a", "b"]),
        ("\t", '\t"a\tb"\t', ["", "a\tb", ""]),
        ("\t", '\t"a""b"\t ', ["", 'a"b', " "]),
        ("\t", 'a\t"b"\tc"', None),
        ("~|~", 'a~|~"b~|~c"~|~d~e|', ["a", "b~|~c", "d~e|"]),
        ("~|~", "~|~", ["", ""]),
    ],
)
def test_other_delimiters_divide_by_the_same_rules(delimiter, text, fields):
    assert Grammar(delimiter).split(text) == fields


def test_without_quotes_a_quote_is_a_character():
    grammar = Grammar("\t", quoted=False)
    assert grammar.split('5" pipe\t"a') == ['5" pipe', '"a']
    assert grammar.split("a\rb\tc") is None
    reader = RecordReader([b'1\t5"\n"2\t6\n'], header=HEADER, grammar=grammar)
    assert list(reader) == [(1, ["1", '5"']), (2, ['"2', "6"])]


def test_a_record_of_the_wrong_width_shows_its_fields():
    reader = RecordReader([b'1;"2;";3\n4;5\n'], header=HEADER, grammar=Grammar(";"))
    (_, refused), (_, fields) = reader
    assert refused.reason is Reason.WRONG_FIELD_COUNT
    assert (reader.ragged, fields) == (["1", "2;", "3"], ["4", "5"])


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ('a,"b', True),
        ('"a""', True),
        ('"a"""', False),
        ('a,"b"', False),
        ('a"b,"c', False),
        ("a", False),
    ],
)
def test_opens_quote(text, is_open):
    assert COMMA.opens_quote(text) is is_open


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"1", Reason.WRONG_FIELD_COUNT),
        (b"1,2,3", Reason.WRONG_FIELD_COUNT),
        (b'1,2"', Reason.MALFORMED_CSV),
        (b'1,"2"x', Reason.MALFORMED_CSV),
        (b"1,2\r3", Reason.MALFORMED_CSV),
        (b"1,\0", Reason.NUL_BYTE),
        (b"1,\xe9", Reason.INVALID_UTF8),
        (b"1,\xed\xb2\x80", Reason.INVALID_UTF8),
        (b'1,"2', Reason.UNCLOSED_QUOTE),
        (b'"', Reason.UNCLOSED_QUOTE),
        (b"1," + b"x" * (MAX_FIELD_CHARS + 1), Reason.FIELD_TOO_LONG),
        (b"1," + b"x" * (MAX_RECORD_BYTES + 1), Reason.FIELD_TOO_LONG),
        (b'1,"' + b"x" * MAX_RECORD_BYTES + b'"', Reason.FIELD_TOO_LONG),
        (b"," * (MAX_RECORD_BYTES + 1), Reason.FIELD_TOO_LONG),
    ],
)
def test_a_damaged_line_costs_itself_alone(damaged, reason):
    good = [b"5,6\n", b'7,"8"\n', b'9,"1\n0"\n']
    data = good[0] + damaged + b"\n" + b"".join(good)
    assert outcomes(data) == [
        (1, ["5", "6"]),
        (2, reason),
        (3, ["5", "6"]),
        (4, ["7", "8"]),
        (5, ["9", "1\n0"]),
    ]


@pytest.mark.parametrize(
    ("data", "column", "value"),
    [
        (b"1,\0x\n", "b", "\\x00x"),
        (b"1,caf\xe9\n", "b", "caf\\xe9"),
        (b"x" * 70_000 + b",2\n", "a", "x" * 200),
        (b'"' + b"x" * MAX_RECORD_BYTES + b'",2\n', "a", '"' + "x" * 199),
        (b"1,2,3\n", None, "1,2,3"),
    ],
)
def test_rejects_name_the_column_and_show_the_value(data, column, value):
    ((_, reject, _, _),) = read(data)
    assert (reject.column, reject.value) == (column, value)


def test_a_field_of_the_greatest_length_is_kept():
    long = "x" * MAX_FIELD_CHARS
    assert outcomes(f"1,{long}\n".encode()) == [(1, ["1", long])]


def test_a_quote_that_a_later_row_closes_gives_back_the_rows_between():
    data = b'1,"2\n3,4\n5,6\n"x",7\n8,9\n'
    assert outcomes(data) == [
        (1, Reason.UNCLOSED_QUOTE),
        (2, ["3", "4"]),
        (3, ["5", "6"]),
        (4, ["x", "7"]),
        (5, ["8", "9"]),
    ]


def test_a_combination_of_the_wrong_width_gives_back_whole_rows():
    data = b'1,"2\n3,4\n5",6\n7,8\n'
    assert [line for line, out in outcomes(data) if isinstance(out, list)] == [2, 4]


def test_a_combination_of_the_wrong_width_gives_back_the_start_of_a_row():
    data = b'"1\n3,"\nx"\n7,8\n'
    assert outcomes(data) == [
        (1, Reason.UNCLOSED_QUOTE),
        (2, ["3", "\nx"]),
        (4, ["7", "8"]),
    ]


def test_a_remark_cannot_plant_rows():
    data = b'1,"x\n3,4\n5,6\n\xe9"\n7,8\n'
    assert outcomes(data) == [(1, Reason.INVALID_UTF8), (5, ["7", "8"])]


def test_too_many_lines_in_quotes_are_an_unclosed_quote():
    fits = b'1,"' + b"\n" * (MAX_RECORD_LINES - 1) + b'"\n'
    assert [type(out) for _, out, _, _ in read(fits)] == [list]
    over = b'1,"' + b"\n" * MAX_RECORD_LINES + b'"\n3,4\n'
    assert outcomes(over)[0] == (1, Reason.UNCLOSED_QUOTE)
    assert outcomes(over)[-1] == (MAX_RECORD_LINES + 2, ["3", "4"])


def test_a_long_line_is_cut_but_counted_in_full():
    size = MAX_RECORD_BYTES + 10
    (first, second) = physical_lines([b"x" * (size - 1) + b"\n", b"ab"])
    assert (len(first[0]), first[1]) == (MAX_RECORD_BYTES, size)
    assert second == (b"ab", 2)


@given(st.lists(st.binary(max_size=20)), st.integers(1, 30))
def test_chunks_lose_nothing_and_stay_small(blocks, size):
    pieces = list(chunks(blocks, size))
    assert b"".join(pieces) == b"".join(blocks)
    assert all(0 < len(piece) < 2 * size for piece in pieces)


@given(STRUCTURE, CUTS)
def test_block_sizes_do_not_matter(data, cuts):
    assert read(data, cuts=[min(cut, len(data)) for cut in cuts]) == read(data)


@given(STRUCTURE)
def test_reading_goes_on_after_any_record(data):
    records = read(data)
    for index, (_, _, line, offset) in enumerate(records, 1):
        assert read(data[offset:], offset=offset, line=line) == records[index:]


@given(st.lists(st.tuples(st.text(), st.text())))
def test_what_csv_writes_is_read_back(rows):
    # A lone surrogate cannot be encoded; NUL and stray CR have tests of their own.
    rows = [
        tuple(c.encode("utf-8", "replace").decode().replace("\0", "") for c in row)
        for row in rows
    ]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    read_back = [tuple(fields) for _, fields, _, _ in read(out.getvalue().encode())]
    assert read_back == rows


@given(st.text(st.characters(codec=None)))
def test_visible_text_is_short_and_storable(text):
    shown = visible(text)
    assert len(shown) <= 200
    assert "\0" not in shown
    assert shown.isprintable()
    assert shown.encode().decode() == shown
