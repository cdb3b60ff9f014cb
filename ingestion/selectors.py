"""Reads about ingested files."""

from enum import StrEnum
from typing import Final, Self

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
