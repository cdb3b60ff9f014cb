"""Writes the rows of a file chunk by chunk, and closes it when all are written."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial

from django.db.models import F
from django.db.models.functions import Now

from ingestion import artifacts, sequences, storage
from ingestion.digest import Hasher
from ingestion.findings import MOST_RAW_BYTES
from ingestion.loader import Target
from ingestion.loaders import Loaders, OnItsWay
from ingestion.models import IngestedFile, KeptOutRow
from ingestion.opening import opened
from ingestion.progress import Phase, Progress
from ingestion.reading import Ahead, Chunk
from ingestion.recording import count_reasons, record
from ingestion.sources.base import Source
from jobs.handlers import Assignment, Checkpoint, Step


def load(
    assignment: Assignment, source: Source, progress: Progress
) -> Generator[Step, Checkpoint, Progress]:
    """Load what is left of a file, write what it leaves behind, and close it."""
    target = Target(assignment.tenant, source.name, progress.file_id)
    hasher = Hasher(progress.digest)
    with Loaders(assignment, target, progress.loaders) as loaders:
        left = _without_raw(
            progress.chunks(source, hasher), beyond=progress.findings.raw_bytes
        )
        with Ahead(map(loaders.take, left)) as found:
            for taken in found:
                after = progress.after(taken.chunk, hasher.digest)
                yield partial(_load, loaders, target, taken, progress, after)
                progress = after
    closed = replace(progress, phase=Phase.CLOSED, digest=hasher.whole())
    paths = _write_artifacts(assignment, source, progress)
    yield partial(_close, target, closed, paths)
    return closed


def _without_raw(found: Iterable[Chunk], *, beyond: int) -> Iterator[Chunk]:
    """Yield the chunks, without the bytes of their rejects once many were kept."""
    kept = beyond
    for chunk in found:
        if kept > MOST_RAW_BYTES:
            chunk.rejects = [r._replace(raw=None) for r in chunk.rejects]
        kept += sum(len(r.raw or b"") for r in chunk.rejects)
        yield chunk


def _load(
    loaders: Loaders,
    target: Target,
    taken: OnItsWay,
    before: Progress,
    after: Progress,
) -> Checkpoint:
    chunk = taken.chunk
    loaders.load(taken)
    new = record(target, before.findings, chunk, is_checked=before.is_checked)
    IngestedFile.objects.filter(pk=target.file_id).update(
        statement_count=after.findings.statements,
        flagged=F("flagged") + new.flagged,
        fault_count=F("fault_count") + new.faults,
    )
    size = after.offset - before.offset
    return after.checkpoint(rows=chunk.row_count, bytes=size)


def _write_artifacts(
    assignment: Assignment, source: Source, progress: Progress
) -> dict[str, str]:
    tenant, file_id, store = assignment.tenant, progress.file_id, storage.store()

    def key(folder: str, suffix: str = ".csv") -> str:
        path = f"{folder}/{assignment.job_id}{suffix}"
        return storage.object_key(tenant, path)

    def write(why: KeptOutRow.Why, folder: str) -> str:
        return artifacts.write_kept_out(
            store, tenant=tenant, file_id=file_id, why=why, key=key(folder)
        )

    paths = {
        "summary_path": key("summaries", ".json"),
        "rejects_path": write(KeptOutRow.Why.REJECTED, "rejects"),
        "conflicts_path": write(KeptOutRow.Why.CONFLICTING, "conflicts"),
        "flags_path": write(KeptOutRow.Why.FLAGGED, "flags"),
    }
    if paths["rejects_path"] and source.head is not None:
        head = partial(_head, source.head, progress)
        suffix = artifacts.suffix_of(assignment.payload["s3_path"])
        paths["corrections_path"] = artifacts.write_corrections(
            store,
            tenant=tenant,
            file_id=file_id,
            head=head,
            key=key("corrections", suffix),
        )
    return paths


def _head(head_of: Callable[[Iterable[bytes]], bytes], progress: Progress) -> bytes:
    return head_of(opened(progress.item, 0))


def _close(target: Target, progress: Progress, paths: dict[str, str]) -> Checkpoint:
    sequences.wait_turn(target.tenant)
    first_at, last_at = progress.findings.known_span() or (None, None)
    IngestedFile.objects.filter(pk=target.file_id).update(
        state=IngestedFile.State.LOADED,
        loaded_at=Now(),
        content_digest=progress.digest.chain,
        plain_size=progress.offset,
        totals=progress.findings.totals_as_json(),
        first_at=first_at,
        last_at=last_at,
        reasons=count_reasons(target.file_id),
        **paths,
    )
    if progress.findings.statements:
        sequences.check(target.tenant, target.file_id)
    return progress.checkpoint()
