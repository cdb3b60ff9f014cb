"""The `ingest` kind: a stored file becomes rows of `fintech_transactions`.

Steps: register the file, load it chunk by chunk, close it. The checkpoint holds the
file's row, the pinned object, the position in it and the counts so far, so that a new
attempt goes on with the next row.
"""

import logging
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final, Self
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now

from ingestion import artifacts, loader, sample, storage
from ingestion.loader import Counts, Target
from ingestion.models import IngestedFile, KeptOutRow
from ingestion.payloads import IngestPayload
from ingestion.sources.base import Position, Reader, Record, SourceError
from ingestion.sources.registry import UnknownSourceError, reader_get
from ingestion.storage import StoredObject
from jobs.errors import PermanentError, RetryableError
from jobs.handlers import Assignment, Checkpoint, JSONDict, Kind, Step
from jobs.payloads import checked_by

logger = logging.getLogger(__name__)

#: A chunk of long rows ends here: its rows are all in memory at once.
CHUNK_BYTES: Final = 4 * 1024 * 1024

Steps = Generator[Step, Checkpoint, JSONDict]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is: what a checkpoint keeps."""

    file_id: int
    item: StoredObject
    chunk: int = 0
    position: Position | None = None
    counts: Counts = Counts()  # noqa: RUF009 - frozen

    @classmethod
    def from_json(cls, state: JSONDict) -> Self:
        """Return what `to_json` wrote."""
        position = state["position"]
        return cls(
            file_id=state["file_id"],
            item=StoredObject(**state["item"]),
            chunk=state["chunk"],
            position=None if position is None else Position.from_json(position),
            counts=Counts(**state["counts"]),
        )

    def to_json(self) -> JSONDict:
        """Return the state to keep in the checkpoint."""
        return {
            "file_id": self.file_id,
            "item": asdict(self.item),
            "chunk": self.chunk,
            "position": None if self.position is None else self.position.to_json(),
            "counts": asdict(self.counts),
        }

    def checkpoint(self, **usage: int) -> Checkpoint:
        """Return the checkpoint of the step that led here."""
        offset = 0 if self.position is None else self.position.offset
        return Checkpoint(
            state=self.to_json(),
            done=offset,
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
    source = assignment.payload["source"]
    read = reader_get(source)
    if assignment.checkpoint is None:
        key = storage.object_key(assignment.tenant, assignment.payload["s3_path"])
        item = storage.store().stat(key)
        checkpoint = yield partial(_register, assignment, item)
        progress = Progress.from_json(checkpoint.state)
    else:
        progress = Progress.from_json(assignment.checkpoint)
    target = Target(assignment.tenant, source, progress.file_id)
    for records in _chunks(read, progress):
        checkpoint = yield partial(_load, target, progress, records)
        progress = Progress.from_json(checkpoint.state)
    paths = _write_artifacts(assignment, progress)
    yield partial(_close, progress, paths)
    counts = asdict(progress.counts)
    return {**counts, **{name: path or None for name, path in paths.items()}}


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
    return Progress(file_id=file.pk, item=item).checkpoint()


def _chunks(read: Reader, progress: Progress) -> Iterator[list[Record]]:
    resume = progress.position
    offset = 0 if resume is None else resume.offset
    records = read(storage.store().blocks(progress.item, offset), resume=resume)
    for first in records:
        chunk, end = [first], offset + CHUNK_BYTES
        while chunk[-1].end_offset < end and len(chunk) < settings.INGEST_CHUNK_ROWS:
            record = next(records, None)
            if record is None:
                break
            chunk.append(record)
        offset = chunk[-1].end_offset
        yield chunk


def _load(target: Target, progress: Progress, records: list[Record]) -> Checkpoint:
    counts = loader.load(target, records)
    before = 0 if progress.position is None else progress.position.offset
    after = replace(
        progress,
        chunk=progress.chunk + 1,
        position=records[-1].position,
        counts=progress.counts + counts,
    )
    IngestedFile.objects.filter(pk=target.file_id).update(
        state=IngestedFile.State.LOADING, **asdict(after.counts)
    )
    size = records[-1].end_offset - before
    return after.checkpoint(rows=counts.rows, bytes=size)


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
    IngestedFile.objects.filter(pk=progress.file_id).update(
        state=IngestedFile.State.LOADED, loaded_at=Now(), **paths
    )
    checkpoint = progress.checkpoint()
    return replace(checkpoint, done=progress.item.size, is_last=True)


def mark_failed(job_id: UUID) -> None:
    """Show the file of a dead or cancelled job as failed."""
    IngestedFile.objects.filter(job_id=job_id).update(state=IngestedFile.State.FAILED)


def why_fixed(job_id: UUID) -> str:
    """Return why a job has to stay with its file: rows of it are loaded and counted."""
    file = IngestedFile.objects.filter(job_id=job_id, rows__gt=0).first()
    if file is None:
        return ""
    return (
        f"{file.rows:,} row(s) of {file.path!r} are loaded, so the job can only go on "
        "with that file. Enqueue another file as a job of its own, and discard this."
    )


def forget_file(job_id: UUID) -> None:
    """Remove the file that a job had registered and of which nothing was loaded."""
    IngestedFile.objects.filter(job_id=job_id).delete()


INGEST = Kind(
    name="ingest",
    handler=ingest,
    prior_us=2_000_000,
    on_unfinished=mark_failed,
    sample=sample.put,
    check_payload=checked_by(IngestPayload),
    why_fixed=why_fixed,
    on_edited=forget_file,
)
