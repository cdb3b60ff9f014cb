"""The `ingest` kind: a stored file becomes rows of `fintech_transactions`.

Steps: register the file, see whether it is one that was loaded before, compare what it
says about itself where its source does, load it chunk by chunk, close it. Checkpoints
hold the file's row, the pinned object and the position in it, so that a new attempt
goes on with the next row; what became of the rows so far is with the file
(ingestion/loaders.py).
"""

import logging
from collections.abc import Generator
from functools import partial
from typing import Final
from uuid import UUID

from django.conf import settings

from ingestion import profiles, sample, storage
from ingestion.digest import Digest
from ingestion.loading import load
from ingestion.models import IngestedFile
from ingestion.payloads import IngestPayload
from ingestion.progress import Phase, Progress
from ingestion.recognising import could_be_known, first_phase, recognise
from ingestion.reports import result_of
from ingestion.sources.base import Source, SourceError
from ingestion.sources.registry import UnknownSourceError
from ingestion.storage import StoredObject
from ingestion.summaries import write_summary
from ingestion.validating import validate
from jobs.errors import PermanentError, RetryableError
from jobs.handlers import Assignment, Checkpoint, JSONDict, Kind, Step
from jobs.payloads import checked_by

logger = logging.getLogger(__name__)

#: A smaller file is not worth a second connection.
SMALL_FILE_BYTES: Final = 1024 * 1024
_CHANGED: Final = "The object was replaced since it was looked at; enqueue it anew."
_SOURCE_CHANGED: Final = (
    "The source reads otherwise since the file was looked at; enqueue the file anew."
)
#: What a dead or cancelled job leaves as it is.
_CLOSED: Final = (IngestedFile.State.LOADED, IngestedFile.State.QUARANTINED)

#: More than any file has: nothing of one is left to take the digest of.
BEYOND_BYTES: Final = 1 << 62

Steps = Generator[Step, Checkpoint, JSONDict]


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
        raise PermanentError("object_changed", _CHANGED) from error
    except storage.StoreUnavailableError as error:
        logger.warning("The object store is unavailable: %s", error)
        text = "The object store is unavailable; the job is tried again."
        raise RetryableError("store_unavailable", text) from error


def _ingest(assignment: Assignment) -> Steps:
    name = assignment.payload["source"]
    if assignment.checkpoint is None:
        dialect = profiles.dialect_for(tenant=assignment.tenant, name=name)
        # Refused before anything is written.
        source = profiles.source_named(name, dialect)
        key = storage.object_key(assignment.tenant, assignment.payload["s3_path"])
        item = storage.store().stat(key)
        begin = _reopen if "file_id" in assignment.payload else _register
        checkpoint = yield partial(begin, assignment, source, item, dialect)
        progress = Progress.from_json(checkpoint.state)
    else:
        progress = Progress.from_json(assignment.checkpoint)
        source = profiles.source_named(name, progress.dialect)
    if progress.phase is Phase.RECOGNISING:
        progress = yield from recognise(source, progress)
    if progress.phase is Phase.VALIDATING:
        progress = yield from validate(assignment, source, progress)
    if progress.phase is Phase.LOADING:
        progress = yield from load(assignment, source, progress)
    write_summary(storage.store(), assignment.tenant, progress)
    return result_of(assignment.tenant, progress)


def _register(
    assignment: Assignment,
    source: Source,
    item: StoredObject,
    dialect: JSONDict | None,
) -> Checkpoint:
    file = IngestedFile.objects.create(
        tenant_id=assignment.tenant,
        job_id=assignment.job_id,
        source=source.name,
        source_version=source.version,
        path=assignment.payload["s3_path"],
        size=item.size,
        etag=item.etag,
    )
    is_wanted_anyhow = assignment.payload.get("reload", False)
    may_be_known = not is_wanted_anyhow and could_be_known(source, size=item.size)
    return Progress(
        file_id=file.pk,
        item=item,
        phase=Phase.RECOGNISING if may_be_known else first_phase(source),
        passes=2 if source.has_totals else 1,
        loaders=_loaders(item),
        dialect=dialect,
    ).checkpoint()


def _reopen(
    assignment: Assignment,
    source: Source,
    item: StoredObject,
    dialect: JSONDict | None,
) -> Checkpoint:
    """Begin to load a file that was released from its quarantine.

    Raises PermanentError if it was not, or is not what a person has decided about.
    """
    wanted = {"pk": assignment.payload["file_id"], "job_id": assignment.job_id}
    file = IngestedFile.objects.filter(**wanted).first()
    if file is None:
        text = "The file that the payload names was not released for this job."
        raise PermanentError("not_released", text)
    if (item.size, item.etag) != (file.size, file.etag):
        raise PermanentError("object_changed", _CHANGED)
    if source.version != file.source_version:
        raise PermanentError("source_changed", _SOURCE_CHANGED)
    return Progress(
        file_id=file.pk,
        item=item,
        phase=Phase.LOADING,
        loaders=_loaders(item),
        digest=Digest(BEYOND_BYTES, file.content_digest, is_whole=True),
        is_checked=True,
        dialect=dialect,
    ).checkpoint()


def _loaders(item: StoredObject) -> int:
    return settings.INGEST_LOADERS if item.size > SMALL_FILE_BYTES else 1


def mark_failed(job_id: UUID) -> None:
    """Show the file of a dead or cancelled job as failed, unless it is closed."""
    files = IngestedFile.objects.filter(job_id=job_id).exclude(state__in=_CLOSED)
    files.update(state=IngestedFile.State.FAILED)


def why_fixed(job_id: UUID) -> str:
    """Return why a job has to stay with its file.

    Rows of it are loaded and counted, or a person has decided about just this one.
    """
    file = IngestedFile.objects.filter(job_id=job_id).first()
    if file is None or (file.rows == 0 and file.decided_at is None):
        return ""
    what = f"{file.rows:,} row(s) of {file.path!r} are loaded"
    if file.rows == 0:
        what = f"{file.path!r} was released from its quarantine"
    return (
        f"{what}, so the job can only go on with that file. Enqueue another file as a "
        "job of its own, and discard this."
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
