"""API keys as text: `fq_live_<8 id>_<32 secret>_<6 checksum>`, all base62.

Pure but for the random numbers. The checksum refuses a mistyped or cut key without any
look-up, and lets secret scanners recognise a leaked one. The id may be shown; the whole
key is shown once, and only its digest is stored. The secret has 190 bits of entropy, so
a plain SHA-256 without salt is enough.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "fq_live"
ID_LENGTH: Final = 8
SECRET_LENGTH: Final = 32
CHECKSUM_LENGTH: Final = 6
ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase

_SHAPE = re.compile(
    rf"({PREFIX}_([0-9A-Za-z]{{{ID_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH}}})"
    rf"_([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)


class MalformedKeyError(ValueError):
    """The text is not an API key: its shape or its checksum is wrong."""


@dataclass(frozen=True, slots=True)
class Key:
    """A well-formed key: its public id, and the digest that is stored."""

    id: str
    digest: str


def make() -> str:
    """Return a new random key."""
    key_id, secret = _random(ID_LENGTH), _random(SECRET_LENGTH)
    body = f"{PREFIX}_{key_id}_{secret}"
    return f"{body}_{checksum(body)}"


def parse(text: str) -> Key:
    """Return the parts of a key.

    Raises MalformedKeyError.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise MalformedKeyError("not the shape of a key")
    body, key_id, given = match.groups()
    if given != checksum(body):
        raise MalformedKeyError("the checksum does not match")
    return Key(id=key_id, digest=digest(text))


def checksum(body: str) -> str:
    """Return the CRC-32 of a key without its checksum, as 6 base62 digits."""
    value = zlib.crc32(body.encode("ascii"))
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        value, rest = divmod(value, len(ALPHABET))
        digits.append(ALPHABET[rest])
    return "".join(reversed(digits))


def digest(text: str) -> str:
    """Return what is stored of a key: the SHA-256 of all of it, in hex."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
