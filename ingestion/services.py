"""What a person decides about a file in quarantine: load it all the same, or do not.

Who decides and why come from `tenants.acting.acting` around the call. Callers open the
scope.
"""

from datetime import datetime
from typing import Any

from django.db.models.functions import Now

from ingestion.models import IngestedFile
from jobs.models import Job
from jobs.services import job_enqueue
from tenants.acting import current_act
from tenants.scoping import current_scope


class NotQuarantinedError(LookupError):
    """There is no such file, or it is not in quarantine any more."""

    def __init__(self, file_id: int) -> None:
        super().__init__(f"File {file_id} is not in quarantine.")


def file_release(*, file_id: int, now: datetime) -> Job:
    """Enqueue a job that loads a quarantined file whatever it says about itself.

    Raises NotQuarantinedError, and switches.NotAcceptingError.
    """
    file = _quarantined(file_id)
    job = job_enqueue(
        tenant_id=file.tenant_id,
        kind="ingest",
        payload={"s3_path": file.path, "source": file.source, "file_id": file.pk},
        size=file.size,
        now=now,
    )
    file.quarantine_job_id, file.job_id = file.job_id, job.pk
    _decide(file, IngestedFile.Decision.RELEASED, IngestedFile.State.RECEIVED)
    return job


def file_refuse(*, file_id: int) -> None:
    """Leave a quarantined file out of the ledger for good.

    Raises NotQuarantinedError.
    """
    file = _quarantined(file_id)
    _decide(file, IngestedFile.Decision.REFUSED, IngestedFile.State.FAILED)


def _quarantined(file_id: int) -> Any:
    """Return the file, locked: of two people who decide at once, one comes too late."""
    current_scope()
    files = IngestedFile.objects.select_for_update(no_key=True)
    file = files.filter(pk=file_id, state=IngestedFile.State.QUARANTINED).first()
    if file is None:
        raise NotQuarantinedError(file_id)
    return file


def _decide(
    file: IngestedFile, decision: IngestedFile.Decision, state: IngestedFile.State
) -> None:
    act = current_act()
    file.state, file.decision = state, decision
    file.decided_at, file.decided_by, file.decided_why = Now(), act.who, act.why
    file.save()
