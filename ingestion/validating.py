"""Reads a file to its end before anything of it is written, and compares its totals.

A file that does not hold what it says is put in quarantine: its job is done, nothing of
the file is in the ledger, and a person decides (ingestion/services.py).
"""

from collections.abc import Generator
from dataclasses import replace
from functools import partial

from ingestion import storage
from ingestion.digest import Hasher
from ingestion.loader import Target
from ingestion.models import IngestedFile
from ingestion.progress import Phase, Progress
from ingestion.reading import Ahead
from ingestion.recording import write_faults
from ingestion.sources.base import Source
from jobs.handlers import Assignment, Checkpoint, Step


def validate(
    assignment: Assignment, source: Source, progress: Progress
) -> Generator[Step, Checkpoint, Progress]:
    """Read what is left of a file; leave it checked, or closed in quarantine."""
    hasher = Hasher(progress.digest)
    with Ahead(progress.chunks(source, hasher)) as found:
        for chunk in found:
            progress = progress.after(chunk, hasher.digest)
            yield partial(_validated, progress)
    progress = replace(progress, digest=hasher.whole())
    if not progress.findings.fault_count:
        return progress.checked()
    target = Target(assignment.tenant, source.name, progress.file_id)
    closed = replace(progress, phase=Phase.CLOSED)
    path = f"summaries/{assignment.job_id}.json"
    summary = storage.object_key(assignment.tenant, path)
    yield partial(_quarantine, target, closed, summary)
    return closed


def _validated(progress: Progress) -> Checkpoint:
    files = IngestedFile.objects.filter(pk=progress.file_id)
    files.update(state=IngestedFile.State.VALIDATING)
    return progress.checkpoint()


def _quarantine(target: Target, progress: Progress, summary: str) -> Checkpoint:
    write_faults(target, progress.findings.faults)
    IngestedFile.objects.filter(pk=target.file_id).update(
        state=IngestedFile.State.QUARANTINED,
        content_digest=progress.digest.chain,
        totals=progress.findings.totals_as_json(),
        fault_count=progress.findings.fault_count,
        summary_path=summary,
    )
    return progress.checkpoint()
