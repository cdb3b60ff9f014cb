"""Compressed files: what comes out, from any offset, and what is refused."""

import gzip
import io
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.sources import gzipped, zip_directory
from ingestion.sources.base import FileFault, SourceError
from ingestion.sources.inflate import Limits
from ingestion.sources.unpacking import Unpacked
from tests.statements import count_calls

ROOMY = Limits()
#: Some that deflates well and some that does not.
CONTENT = b"txn_id,amount\n" * 30_000 + random.Random(1).randbytes(200_000)


class Stored:
    """A stored file that is read in blocks, and remembers the ranges."""

    def __init__(self, data: bytes, block: int = 65_536) -> None:
        self.data = data
        self.block = block
        self.asked: list[tuple[int, int | None]] = []

    def __call__(self, offset: int, end: int | None) -> Iterator[bytes]:
        self.asked.append((offset, end))
        until = len(self.data) if end is None else min(end, len(self.data))
        assert 0 <= offset <= until
        for start in range(offset, until, self.block):
            yield self.data[start : min(until, start + self.block)]


def unpack(
    data: bytes, *, offset: int = 0, limits: Limits = ROOMY, block: int = 65_536
) -> bytes:
    fetch = Stored(data, block)
    return b"".join(Unpacked(fetch, len(data), limits=limits, offset=offset))


def zipped(
    files: dict[str, bytes] | None = None,
    *,
    how: int = zipfile.ZIP_DEFLATED,
    **changes: Any,
) -> bytes:
    """Return a zip; `changes` are attributes of its first entry."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in ({"a.csv": CONTENT} if files is None else files).items():
            info = zipfile.ZipInfo(name)
            info.compress_type = how
            for attribute, value in changes.items():
                setattr(info, attribute, value)
            archive.writestr(info, content)
    return file.getvalue()


def refused(data: bytes, **options: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        unpack(data, **options)
    return caught.value


PACKED = {
    "plain": CONTENT,
    "gzip": gzip.compress(CONTENT),
    "members": b"".join(
        gzip.compress(CONTENT[start : start + 50_000])
        for start in range(0, len(CONTENT), 50_000)
    ),
    "padded": gzip.compress(CONTENT) + bytes(40_000),
    "deflated": zipped(),
    "stored": zipped(how=zipfile.ZIP_STORED),
    "mac": zipped({"x/": b"", "x/a.csv": CONTENT, "__MACOSX/x/._a.csv": b"junk"}),
}


@pytest.mark.parametrize("name", PACKED)
def test_what_was_packed_comes_out_from_any_offset(name: str):
    data = PACKED[name]
    for offset in (0, 1, 300_000, len(CONTENT) - 1, len(CONTENT)):
        assert unpack(data, offset=offset) == CONTENT[offset:]


@pytest.mark.parametrize("name", PACKED)
def test_blocks_of_any_size_will_do(name: str):
    small = CONTENT[:500]
    data = {"plain": small, "gzip": gzip.compress(small)}.get(
        name, zipped({"a.csv": small})
    )
    for block in (1, 2, 7):
        assert unpack(data, block=block) == small
        assert unpack(data, block=block, offset=99) == small[99:]


def test_only_a_compressed_file_says_how_much_of_it_was_taken():
    plain = Unpacked(Stored(CONTENT), len(CONTENT), limits=ROOMY)
    assert b"".join(plain) == CONTENT
    assert plain.taken is None
    data = PACKED["gzip"]
    packed = Unpacked(Stored(data), len(data), limits=ROOMY)
    taken = [packed.taken or 0 for _ in packed]
    assert packed.taken == len(data)
    assert taken == sorted(taken)
    assert 0 < taken[0] < len(data)


def test_a_plain_file_is_read_once_from_its_start():
    fetch = Stored(CONTENT)
    list(Unpacked(fetch, len(CONTENT), limits=ROOMY))
    assert fetch.asked == [(0, None)]


def test_going_on_in_a_plain_file_reads_nothing_again_but_its_first_bytes():
    fetch = Stored(CONTENT)
    list(Unpacked(fetch, len(CONTENT), limits=ROOMY, offset=400_000))
    assert fetch.asked == [(0, 4), (400_000, None)]


@given(st.binary(max_size=200))
def test_any_bytes_come_through_gzip_and_zip(content: bytes):
    assert unpack(gzip.compress(content)) == content
    assert unpack(zipped({"a": content})) == content


@given(data=st.data())
def test_any_damage_is_an_error_or_does_no_harm(data: st.DataObject):
    name = data.draw(st.sampled_from(["gzip", "members", "deflated", "mac"]))
    whole = PACKED[name]
    place = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    changed = bytes([whole[place] ^ data.draw(st.integers(1, 255))])
    broken = whole[:place] if cut else whole[:place] + changed + whole[place + 1 :]
    try:
        found = unpack(broken)
    except SourceError:
        return
    # A time stamp or a comment was hit, or the file looks plain now; nobody can tell
    # that members are missing.
    assert found in {CONTENT, broken} or (
        cut and name == "members" and CONTENT.startswith(found)
    )


def outcome(data: bytes, *, offset: int = 0, block: int = 65_536) -> tuple[bytes, str]:
    """Return what comes out, and the error that ends it."""
    given: list[bytes] = []
    fetch = Stored(data, block)
    try:
        given.extend(Unpacked(fetch, len(data), limits=ROOMY, offset=offset))
    except SourceError as error:
        return b"".join(given), error.message
    return b"".join(given), ""


@given(data=st.data())
def test_bytes_put_in_anywhere_are_an_error_or_do_no_harm(data: st.DataObject):
    whole = PACKED[data.draw(st.sampled_from(["gzip", "members", "deflated", "mac"]))]
    edges = st.sampled_from([0, 1, 10, len(whole) - 30, len(whole) - 8, len(whole)])
    place = data.draw(st.integers(0, len(whole)) | edges)
    start = data.draw(st.integers(0, len(whole)))
    more = data.draw(
        st.binary(min_size=1, max_size=40)
        | st.just(whole[start : start + 100])
        | st.just(bytes(20))
    )
    broken = whole[:place] + more + whole[place:]
    found, error = outcome(broken)
    # Zeros between members are padding; before the first one the file looks plain.
    assert error or found in {CONTENT, broken}


members = st.lists(
    st.sampled_from([b"", b"a,b\n", b"c,d\n" * 50]), min_size=1, max_size=6
)


@given(members, st.integers(0, 5), st.integers(1, 40))
def test_members_in_any_order_and_number_are_what_they_hold(contents, padding, block):
    packed = b"".join(gzip.compress(one) + bytes(padding) for one in contents)
    assert unpack(packed, block=block) == b"".join(contents)
    for cut in range(1, 9):  # within the last checksum, or its padding
        found, error = outcome(packed[: len(packed) - padding - cut], block=block)
        assert error
        assert b"".join(contents).startswith(found)


@given(st.data())
def test_a_damaged_file_gives_the_same_from_any_offset(data: st.DataObject):
    """How much comes out before the damage is met depends on the blocks alone."""
    small = CONTENT[:3000]
    whole = data.draw(st.sampled_from([gzip.compress(small), zipped({"a": small})]))
    at = data.draw(st.integers(0, len(whole)))
    broken = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + 1 :]
    found, error = outcome(broken)
    offset = data.draw(st.integers(0, len(found)))
    block = data.draw(st.integers(1, 50))
    later, again = outcome(broken, offset=offset, block=block)
    assert bool(again) == bool(error)
    short, long = sorted((found[offset:], later), key=len)
    assert long.startswith(short)
    assert error or long == short


@pytest.mark.parametrize("content", [b"", b"a,b\n"])
def test_the_work_on_many_members_is_linear(content: bytes):
    def calls(count: int) -> int:
        data = gzip.compress(content) * count
        return count_calls(lambda: unpack(data))

    one, two, four = (calls(n) for n in (400, 800, 1600))
    assert 1.9 < (four - two) / (two - one) < 2.1


# --- Too much -------------------------------------------------------------------------

ZEROS = bytes(3 * 1024 * 1024)


@pytest.mark.parametrize(
    "bomb", [gzip.compress(ZEROS), zipped({"a": ZEROS})], ids=["gzip", "zip"]
)
def test_a_bomb_is_refused_by_its_ratio(bomb: bytes):
    error = refused(bomb)
    assert error.code == FileFault.ARCHIVE_TOO_LARGE
    assert "100 times" in error.message
    assert unpack(bomb, limits=Limits(ratio=2000)) == ZEROS


def test_a_bomb_is_refused_before_it_is_large():
    data = gzip.compress(bytes(50_000_000))
    fetch = Stored(data)
    given: list[bytes] = []
    tracemalloc.start()
    try:
        with pytest.raises(SourceError):
            given.extend(Unpacked(fetch, len(data), limits=ROOMY))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, given)) <= 2 * 1024 * 1024
    # What was refused was never unpacked as a whole either.
    assert most <= 4 * 1024 * 1024


def test_a_zip_that_lies_about_its_size_is_refused_all_the_same():
    bomb = bytearray(zipped({"a": ZEROS}))
    directory = bomb.rfind(b"PK\x01\x02")
    bomb[directory + 24 : directory + 28] = struct.pack("<L", 100)
    assert refused(bytes(bomb)).code == FileFault.ARCHIVE_TOO_LARGE


def test_equal_rows_of_up_to_a_mebibyte_are_no_bomb():
    rows = bytes(1024 * 1024)
    assert unpack(gzip.compress(rows)) == rows


def test_what_follows_the_end_of_a_gzip_file_is_named():
    assert "something that is not gzip" in refused(PACKED["gzip"] + b"PK").message


@pytest.mark.parametrize("name", ["gzip", "deflated", "stored"])
def test_the_size_of_what_comes_out_is_bounded(name: str):
    enough = Limits(most_bytes=len(CONTENT))
    assert unpack(PACKED[name], limits=enough) == CONTENT
    error = refused(PACKED[name], limits=Limits(most_bytes=len(CONTENT) - 1))
    assert error.code == FileFault.ARCHIVE_TOO_LARGE
    assert f"{len(CONTENT) - 1:,} bytes" in error.message


def test_members_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gzipped, "MAX_MEMBERS", 3)
    member = gzip.compress(b"x")
    assert unpack(3 * member) == b"xxx"
    assert refused(4 * member).code == FileFault.DAMAGED_ARCHIVE


# --- Damage ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        PACKED["gzip"][:-1],
        PACKED["gzip"][: len(PACKED["gzip"]) // 2],
        PACKED["gzip"][:5],
        PACKED["gzip"] + b"trailing garbage",
        PACKED["gzip"] + PACKED["gzip"][:30],
        PACKED["gzip"][:-8] + bytes(8),
        PACKED["deflated"][:-1],
        PACKED["deflated"][: len(PACKED["deflated"]) // 2],
        PACKED["deflated"] + b"x",
        b"PK\x03\x04",
    ],
    ids=[
        *("gzip-cut", "gzip-half", "gzip-head", "garbage", "second-cut", "checksum"),
        *("zip-cut", "zip-half", "zip-longer", "zip-head"),
    ],
)
def test_a_cut_or_damaged_file_is_refused(data: bytes):
    error = refused(data)
    assert error.code == FileFault.DAMAGED_ARCHIVE
    assert "Upload it again." in error.message


def changed(data: bytes, mark: bytes, at: int, value: bytes) -> bytes:
    """Return a zip with some bytes of a record changed."""
    place = data.rfind(mark) + at
    return data[:place] + value + data[place + len(value) :]


ENTRY, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


@pytest.mark.parametrize(
    ("mark", "at", "value"),
    [
        (ENTRY, 0, b"QK"),
        (ENTRY, 16, b"\0\0\0\0"),  # checksum
        (ENTRY, 20, struct.pack("<L", 100)),  # packed size
        (ENTRY, 20, struct.pack("<L", 2**31)),
        (ENTRY, 24, struct.pack("<L", 100)),  # size
        (ENTRY, 42, struct.pack("<L", 7)),  # place
        (ENTRY, 42, struct.pack("<L", 0xFFFFFFFF)),
        (ENTRY, 46, b"b"),  # name
        (LOCAL, 8, b"\0"),  # method
        (LOCAL, 28, b"\xff\xff"),  # extra field
        (END, 12, struct.pack("<L", 10)),  # length of the directory
        (END, 16, struct.pack("<L", 10)),  # its place
        (END, 16, struct.pack("<L", 0xFFFFFFFF)),
        (END, 8, b"\2\0\2\0"),  # entries
    ],
)
def test_a_zip_that_contradicts_itself_is_refused(mark: bytes, at: int, value: bytes):
    error = refused(changed(zipped(), mark, at, value))
    assert error.code == FileFault.DAMAGED_ARCHIVE


# --- What a zip may hold --------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zipped({}), "no files"),
        (zipped({"x/": b""}), "no files"),
        (zipped({"a": b"1", "b": b"2"}), "2 files"),
        (zipped({"../a": b"1"}), "unsafe name"),
        (zipped({"x/../../a": b"1"}), "unsafe name"),
        (zipped({"/etc/passwd": b"1"}), "unsafe name"),
        (changed(zipped({"a__b": b"1"}), b"a__b", 0, b"..\\b"), "unsafe name"),
        (zipped({"C:a": b"1"}), "unsafe name"),
        (zipped({"a": b"1", "../": b""}), "unsafe name"),
        (zipped({"a": b"/etc/passwd"}, external_attr=0o120777 << 16), "a link"),
        (changed(zipped({"a": b"1"}), ENTRY, 8, b"\1\0"), "encrypted"),
        (changed(zipped({"a": b"1"}), END, 4, b"\1\0\1\0"), "several parts"),
        (zipped({"a": b"1"}, how=zipfile.ZIP_LZMA), "method 14"),
    ],
)
def test_a_zip_of_anything_but_one_plain_file_is_refused(data: bytes, words: str):
    error = refused(data)
    assert error.code == FileFault.UNUSABLE_ARCHIVE
    assert words in error.message


@pytest.mark.parametrize(
    ("name", "what"),
    [("[Content_Types].xml", "Excel"), ("META-INF/manifest.xml", "OpenDocument")],
)
def test_a_document_that_is_a_zip_is_named(name: str, what: str):
    error = refused(zipped({name: b"<x/>", "xl/workbook.xml": b"<x/>"}))
    assert error.code == FileFault.NOT_TEXT
    assert what in error.message


def test_entries_are_bounded_before_they_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zip_directory, "MAX_ENTRIES", 3)
    assert unpack(zipped({"a": b"1", "x/": b"", "y/": b""})) == b"1"
    data = zipped({"a": b"1", "x/": b"", "y/": b"", "z/": b""})
    assert "more than 3 entries" in refused(data).message


def test_a_comment_that_looks_like_the_end_is_none():
    file = io.BytesIO(zipped({"a": b"1"}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(18) + b"and more"
    assert unpack(file.getvalue()) == b"1"


def test_a_zip64_is_read():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("a")
        with archive.open(info, "w", force_zip64=True) as entry:
            entry.write(CONTENT)
    assert unpack(_as_zip64(file.getvalue())) == CONTENT


def _as_zip64(data: bytes) -> bytes:
    """Return a zip of one entry with its numbers moved to the fields of zip64."""
    directory, end = data.rfind(ENTRY), data.rfind(END)
    entry = bytearray(data[directory:end])
    packed, size = struct.unpack_from("<2L", entry, 20)
    (offset,) = struct.unpack_from("<L", entry, 42)
    extra = struct.pack("<2H3Q", 1, 24, size, packed, offset)
    struct.pack_into("<2L", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", entry, 30, len(extra))
    struct.pack_into("<L", entry, 42, 0xFFFFFFFF)
    entry[46 + 1 :] = extra
    place = directory + len(entry)
    end64 = struct.pack(
        *("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(entry), directory)
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, place, 1)
    last = struct.pack("<4s4H2LH", END, 0, 0, *(0xFFFF,) * 2, *(0xFFFFFFFF,) * 2, 0)
    return data[:directory] + bytes(entry) + end64 + locator + last


def restated(data: bytes, content: bytes, **fields: int) -> bytes:
    """Return a zip whose directory says that its file is `content`."""
    places = {"method": (10, "<H"), "packed": (20, "<L")}
    values = {(24, "<L"): len(content), (16, "<L"): zlib.crc32(content)}
    values |= {places[name]: value for name, value in fields.items()}
    for (at, form), value in values.items():
        data = changed(data, ENTRY, at, struct.pack(form, value))
    return data


@pytest.mark.parametrize("size", [1, 16_379], ids=["inside", "edge"])
def test_a_stream_longer_than_stated_is_refused(size: int):
    """At the edge it ends with a piece that is unpacked at once."""
    content = bytes(size)
    stream = b"\x01" + struct.pack("<2H", size, size ^ 0xFFFF) + content
    data = zipped({"a": stream + b"more"}, how=zipfile.ZIP_STORED)
    data = restated(changed(data, LOCAL, 8, b"\x08"), content, method=8)
    error = refused(data)
    assert error.code == FileFault.DAMAGED_ARCHIVE


def test_a_file_that_reaches_into_the_directory_is_refused():
    data = zipped({"a": b"1"}, how=zipfile.ZIP_STORED)
    assert unpack(restated(data, b"1", packed=1)) == b"1"
    data = restated(data, b"1PK\1\2", packed=5)
    assert refused(data).code == FileFault.DAMAGED_ARCHIVE


def test_a_file_stated_as_too_large_is_not_even_begun():
    data = restated(zipped(), b"")
    data = changed(data, ENTRY, 24, struct.pack("<L", 2**31))
    fetch = Stored(data)
    with pytest.raises(SourceError, match="unpacks to more"):
        list(Unpacked(fetch, len(data), limits=ROOMY))
    assert fetch.asked[-1] == (0, 30 + len("a.csv"))
