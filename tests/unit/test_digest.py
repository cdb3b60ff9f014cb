"""The digest of a file: the same, however it is cut and wherever it is interrupted."""

import json
from hashlib import sha256
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import digest
from ingestion.digest import Digest, Hasher

pytestmark = pytest.mark.unit

BLOCK = 8
contents = st.binary(max_size=5 * BLOCK)
cuts = st.lists(st.integers(0, 5 * BLOCK), max_size=5)


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "BLOCK_BYTES", BLOCK)
        yield


def pieces(content: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(content)) for place in places), len(content)]
    return [content[start:end] for start, end in pairwise(edges)]


def of(content: bytes, places: list[int] = []) -> str:  # noqa: B006
    hasher = Hasher(Digest())
    passed = b"".join(hasher.through(pieces(content, places), at=0, since=0))
    assert passed == content
    return hasher.whole().chain


def chained(content: bytes) -> str:
    """Return what the documents say that the digest is."""
    first, *rest = [content[n : n + BLOCK] for n in range(0, len(content), BLOCK)] or [
        b""
    ]
    chain = sha256(first).digest()
    for block in rest:
        chain = sha256(chain + sha256(block).digest()).digest()
    return chain.hex()


@given(contents, cuts)
def test_it_is_what_the_documents_say_however_it_is_cut(content, places):
    assert of(content, places) == chained(content)


@pytest.mark.parametrize("content", [b"", b"a", b"a" * BLOCK])
def test_a_file_of_one_block_has_the_digest_that_any_tool_tells(content: bytes):
    assert of(content) == sha256(content).hexdigest()


@given(contents, contents)
def test_other_content_has_another_digest(one, other):
    assert (of(one) == of(other)) == (one == other)


@given(contents, cuts, st.integers(0, 5), st.integers(0, 5 * BLOCK))
def test_it_is_gone_on_with_from_any_state_and_any_place(content, places, read, since):
    """The reader may be behind the digest or ahead of it."""
    hasher = Hasher(Digest())
    begun = pieces(content, places)
    for _ in hasher.through(begun[:read], at=0, since=0):
        pass
    kept = Digest.from_json(json.loads(json.dumps(hasher.digest.to_json())))
    since = min(since, len(content))
    at = min(since, kept.offset)
    later = Hasher(kept)
    rest = pieces(content[at:], places)
    assert b"".join(later.through(rest, at=at, since=since)) == content[since:]
    assert later.whole().chain == chained(content)


@given(contents, st.integers(0, 5 * BLOCK))
def test_what_is_whole_stays_as_it_is(content, since):
    hasher = Hasher(Digest())
    for _ in hasher.through([content], at=0, since=0):
        pass
    whole = hasher.whole()
    assert whole == Digest(len(content), chained(content), True)
    again = Hasher(whole)
    since = min(since, len(content))
    passed = again.through([content[since:]], at=since, since=since)
    assert b"".join(passed) == content[since:]
    assert again.whole() == whole


def test_the_documents_take_the_same_digest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digest, "BLOCK_BYTES", 4 << 20)
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)  # noqa: S102
    for size in (0, 1000, 4 << 20, (9 << 20) + 1):
        content = Random(size).randbytes(size)
        assert names["content_digest"](BytesIO(content)) == of(content)
