"""Reads about ingested files."""

from enum import StrEnum

from ingestion.storage import object_key
from jobs.models import Job


class Artifact(StrEnum):
    """A file that a load leaves beside the original."""

    REJECTS = "rejects"
    CONFLICTS = "conflicts"


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
