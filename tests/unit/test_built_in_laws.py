"""Laws of the built-in dialects that hold for every file, searched around samples."""

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.sources.base import Fault, Row, Source, SourceError, Statement
from tests.readings import Found, records
from tests.statements import (
    assert_blocks_do_not_matter,
    assert_records_can_be_stored,
    assert_resuming_gives_the_rest,
    assert_work_is_linear,
)
from tests.unit.test_built_in_dialects import BANKS, NETWORKS, built_in, sample

pytestmark = pytest.mark.unit
NAMES = (*BANKS, *NETWORKS)
dialect = cache(built_in)


@cache
def lines_of(name: str, kind: str) -> list[bytes]:
    """Return the lines of a sample, each with its end."""
    return sample(name, kind).read_bytes().splitlines(keepends=True)


odd_line = st.sampled_from(
    [
        *(b"\n", b'"\n', b'x","\n', b",,,,,,,,,\n", b"\t\t\t\t\t\t\n", b"|||||||\n"),
        *(b"***,***,***,***\n", b"Total,,,,1,2,\n", b"\0\n", b"\xff\xfe\n", b"\r\r\n"),
        *(b"Opening Balance,1.00\n", b"End of Statement\n", b"\xef\xbb\xbf\n"),
    ]
)
names = st.sampled_from(NAMES)


@st.composite
def damaged_files(draw: st.DrawFn, name: str) -> bytes:
    """Return the good sample with lines of the bad one, odd ones and odd bytes."""
    lines = [*lines_of(name, "small")]
    others = odd_line | st.sampled_from([*lines, *lines_of(name, "bad")])
    for line in draw(st.lists(others, max_size=5)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    for _ in range(draw(st.integers(0, 2))):
        del lines[draw(st.integers(0, len(lines) - 1))]
    data = b"".join(lines)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.integers(0, 3))
        data = data[:at] + draw(st.binary(max_size=3)) + data[end:]
    if draw(st.booleans()):
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return data


def assert_can_be_stored(found: list[Found], data: bytes) -> None:
    # A fault about the whole file names the line that states what does not hold.
    of_lines = [one for one in found if not isinstance(one.record, Fault)]
    assert_records_can_be_stored(of_lines, size=len(data))


cases = names.flatmap(lambda name: st.tuples(st.just(name), damaged_files(name)))
#: Such a file is read byte by byte, and again behind each of its records.
slowly = settings(deadline=None, max_examples=settings().max_examples // 2)


@slowly
@given(cases, st.lists(st.integers(0, 10**6), max_size=6))
def test_block_sizes_do_not_matter(case, cuts):
    name, data = case
    with suppress(SourceError):
        assert_blocks_do_not_matter(dialect(name).read, data, cuts)


@slowly
@given(cases)
def test_resuming_after_any_record_gives_the_rest(case):
    name, data = case
    with suppress(SourceError):
        assert_resuming_gives_the_rest(dialect(name).read, data)


@settings(deadline=None)
@given(cases)
def test_records_are_in_order_and_fit_to_be_stored(case):
    name, data = case
    with suppress(SourceError):
        assert_can_be_stored(records(dialect(name).read, [data]), data)


@given(names, st.binary(max_size=200), st.integers(0, 40))
def test_any_bytes_give_records_or_a_source_error(name, data, kept):
    data = b"".join(lines_of(name, "small")[:kept]) + data
    with suppress(SourceError):
        assert_can_be_stored(records(dialect(name).read, [data]), data)


@given(cases)
def test_the_same_bytes_have_the_same_ids_and_hashes(case):
    name, data = case
    with suppress(SourceError):
        first, second = (records(built_in(name).read, [data]) for _ in range(2))
        assert first == second


@settings(deadline=None)
@given(
    st.sampled_from(BANKS).flatmap(lambda n: st.tuples(st.just(n), damaged_files(n)))
)
def test_ids_of_a_statement_are_unique_and_its_rows_are_counted(case):
    name, data = case
    with suppress(SourceError):
        found = [one.record for one in records(dialect(name).read, [data])]
        rows = [record for record in found if isinstance(record, Row)]
        assert len({row.txn_id for row in rows}) == len(rows)
        told = [record for record in found if isinstance(record, Statement)]
        assert sum(statement.rows for statement in told) >= len(rows) or not told


def rows_in(source: Source, data: bytes) -> set[bytes]:
    found = records(source.read, [data])
    return {one.record.row_hash for one in found if isinstance(one.record, Row)}


@pytest.mark.parametrize("name", NAMES)
def test_work_grows_with_the_file_alone(name: str):
    """The rows of the sample over and over, between its head and its end."""
    lines = lines_of(name, "small")
    found = records(dialect(name).read, [b"".join(lines)])
    rows = [one.line for one in found if isinstance(one.record, Row)]
    first, last = rows[0] - 1, rows[1] - 1
    head, body = lines[:first], lines[first:last]

    def a_file(times: int) -> bytes:
        return b"".join([*head, *body * times])

    assert rows_in(dialect(name), a_file(2))
    assert_work_is_linear(dialect(name).read, a_file)
