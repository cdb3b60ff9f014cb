"""What the product asks of an object store: keys in a tenant's prefix, ranged reads.

Which store is in force, storage.py knows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

BLOCK_BYTES: Final = 256 * 1024
MAX_KEY_BYTES: Final = 900


class UnsafePathError(ValueError):
    """A path that does not stay inside the tenant's own prefix."""


class ObjectMissingError(LookupError):
    """There is no such object."""


class ObjectChangedError(RuntimeError):
    """The object is not the one that was pinned."""


class StoreUnavailableError(RuntimeError):
    """The store did not answer, or refused; trying again may help."""


class UploadCutError(RuntimeError):
    """What was to be written ended too early; nothing was written."""


@dataclass(frozen=True, slots=True)
class Form:
    """Where a form takes an object, and the fields that go before it."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object and the tag that pins its content."""

    key: str
    size: int
    etag: str


def object_key(tenant: str, path: str) -> str:
    """Return the key of a tenant's path: `tenants/<slug>/<path>`.

    The whole key of one's own object is accepted too. Raises UnsafePathError, whose
    message tells what is wrong, for anything that could leave the prefix.
    """
    own = f"tenants/{tenant}/"
    relative = path.removeprefix(own)
    problem = _path_problem(relative)
    if problem:
        raise UnsafePathError(problem)
    key = own + relative
    if len(key.encode()) > MAX_KEY_BYTES:
        raise UnsafePathError(f"The path is longer than {MAX_KEY_BYTES} bytes.")
    return key


def _path_problem(path: str) -> str | None:
    parts = path.split("/")
    if "://" in path:
        return "Give a path below the tenant's prefix, not a URL."
    if path.startswith("/"):
        return "The path must be relative: drop the leading '/'."
    if any(ord(char) < 32 or ord(char) == 127 for char in path) or "\\" in path:
        return "The path holds a control character or a backslash."
    if not path or any(part in {"", ".", ".."} for part in parts):
        return "The path has an empty, '.' or '..' part."
    if "%2e" in path.lower() or "%2f" in path.lower():
        return "The path holds an encoded '.' or '/'."
    if parts[0] == "tenants":
        return "The path lies under another tenant's prefix."
    if any(part != part.strip() for part in parts):
        return "A part of the path starts or ends with a space."
    return None


class Store(Protocol):
    """What the product asks of an object store."""

    def stat(self, key: str) -> StoredObject:
        """Return an object's size and tag. Raises ObjectMissingError."""
        ...

    def size_hint(self, key: str) -> int | None:
        """Return an object's size if that takes no call over a network, else None."""
        ...

    def blocks(
        self, item: StoredObject, offset: int, end: int | None = None
    ) -> Iterator[bytes]:
        """Stream the pinned object from a byte offset, up to `end` or its own end.

        Raises ObjectMissingError, ObjectChangedError or StoreUnavailableError.
        """
        ...

    def write(self, key: str, content: BinaryIO) -> None:
        """Write a whole object, replacing any.

        Raises StoreUnavailableError, and whatever reading the content does; then
        nothing is written.
        """
        ...

    def reserve(self, key: str) -> bool:
        """Make an empty object if there is none; returns whether there was none.

        Of several at one moment one is told so. Raises StoreUnavailableError.
        """
        ...

    def remove_folder(self, key: str) -> None:
        """Remove every object below a key, which a tenant's own objects have in common.

        None may be there. Raises StoreUnavailableError; some may be gone then.
        """
        ...

    def upload_form(
        self, key: str, *, size: int, content_type: str, seconds: int
    ) -> Form | None:
        """Return a form that takes one object of exactly that size, for a while.

        None where the store is no server of its own.
        """
        ...

    def download_url(self, key: str, *, name: str, seconds: int) -> str | None:
        """Return an address that hands out an object under a name, for a while.

        None where the store is no server of its own.
        """
        ...
