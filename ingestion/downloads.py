"""What may be fetched of a file: the original, and what its load left.

A store that is a server of its own hands it out itself, by a link that is good for a
short while; otherwise it is streamed from here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import PurePosixPath
from typing import Final

from ingestion.models import IngestedFile
from ingestion.selectors import (
    ARTIFACTS,
    Artifact,
    NoArtifactError,
    artifact_path,
)
from ingestion.storage import ObjectMissingError, StoredObject, object_key, store

LINK_LIFETIME: Final = timedelta(minutes=5)
ORIGINAL: Final = "original"
#: Whatever can be asked for.
WHATS: Final = (ORIGINAL, *ARTIFACTS)


@dataclass(frozen=True, slots=True)
class Download:
    """An object, and how it is handed out."""

    key: str
    name: str
    content_type: str
    #: The tag that it must still have; "" for what nobody else writes.
    etag: str = ""

    def found(self) -> StoredObject:
        """Return the object in the store.

        Raises ObjectMissingError, also if it was replaced, or StoreUnavailableError.
        """
        item = store().stat(self.key)
        if self.etag and item.etag != self.etag:
            raise ObjectMissingError(f"{self.key}: it was replaced since")
        return item

    def link(self) -> str | None:
        """Return a link for a short while; None where the store has none."""
        seconds = int(LINK_LIFETIME.total_seconds())
        return store().download_url(self.key, name=self.name, seconds=seconds)

    def opened(self) -> tuple[StoredObject, Iterator[bytes]]:
        """Return the object and its blocks, the first one read: it may be refused.

        Raises ObjectMissingError, ObjectChangedError or StoreUnavailableError.
        """
        item = self.found()
        blocks = store().blocks(item, 0)
        return item, chain([next(blocks, b"")], blocks)


def artifact_download(artifact: Artifact, key: str, *, name: str) -> Download:
    """Return what a load left at a key, to be handed out by a name."""
    suffix = PurePosixPath(key).suffix
    return Download(key, f"{name}{suffix}", artifact.content_type)


def download_of(file: IngestedFile, what: str) -> Download:
    """Return one of `WHATS` of a file; raises NoArtifactError."""
    if what == ORIGINAL:
        key = object_key(file.tenant_id, file.path)
        name = PurePosixPath(key).name
        return Download(key, name, "application/octet-stream", file.etag)
    if what not in ARTIFACTS:
        raise NoArtifactError("A load leaves no such file.")
    key = artifact_path(file=file, artifact=ARTIFACTS[what])
    return artifact_download(ARTIFACTS[what], key, name=f"{what}-{file.pk}")


def downloads_of(file: IngestedFile) -> dict[str, Download]:
    """Return all that there should be of a file, by what it is."""
    left = [name for name in ARTIFACTS if getattr(file, f"{name}_path")]
    return {what: download_of(file, what) for what in (ORIGINAL, *left)}
