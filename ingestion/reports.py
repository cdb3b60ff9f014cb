"""What the job of a closed file answers with.

It is read from the ledger, so that it may be told again after an interruption.
"""

from dataclasses import fields
from typing import Final

from ingestion.loader import Counts
from ingestion.models import FileFault, IngestedFile
from ingestion.progress import Progress
from jobs.handlers import JSONDict
from tenants.scoping import tenant_scope

COUNTS: Final = tuple(field.name for field in fields(Counts))
MORE_COUNTS: Final = ("flagged", "statement_count", "fault_count")
PATHS: Final = (
    *("rejects_path", "conflicts_path", "flags_path", "corrections_path"),
    "summary_path",
)
#: Faults in the result of a job; the others are with the file.
TOLD_FAULTS: Final = 10


def result_of(tenant: str, progress: Progress) -> JSONDict:
    """Return the result of the job of a closed file.

    A file whose content was known has what came of the first one with it.
    """
    with tenant_scope(tenant):
        file = IngestedFile.objects.select_related("same_as").get(pk=progress.file_id)
        result = _result(file.same_as or file)
    if file.same_as is not None:
        result |= {"file_id": file.pk, "same_as_file": file.same_as.pk}
    if file.state == IngestedFile.State.QUARANTINED:
        result |= {"quarantined": True, "rows_read": progress.findings.rows}
    return result


def _result(file: IngestedFile) -> JSONDict:
    told = {"faults": _first_faults(file)} if file.fault_count else {}
    return {
        "file_id": file.pk,
        **{name: getattr(file, name) for name in (*COUNTS, *MORE_COUNTS)},
        **told,
        **{name: getattr(file, name) or None for name in PATHS},
    }


def _first_faults(file: IngestedFile) -> list[JSONDict]:
    faults = FileFault.objects.filter(file=file).order_by("id")[:TOLD_FAULTS]
    return list(faults.values("line", "control", "expected", "found"))
