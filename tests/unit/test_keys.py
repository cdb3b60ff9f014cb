"""API keys as text."""

import re

import pytest

from tenants import keys

# Computed once by another program: the shape of a key is a promise to secret scanners.
BODY = "fq_live_AbCd1234_0123456789abcdefghijABCDEFGHIJ01"


def test_a_new_key_has_the_promised_shape_and_parses():
    text = keys.make()
    assert re.fullmatch(r"fq_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}", text)
    parsed = keys.parse(text)
    assert parsed.id == text.split("_")[2]
    assert parsed.digest == keys.digest(text)
    assert re.fullmatch(r"[0-9a-f]{64}", parsed.digest)


def test_keys_differ():
    assert len({keys.make() for _ in range(100)}) == 100


def test_the_checksum_is_crc32_in_six_base62_digits():
    assert keys.checksum(BODY) == "2qkdzk"


@pytest.mark.parametrize("position", range(len(BODY) + 7))
def test_one_wrong_character_is_refused(position: int):
    text = f"{BODY}_{keys.checksum(BODY)}"
    other = "x" if text[position] != "x" else "y"
    with pytest.raises(keys.MalformedKeyError):
        keys.parse(text[:position] + other + text[position + 1 :])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace("live", "test"),
        lambda text: text.upper(),
        lambda text: text.replace("1", "\uff11"),  # a full-width digit
    ],
)
def test_another_shape_is_refused(change):
    text = f"{BODY}_{keys.checksum(BODY)}"
    keys.parse(text)
    with pytest.raises(keys.MalformedKeyError):
        keys.parse(change(text))


def test_the_digest_covers_the_whole_key():
    text = f"{BODY}_{keys.checksum(BODY)}"
    assert keys.digest(text) != keys.digest(BODY)
