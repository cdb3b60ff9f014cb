"""The `ingest` kind: a stored file becomes rows of `fintech_transactions`.

Steps: register the file, load it chunk by chunk, close it. The checkpoint holds the
file's row, the pinned object and the position in it, so that a new attempt goes on with
the next row; what became of the rows so far is beside the parts (ingestion/parts.py).
"""

import logging
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final, Self
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now

from ingestion import artifacts, sample, storage
from ingestion.loader import Target
from ingestion.models import FilePart, IngestedFile, KeptOutRow
from ingestion.opening import opened
from ingestion.parts import Parts
from ingestion.reading import Ahead, Chunk, chunks
from ingestion.sources.base import Position, Source, SourceError
from ingestion.sources.registry import UnknownSourceError, source_get
from ingestion.storage import StoredObject
from jobs.errors import PermanentError, RetryableError
from jobs.handlers import Assignment, Checkpoint, JSONDict, Kind, Step

logger = logging.getLogger(__name__)

#: A smaller file is not worth a second connection.
SMALL_FILE_BYTES: Final = 1024 * 1024

Steps = Generator[Step, Checkpoint, JSONDict]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is: what a checkpoint keeps."""

    file_id: int
    item: StoredObject
    #: Into how many parts its rows are dealt, from the first chunk to the last.
    parts: int = 1
    chunk: int = 0
    position: Position | None = None
    #: Bytes of the stored file that were unpacked; None if it is not compressed.
    taken: int | None = None

    @property
    def offset(self) -> int:
        """Return how many bytes of the file, unpacked, are loaded."""
        return 0 if self.position is None else self.position.offset

    @classmethod
    def from_json(cls, state: JSONDict) -> Self:
        """Return what `to_json` wrote."""
        position = state["position"]
        return cls(
            file_id=state["file_id"],
            item=StoredObject(**state["item"]),
            parts=state["parts"],
            chunk=state["chunk"],
            position=None if position is None else Position.from_json(position),
            taken=state.get("taken"),
        )

    def to_json(self) -> JSONDict:
        """Return the state to keep in the checkpoint."""
        return {
            "file_id": self.file_id,
            "item": asdict(self.item),
            "parts": self.parts,
            "chunk": self.chunk,
            "position": None if self.position is None else self.position.to_json(),
            "taken": self.taken,
        }

    def checkpoint(self, **usage: int) -> Checkpoint:
        """Return the checkpoint of the step that led here."""
        return Checkpoint(
            state=self.to_json(),
            done=self.offset if self.taken is None else self.taken,
            total=self.item.size,
            unit="bytes",
            usage={(meter, f"0:{self.chunk}"): used for meter, used in usage.items()},
        )


def ingest(assignment: Assignment) -> Steps:
    """Load the file that the payload names; see the module."""
    try:
        return (yield from _ingest(assignment))
    except SourceError as error:
        raise PermanentError(
            error.code.value, error.message, column=error.column
        ) from error
    except UnknownSourceError as error:
        raise PermanentError("unknown_source", str(error)) from error
    except storage.UnsafePathError as error:
        raise PermanentError("unsafe_path", str(error)) from error
    except storage.ObjectMissingError as error:
        path = assignment.payload["s3_path"]
        text = f"There is no object {path!r}; upload it, then retry this job."
        raise PermanentError("object_missing", text) from error
    except storage.ObjectChangedError as error:
        text = "The object was replaced while it was being loaded; enqueue it anew."
        raise PermanentError("object_changed", text) from error
    except storage.StoreUnavailableError as error:
        logger.warning("The object store is unavailable: %s", error)
        text = "The object store is unavailable; the job is tried again."
        raise RetryableError("store_unavailable", text) from error


def _ingest(assignment: Assignment) -> Steps:
    source = source_get(assignment.payload["source"])
    if assignment.checkpoint is None:
        key = storage.object_key(assignment.tenant, assignment.payload["s3_path"])
        item = storage.store().stat(key)
        checkpoint = yield partial(_register, assignment, item)
        progress = Progress.from_json(checkpoint.state)
    else:
        progress = Progress.from_json(assignment.checkpoint)
    target = Target(assignment.tenant, source.name, progress.file_id)
    with Parts(assignment, target, progress.parts) as parts:
        with Ahead(_chunks(source, progress, parts.until_line)) as found:
            for chunk in found:
                checkpoint = yield partial(_load, parts, target, progress, chunk)
                progress = Progress.from_json(checkpoint.state)
        counts = parts.counts
    paths = _write_artifacts(assignment, progress)
    yield partial(_close, progress, paths)
    return {**asdict(counts), **{name: path or None for name, path in paths.items()}}


def _register(assignment: Assignment, item: StoredObject) -> Checkpoint:
    file = IngestedFile.objects.create(
        tenant_id=assignment.tenant,
        job_id=assignment.job_id,
        source=assignment.payload["source"],
        path=assignment.payload["s3_path"],
        size=item.size,
        etag=item.etag,
        state=IngestedFile.State.LOADING,
    )
    parts = settings.INGEST_LOADERS if item.size > SMALL_FILE_BYTES else 1
    return Progress(file_id=file.pk, item=item, parts=parts).checkpoint()


def _chunks(source: Source, progress: Progress, until_line: int) -> Iterator[Chunk]:
    plain = opened(progress.item, progress.offset)
    for chunk in chunks(
        source.read(plain, resume=progress.position),
        parts=progress.parts,
        most_rows=settings.INGEST_CHUNK_ROWS,
        until_line=until_line,
    ):
        chunk.taken = plain.taken
        yield chunk


def _load(parts: Parts, target: Target, progress: Progress, chunk: Chunk) -> Checkpoint:
    parts.load(chunk)
    after = replace(
        progress,
        chunk=progress.chunk + 1,
        position=chunk.position,
        taken=chunk.taken,
    )
    IngestedFile.objects.filter(pk=target.file_id).update(
        state=IngestedFile.State.LOADING, **asdict(parts.counts)
    )
    size = after.offset - progress.offset
    return after.checkpoint(rows=chunk.row_count, bytes=size)


def _write_artifacts(assignment: Assignment, progress: Progress) -> dict[str, str]:
    def write(why: KeptOutRow.Why, folder: str) -> str:
        path = f"{folder}/{assignment.job_id}.csv"
        return artifacts.write_kept_out(
            storage.store(),
            tenant=assignment.tenant,
            file_id=progress.file_id,
            why=why,
            key=storage.object_key(assignment.tenant, path),
        )

    return {
        "rejects_path": write(KeptOutRow.Why.REJECTED, "rejects"),
        "conflicts_path": write(KeptOutRow.Why.CONFLICTING, "conflicts"),
    }


def _close(progress: Progress, paths: dict[str, Any]) -> Checkpoint:
    FilePart.objects.filter(file_id=progress.file_id).delete()
    IngestedFile.objects.filter(pk=progress.file_id).update(
        state=IngestedFile.State.LOADED, loaded_at=Now(), **paths
    )
    checkpoint = progress.checkpoint()
    return replace(checkpoint, done=progress.item.size, is_last=True)


def mark_failed(job_id: UUID) -> None:
    """Show the file of a dead or cancelled job as failed."""
    IngestedFile.objects.filter(job_id=job_id).update(state=IngestedFile.State.FAILED)


INGEST = Kind(
    name="ingest",
    handler=ingest,
    prior_us=2_000_000,
    on_unfinished=mark_failed,
    sample=sample.put,
)
