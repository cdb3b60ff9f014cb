"""The object store: keys inside a tenant's prefix, ranged reads, whole writes.

One small interface over Django's storage in force: a folder or an S3 bucket.
Reads stream; django-storages' own file object would take the whole object into memory.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.storage import FileSystemStorage, storages
from storages.backends.s3 import S3Storage

BLOCK_BYTES: Final = 256 * 1024
MAX_KEY_BYTES: Final = 900

_NO_SUCH_FILE: Final = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


class UnsafePathError(ValueError):
    """A path that does not stay inside the tenant's own prefix."""


class ObjectMissingError(LookupError):
    """There is no such object."""


class ObjectChangedError(RuntimeError):
    """The object is not the one that was pinned."""


class StoreUnavailableError(RuntimeError):
    """The store did not answer, or refused; trying again may help."""


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

    def blocks(self, item: StoredObject, offset: int) -> Iterator[bytes]:
        """Stream the pinned object from a byte offset.

        Raises ObjectMissingError, ObjectChangedError or StoreUnavailableError.
        """
        ...

    def write(self, key: str, content: BinaryIO) -> None:
        """Write a whole object, replacing any. Raises StoreUnavailableError."""
        ...


def store() -> Store:
    """Return the store that STORAGE_URL names."""
    backend = storages["default"]
    if isinstance(backend, S3Storage):
        return S3Store(backend)
    if isinstance(backend, FileSystemStorage):
        return FolderStore(backend)
    raise TypeError(f"no store for {type(backend).__name__}")


class FolderStore:
    """Objects as files of a folder."""

    def __init__(self, storage: FileSystemStorage) -> None:
        self.storage = storage

    def stat(self, key: str) -> StoredObject:
        """Tag a file by its size, its time of change and its place; see Store."""
        with self._opened(key) as file:
            return _pinned(key, file)

    def size_hint(self, key: str) -> int | None:
        """Look at the file, if there is one yet; see Store."""
        try:
            return self.stat(key).size
        except (ObjectMissingError, StoreUnavailableError):
            return None

    def blocks(self, item: StoredObject, offset: int) -> Iterator[bytes]:
        """Read the file block by block, as long as it stays the same; see Store."""
        with self._opened(item.key) as file:
            file.seek(offset)
            while True:
                block = file.read(BLOCK_BYTES)
                if _pinned(item.key, file) != item:
                    raise ObjectChangedError(item.key)
                if not block:
                    return
                yield block

    def write(self, key: str, content: BinaryIO) -> None:
        """Write beside the file, then rename: no reader sees a half; see Store."""
        try:
            target = self._path(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=target.parent, delete=False) as file:
                shutil.copyfileobj(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, target)
        except OSError as error:
            raise StoreUnavailableError(str(error)) from error

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        try:
            path = self._path(key)
            # A pipe would block for ever, and a folder is no object.
            if not path.is_file():
                raise ObjectMissingError(key)
            file = path.open("rb")
        except OSError as error:
            if error.errno in _NO_SUCH_FILE:
                raise ObjectMissingError(key) from None
            raise StoreUnavailableError(str(error)) from error
        with file:
            yield file

    def _path(self, key: str) -> Path:
        """Return where the object lies, links followed, if that is its tenant's folder.

        Raises ObjectMissingError for a link that leads out of it.
        """
        path = Path(self.storage.path(key)).resolve()
        tenants, slug = key.split("/")[:2]
        own = Path(self.storage.location).resolve() / tenants / slug
        if not path.is_relative_to(own):
            raise ObjectMissingError(key)
        return path


def _pinned(key: str, file: BinaryIO) -> StoredObject:
    found = os.fstat(file.fileno())
    tag = f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"
    return StoredObject(key, found.st_size, tag)


class S3Store:
    """Objects of one S3 bucket."""

    def __init__(self, storage: S3Storage) -> None:
        self.storage = storage
        self.client = storage.connection.meta.client
        self.bucket = storage.bucket_name

    def stat(self, key: str) -> StoredObject:
        """Ask for the head of the object; see Store."""
        with _translated(key):
            head = self.client.head_object(Bucket=self.bucket, Key=key)
        return StoredObject(key, head["ContentLength"], head["ETag"])

    def size_hint(self, key: str) -> int | None:
        """Ask nothing: who enqueues must not wait for a bucket that hangs."""
        return None

    def blocks(self, item: StoredObject, offset: int) -> Iterator[bytes]:
        """Get the range from the offset, only if the tag still matches; see Store."""
        if offset >= item.size:
            return
        with _translated(item.key):
            response = self.client.get_object(
                Bucket=self.bucket,
                Key=item.key,
                IfMatch=item.etag,
                Range=f"bytes={offset}-{item.size - 1}",
            )
            with closing(response["Body"]) as body:
                yield from body.iter_chunks(BLOCK_BYTES)

    def write(self, key: str, content: BinaryIO) -> None:
        """Upload in parts where the object is large; see Store."""
        with _translated(key):
            self.client.upload_fileobj(content, self.bucket, key)


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Turn the client's errors into the store's."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in {"404", "NoSuchKey", "NotFound"}:
            raise ObjectMissingError(key) from error
        if code in {"412", "PreconditionFailed"}:
            raise ObjectChangedError(key) from error
        raise StoreUnavailableError(f"{key}: {error}") from error
    except (BotoCoreError, OSError) as error:
        raise StoreUnavailableError(f"{key}: {error}") from error
