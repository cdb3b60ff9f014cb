"""What is told of a file once its job has come to its end."""

from dataclasses import fields
from typing import Final

from ingestion.loader import Counts
from ingestion.models import IngestedFile
from jobs.handlers import JSONDict
from tenants.scoping import tenant_scope

COUNTS: Final = tuple(field.name for field in fields(Counts))
PATHS: Final = ("rejects_path", "conflicts_path")


def result_of(*, tenant: str, file_id: int) -> JSONDict:
    """Return the result of the job of a closed file.

    A file whose content was known has what came of the first one with it.
    """
    with tenant_scope(tenant):
        file = IngestedFile.objects.select_related("same_as").get(pk=file_id)
    first = file.same_as
    if first is None:
        return _result(file)
    return {**_result(first), "file_id": file.pk, "same_as_file": first.pk}


def _result(file: IngestedFile) -> JSONDict:
    return {
        "file_id": file.pk,
        **{name: getattr(file, name) for name in COUNTS},
        "statement_count": file.statement_count,
        "fault_count": file.fault_count,
        **{name: getattr(file, name) or None for name in PATHS},
    }
