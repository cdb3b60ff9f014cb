"""A file that somebody brings: put under a free path of the tenant, then enqueued.

The store is written before any transaction is open. What ends in between leaves a file
that no job names, and no job without its file.
"""

from datetime import UTC, datetime
from secrets import token_hex
from typing import BinaryIO, Final

from ingestion.profiles import source_for
from ingestion.storage import UnsafePathError, object_key, store
from ingestion.uploads import upload_begin, upload_path
from jobs import switches
from jobs.models import Job
from jobs.services import job_enqueue
from tenants.scoping import tenant_scope

#: A file of a folder may have 255 bytes in its name, and a suffix is added to some.
MAX_NAME_BYTES: Final = 200
_TRIES: Final = 5
_KIND: Final = "ingest"


class EmptyFileError(ValueError):
    """There is nothing in the file."""


class PathTakenError(RuntimeError):
    """Something lies at the path already."""


def file_bring(
    *,
    tenant: str,
    source: str,
    name: str,
    content: BinaryIO,
    size: int,
    now: datetime,
) -> Job:
    """Put a file of `size` bytes under a path of its own, and enqueue its load.

    Call it outside a transaction. Raises UnknownSourceError, UnsafePathError,
    UploadTooLargeError, EmptyFileError, switches.NotAcceptingError or
    StoreUnavailableError; then nothing is enqueued.
    """
    source_for(tenant=tenant, name=source)
    if not size:
        raise EmptyFileError("The file is empty.")
    # Refused before a large file is carried about; it is looked at again below.
    with tenant_scope(tenant):
        switches.check_accepting(tenant=tenant, kind=_KIND)
    path = _reserved(tenant=tenant, name=_plain(name), size=size, now=now)
    store().write(object_key(tenant, path), content)
    with tenant_scope(tenant):
        return job_enqueue(
            tenant_id=tenant,
            kind=_KIND,
            payload={"s3_path": path, "source": source},
            size=size,
            now=now,
        )


def file_put(*, tenant: str, path: str, content: BinaryIO, may_replace: bool) -> str:
    """Write a file at a path of a tenant; returns its key.

    Raises UnsafePathError, PathTakenError, or StoreUnavailableError.
    """
    key = object_key(tenant, upload_path(tenant=tenant, path=path))
    if not may_replace and not store().reserve(key):
        raise PathTakenError(f"{path} is there already.")
    store().write(key, content)
    return key


def _reserved(*, tenant: str, name: str, size: int, now: datetime) -> str:
    """Return a path where nothing was; from now on nobody else is given it."""
    folder = f"uploads/{now.astimezone(UTC).date().isoformat()}"
    path = f"{folder}/{name}"
    for _ in range(_TRIES):
        upload = upload_begin(tenant=tenant, path=path, size=size, now=now)
        if store().reserve(upload.key):
            return upload.path
        stem, dot, rest = name.partition(".")
        path = f"{folder}/{stem}-{token_hex(3)}{dot}{rest}"
    raise PathTakenError(f"No free path for {name} was found; try again.")


def _plain(name: str) -> str:
    """Return the last part of a name, be it a path of whatever system.

    Raises UnsafePathError where that is too long.
    """
    plain = name.replace("\\", "/").rpartition("/")[2].strip()
    if len(plain.encode()) > MAX_NAME_BYTES:
        raise UnsafePathError(f"The name is longer than {MAX_NAME_BYTES} bytes.")
    return plain
