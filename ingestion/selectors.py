"""Reads about ingested files."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from ingestion.models import FileFault, IngestedFile, Statement
from ingestion.storage import object_key
from jobs.models import Job

_ROWS: Final = "text/csv; charset=utf-8"


class Artifact(StrEnum):
    """A file that a load leaves beside the original."""

    what: str
    content_type: str

    def __new__(cls, name: str, what: str, content_type: str) -> Self:
        """Make a member that knows what it is, and how it is sent."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.what, member.content_type = what, content_type
        return member

    REJECTS = "rejects", "the rows of a file that were rejected, and why", _ROWS
    CONFLICTS = "conflicts", "the rows of a file in conflict with stored ones", _ROWS
    FLAGS = "flags", "the doubts about rows that were accepted", _ROWS
    # In whatever encoding the file has.
    CORRECTIONS = (
        "corrections",
        "the rejected rows as they stood in the file, to be corrected and sent again",
        "application/octet-stream",
    )
    SUMMARY = "summary", "all that is known of a file", "application/json"


ARTIFACTS: Final = {artifact.value: artifact for artifact in Artifact}


class NoArtifactError(LookupError):
    """The job left no such file."""


def artifact_key(*, job: Job, artifact: Artifact) -> str:
    """Return the key of a file that an ingest job left.

    Raises NoArtifactError: another kind of job, not done yet, or nothing to tell.
    """
    result = job.result if job.kind == "ingest" else None
    path = (result or {}).get(f"{artifact}_path")
    if not path:
        raise NoArtifactError(f"The job left no {artifact} file.")
    return object_key(job.tenant_id, path)


class UnknownFileError(LookupError):
    """No file in view has this id."""


@dataclass(frozen=True, slots=True)
class FilePage:
    """Some files, newest first, and whether older ones follow."""

    files: Sequence[IngestedFile]
    has_more: bool


def file_page(
    *,
    limit: int,
    state: str | None = None,
    source: str | None = None,
    before: int | None = None,
) -> FilePage:
    """Return the newest files that came before the file `before`."""
    wanted = {"state": state, "source": source, "id__lt": before}
    files = IngestedFile.objects.filter(
        **{name: value for name, value in wanted.items() if value is not None}
    )
    found = list(files.order_by("-id")[: limit + 1])
    return FilePage(found[:limit], len(found) > limit)


def file_get(*, file_id: int) -> IngestedFile:
    """Return a file; raises UnknownFileError."""
    file: IngestedFile | None = IngestedFile.objects.filter(pk=file_id).first()
    if file is None:
        raise UnknownFileError(f"There is no file {file_id}.")
    return file


def faults_of(file: IngestedFile, *, most: int) -> list[FileFault]:
    """Return the first faults of a file."""
    return list(FileFault.objects.filter(file=file).order_by("id")[:most])


def statements_of(file: IngestedFile, *, most: int) -> list[Statement]:
    """Return the first statements of a file."""
    return list(Statement.objects.filter(file=file).order_by("ordinal")[:most])


def artifact_path(*, file: IngestedFile, artifact: Artifact) -> str:
    """Return the key of a file that a load left; raises NoArtifactError."""
    path: str = getattr(file, f"{artifact}_path")
    if not path:
        raise NoArtifactError(f"The load left no {artifact} file.")
    return object_key(file.tenant_id, path)
