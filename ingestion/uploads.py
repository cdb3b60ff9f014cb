"""Files on their way in: who may put which one where, and for how long.

What was allowed is signed and not stored: whoever holds the token may send that one
file, again and again until it expires.
"""

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, Self

from django.conf import settings
from django.core import signing

from ingestion.artifacts import FOLDERS
from ingestion.objects import Form
from ingestion.storage import (
    UnsafePathError,
    UploadCutError,
    object_key,
    store,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: How long a file may take to begin to come.
LIFETIME: Final = timedelta(minutes=10)
_SALT: Final = "ingestion.uploads"
_BUFFER_BYTES: Final = 256 * 1024
#: More no folder takes.
_MOST_NAME_BYTES: Final = 255


class UploadTooLargeError(ValueError):
    """The file is larger than is taken."""


class UnknownUploadError(LookupError):
    """The token is none of ours."""


class UploadExpiredError(RuntimeError):
    """The time in which the file could be sent is over."""


class Readable(Protocol):
    """Where the bytes of a file come from."""

    def read(self, size: int, /) -> bytes:
        """Return that many bytes, or fewer."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a tenant may put at a path of its own."""

    tenant: str
    path: str
    size: int
    expires_at: datetime

    @property
    def key(self) -> str:
        """Return the key of the object."""
        return object_key(self.tenant, self.path)

    @property
    def token(self) -> str:
        """Return the proof that it was allowed."""
        expires = int(self.expires_at.timestamp())
        values = [self.tenant, self.path, self.size, expires]
        return signing.dumps(values, salt=_SALT)

    @classmethod
    def of(cls, token: str) -> Self:
        """Return what a token allows, or did. Raises UnknownUploadError."""
        try:
            tenant, path, size, expires = signing.loads(token, salt=_SALT)
        except signing.BadSignature:
            raise UnknownUploadError("There is no such upload.") from None
        return cls(tenant, path, size, datetime.fromtimestamp(expires, UTC))


def upload_path(*, tenant: str, path: str) -> str:
    """Return a path below the tenant's prefix at which people may put files.

    Raises UnsafePathError.
    """
    relative = object_key(tenant, path).removeprefix(f"tenants/{tenant}/")
    first, *_ = parts = relative.split("/")
    if first in FOLDERS:
        raise UnsafePathError("That folder is kept for what jobs leave behind.")
    if any(len(part.encode()) > _MOST_NAME_BYTES for part in parts):
        raise UnsafePathError(
            f"A name between two slashes may have {_MOST_NAME_BYTES} bytes at most."
        )
    if "${" in relative:
        raise UnsafePathError("The path holds '${', which stores give a meaning.")
    return relative


def upload_begin(*, tenant: str, path: str, size: int, now: datetime) -> Upload:
    """Allow a tenant to put a file of that size at a path below its own prefix.

    Raises UnsafePathError or UploadTooLargeError.
    """
    relative = upload_path(tenant=tenant, path=path)
    if size > settings.UPLOAD_MAX_BYTES:
        most = settings.UPLOAD_MAX_BYTES
        raise UploadTooLargeError(f"A file may have {most:,} bytes at most.")
    return Upload(tenant, relative, size, now.replace(microsecond=0) + LIFETIME)


def upload_form(*, upload: Upload, content_type: str) -> Form | None:
    """Return a form of the store's own that takes the file, if the store has one."""
    return store().upload_form(
        upload.key,
        size=upload.size,
        content_type=content_type,
        seconds=int(LIFETIME.total_seconds()),
    )


def upload_receive(*, upload: Upload, content: Readable, now: datetime) -> None:
    """Write the file as it comes; a part of it is never seen.

    Raises UploadExpiredError, UploadCutError or StoreUnavailableError.
    """
    if now >= upload.expires_at:
        raise UploadExpiredError("The upload was not begun in time; ask for it anew.")
    incoming = io.BufferedReader(_Incoming(content, upload.size), _BUFFER_BYTES)
    store().write(upload.key, incoming)


class _Incoming(io.RawIOBase):
    """Bytes from a connection, all of which have to come."""

    def __init__(self, content: Readable, size: int) -> None:
        self._content = content
        self._left = size

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Take the next bytes. Raises UploadCutError if there are none."""
        view = memoryview(buffer)
        wanted = min(len(view), self._left)
        if not wanted:
            return 0
        try:
            data = self._content.read(wanted)
        except OSError as error:
            raise UploadCutError(f"The connection broke: {error}") from error
        if not data:
            raise UploadCutError(f"{self._left:,} bytes are missing.")
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)
