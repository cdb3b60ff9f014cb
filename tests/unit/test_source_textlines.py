"""Lines of text files, whichever way they end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.sources.textlines import MAX_LINE_BYTES, decoded, text_lines
from tests.statements import cut

pytestmark = pytest.mark.unit


@given(st.text("ab\r\n", max_size=30), st.lists(st.integers(0, 99), max_size=5))
def test_lines_and_sizes_are_those_of_the_whole(text, cuts):
    data = text.encode()
    found = list(text_lines(cut(data, cuts)))
    assert [line for line, _ in found] == data.splitlines()
    assert sum(size for _, size in found) == len(data)


@pytest.mark.parametrize("size", [1000, MAX_LINE_BYTES, 1 << 18, 1 << 20])
def test_a_long_line_is_cut_and_its_size_is_true(size):
    long = MAX_LINE_BYTES * 9
    data = b"a\n" + b"x" * long + b"\r\nb"
    blocks = (data[at : at + size] for at in range(0, len(data), size))
    found = [(len(line), size) for line, size in text_lines(blocks)]
    assert found == [(1, 2), (MAX_LINE_BYTES + 1, long + 2), (1, 1)]


@given(st.text("ab@\n", max_size=30), st.lists(st.integers(0, 99), max_size=5))
def test_two_signs_may_end_lines_too(text, cuts):
    data = text.encode()
    found = list(text_lines(cut(data, cuts), also_end=b"@@"))
    assert [line for line, _ in found] == data.replace(b"@@", b"\r\n").splitlines()
    assert sum(size for _, size in found) == len(data)


def test_text_is_utf8_or_latin1():
    assert decoded("é€".encode()) == "é€"
    assert decoded(b"\xe9") == "é"
