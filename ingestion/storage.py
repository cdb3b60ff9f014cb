"""The object store in force: a folder or an S3 bucket, behind one small interface.

Reads stream; django-storages' own file object would take the whole object into memory.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO, Final

from django.core.files.storage import FileSystemStorage, storages
from storages.backends.s3 import S3Storage

from ingestion.objects import (
    BLOCK_BYTES,
    ObjectChangedError,
    ObjectMissingError,
    Store,
    StoredObject,
    StoreUnavailableError,
    UnsafePathError,
    UploadCutError,
    object_key,
)
from ingestion.s3_store import S3Store

__all__ = [
    "BLOCK_BYTES",
    "FolderStore",
    "ObjectChangedError",
    "ObjectMissingError",
    "S3Store",
    "Store",
    "StoreUnavailableError",
    "StoredObject",
    "UnsafePathError",
    "UploadCutError",
    "object_key",
    "store",
]

_NO_SUCH_FILE: Final = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


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

    def blocks(
        self, item: StoredObject, offset: int, end: int | None = None
    ) -> Iterator[bytes]:
        """Read the file block by block, as long as it stays the same; see Store."""
        end = item.size if end is None else end
        with self._opened(item.key) as file:
            file.seek(offset)
            while True:
                block = file.read(max(0, min(BLOCK_BYTES, end - file.tell())))
                if _pinned(item.key, file) != item or self._is_another(item):
                    raise ObjectChangedError(item.key)
                if not block:
                    return
                yield block

    def _is_another(self, item: StoredObject) -> bool:
        """Return whether another file lies there now: it is replaced by a rename."""
        try:
            return self.stat(item.key) != item
        except ObjectMissingError:
            return True

    def write(self, key: str, content: BinaryIO) -> None:
        """Write beside the file, then rename: no reader sees a half; see Store."""
        try:
            target = self._path(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise UnsafePathError(
                "A file and a folder cannot have one name: choose another path."
            ) from None
        except OSError as error:
            raise StoreUnavailableError(str(error)) from error

    def reserve(self, key: str) -> bool:
        """Open the file as a new one; see Store."""
        try:
            target = self._path(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.open("xb").close()
        except (FileExistsError, ObjectMissingError):
            return False
        except OSError as error:
            raise StoreUnavailableError(str(error)) from error
        return True

    def remove_folder(self, key: str) -> None:
        """Remove the folder with all that is in it; see Store."""
        try:
            shutil.rmtree(self._path(key))
        except (ObjectMissingError, FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreUnavailableError(str(error)) from error

    def upload_form(self, key: str, **_: Any) -> None:
        """Return None: a folder answers nobody; see Store."""

    def download_url(self, key: str, **_: Any) -> None:
        """Return None: a folder answers nobody; see Store."""

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


def _replace(target: Path, content: BinaryIO) -> None:
    with NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
        try:
            shutil.copyfileobj(content, file, BLOCK_BYTES)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise


def _pinned(key: str, file: BinaryIO) -> StoredObject:
    found = os.fstat(file.fileno())
    tag = f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"
    return StoredObject(key, found.st_size, tag)
