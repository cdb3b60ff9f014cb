"""Text in other encodings: what it becomes, and where it lies in the file."""

import codecs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestion.sources.base import SourceError
from ingestion.sources.encodings import Utf8Blocks

TEXT = "Beschreibung,Betrag\nMüller & Söhne,10\n€ für Ω,20\n"
LATIN = TEXT.replace("Ω", "x")


def cut(data: bytes, size: int = 7) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def read(data: bytes, *, fallback: str | None = "cp1252", size: int = 7) -> bytes:
    return b"".join(Utf8Blocks(cut(data, size), fallback=fallback))


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16-be"),
        (LATIN.encode("cp1252"), "cp1252"),
        (b"only,ascii\n", ""),
        (b"", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_encoding_is_found(data: bytes, encoding: str, size: int):
    text = Utf8Blocks(cut(data, size), fallback="cp1252")
    found = b"".join(text).decode()
    assert text.encoding == encoding
    assert found in {TEXT, LATIN, "only,ascii\n", ""}
    assert text.stored(len(found.encode())) == len(data)


def test_the_first_line_that_is_not_ascii_decides_for_all():
    ascii_line, utf8, other = b"a,b\n", "ä\n".encode(), b"\xe4\n"
    assert read(ascii_line + utf8 + other) == ascii_line + utf8 + other
    assert read(ascii_line + other + utf8) == ascii_line + "ä\nÃ¤\n".encode()


def test_a_line_too_long_decides_by_its_beginning():
    start = ("é" * 70_000).encode()
    assert read(start + b"\xe9\n", size=65_536) == start + b"\xe9\n"


def test_half_a_character_at_the_end_is_not_utf8():
    assert read("é".encode()[:1]) == "Ã".encode()
    assert read(b"x\n" + "é\n".encode() + b"\xc3") == b"x\n" + "é\n".encode() + b"\xc3"


def test_without_a_fallback_bytes_stay_as_they_are():
    data = LATIN.encode("cp1252")
    assert read(data, fallback=None) == data


def test_what_cannot_be_decoded_is_not_utf8_afterwards():
    for data in (
        b"\xe9 and \x81\n",
        codecs.BOM_UTF16_LE + "x".encode("utf-16-le") + b"\x00\xd8\n\x00",
        codecs.BOM_UTF16_LE + b"x\x00y",
    ):
        with pytest.raises(UnicodeDecodeError):
            read(data).decode()


@pytest.mark.parametrize("mark", [codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE])
def test_utf32_is_refused(mark: bytes):
    with pytest.raises(SourceError, match="UTF-32"):
        read(mark + b"x")


ENCODED = st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"])
MARKS = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}


@given(
    lines=st.lists(st.text(max_size=12), min_size=1, max_size=6),
    encoding=ENCODED,
    size=st.integers(1, 9),
    tail=st.binary(max_size=3),
)
@example(lines=["\U0001f600", "\ud800"], encoding="utf-16-le", size=1, tail=b"x")
def test_reading_goes_on_at_any_line(
    lines: list[str], encoding: str, size: int, tail: bytes
):
    text = "".join(f"{line}\n" for line in ["a", *lines])
    errors = "surrogatepass" if "utf" in encoding else "replace"
    data = MARKS.get(encoding, b"") + text.encode(encoding, errors) + tail
    whole = read(data, size=size)
    reading = Utf8Blocks(cut(data, size), fallback="cp1252")
    given_out = b""
    for block in reading:
        given_out += block
        end = given_out.rfind(b"\n") + 1
        rest = data[reading.stored(end) :]
        if end:
            again = Utf8Blocks(
                cut(rest, size), fallback="cp1252", encoding=reading.encoding
            )
            assert b"".join(again) == whole[end:]
    assert given_out == whole
    assert reading.stored(len(whole)) == len(data)
