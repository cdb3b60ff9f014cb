"""The `report` kind: filtered rows of a period become one CSV file in the store.

Steps: note where the rows end, read them page by page, each into a part of its own
(report_files.py), join the parts. What is written to the store is written before the
step that says so; what a lost attempt had written and not said does not count.
"""

import logging
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Final
from uuid import UUID

from django.db import Error, connection
from django.db.models.functions import Now

from ingestion import storage
from jobs.errors import PermanentError, RetryableError
from jobs.handlers import Assignment, Checkpoint, JSONDict, Kind, Step
from jobs.models import Job
from reconciliation import report_files, report_sample, report_tables
from reconciliation.models import Report
from reconciliation.orders import REPORT, report_row
from reconciliation.report_files import Progress
from reconciliation.report_payloads import check_report
from reconciliation.report_tables import TABLES, Table
from tenants.scoping import tenant_scope

logger = logging.getLogger(__name__)

#: Rows of one step: about half a second of one processor.
PAGE_ROWS: Final = 10_000
#: Ids that a step looks at, first and at most. Of rows among which none is wanted the
#: next step looks at twice as many.
_FIRST_WINDOW: Final = 20_000
_WIDEST_WINDOW: Final = 640_000
_PARTS_GONE: Final = (
    "Parts of the report are no longer in the store; order the report anew."
)

Steps = Generator[Step, Checkpoint, JSONDict]


@dataclass(slots=True)
class _Page:
    """What is read of one window, noted while it passes by."""

    rows: int = 0
    last: int = field(default=0)

    def noted(self, found: Iterator[tuple[int, int, bytes]]) -> Iterator[bytes]:
        """Yield the texts of what was found."""
        for last, rows, text in found:
            self.last = last
            self.rows += rows
            yield text


def report(assignment: Assignment) -> Steps:
    """Write the report that the payload describes; see the module."""
    folder = report_files.parts_key(assignment.tenant, assignment.job_id)
    try:
        return (yield from _report(assignment, folder))
    except GeneratorExit:
        # It ends here or goes on elsewhere; parts of what nobody wants are in the way.
        if _is_cancelled(assignment):
            _remove_parts(folder)
        raise
    except (storage.ObjectMissingError, storage.ObjectChangedError) as error:
        raise PermanentError("parts_gone", _PARTS_GONE) from error
    except storage.StoreUnavailableError as error:
        logger.warning("The object store is unavailable: %s", error)
        text = "The object store is unavailable; the job is tried again."
        raise RetryableError("store_unavailable", text) from error


def _report(assignment: Assignment, folder: str) -> Steps:
    table = TABLES[assignment.payload["what"]]
    if assignment.checkpoint is None:
        least, greatest = report_tables.bounds(table)
        progress = Progress(after=least - 1, upto=greatest, window=_FIRST_WINDOW)
        yield partial(_begin, assignment, progress)
    else:
        progress = Progress.from_json(assignment.checkpoint)
    while progress.after < progress.upto:
        progress = _page(assignment, table, folder, progress)
        yield partial(_checkpoint, progress)
    key = report_files.report_key(assignment.tenant, assignment.job_id)
    head = report_tables.head(table)
    size = len(head) + progress.size
    if not progress.is_joined:
        report_files.join(storage.store(), folder, progress, head=head, key=key)
        progress = replace(progress, is_joined=True)
        yield partial(_finish, assignment, progress, key, size)
    if progress.parts:
        _remove_parts(folder)
    return {
        "what": assignment.payload["what"],
        "rows": progress.rows,
        "size": size,
        "report_path": key,
    }


def _begin(assignment: Assignment, progress: Progress) -> Checkpoint:
    report_row(
        tenant_id=assignment.tenant,
        job_id=assignment.job_id,
        payload=assignment.payload,
    )
    return _checkpoint(progress)


def _page(
    assignment: Assignment, table: Table, folder: str, progress: Progress
) -> Progress:
    """Write the rows of the next window as a part, and return where that leads to."""
    page, end = _Page(), min(progress.after + progress.window, progress.upto)
    found = report_tables.lines(
        table,
        tenant=assignment.tenant,
        payload=assignment.payload,
        after=progress.after,
        upto=end,
        most=PAGE_ROWS,
    )
    size = report_files.write_part(
        storage.store(),
        folder,
        progress,
        attempt_id=assignment.attempt_id,
        texts=page.noted(found),
    )
    if page.rows:
        progress = progress.with_part(assignment.attempt_id, rows=page.rows, size=size)
    if page.rows == PAGE_ROWS:
        return replace(progress, after=page.last)
    window = progress.window
    if page.rows < PAGE_ROWS // 2:
        window = min(2 * window, _WIDEST_WINDOW)
    return replace(progress, after=end, window=window)


def _checkpoint(progress: Progress) -> Checkpoint:
    return Checkpoint(
        state=asdict(progress),
        done=progress.rows,
        total=progress.rows if progress.is_joined else None,
        unit="rows",
        is_last=progress.is_joined,
    )


def _finish(
    assignment: Assignment, progress: Progress, key: str, size: int
) -> Checkpoint:
    Report.objects.filter(job_id=assignment.job_id).update(
        path=key, rows=progress.rows, size=size, finished_at=Now()
    )
    return _checkpoint(progress)


def _is_cancelled(assignment: Assignment) -> bool:
    asked = {"pk": assignment.job_id, "cancel_requested_at__isnull": False}
    try:
        with tenant_scope(assignment.tenant):
            return bool(Job.objects.filter(**asked).exists())
    except Error:
        # What ended the attempt is to be told, not this; the next use opens another.
        connection.close()
        return False


def _remove_parts(folder: str) -> None:
    """Remove the parts; those that stay are in nobody's way."""
    try:
        storage.store().remove_folder(folder)
    except storage.StoreUnavailableError as error:
        logger.warning("Unable to remove the parts in %s: %s", folder, error)


def forget_report(job_id: UUID) -> None:
    """Remove the row of a report of which the job is about to write another one."""
    Report.objects.filter(job_id=job_id).delete()


REPORT_KIND: Final = Kind(
    name=REPORT,
    handler=report,
    prior_us=2_000_000,
    sample=report_sample.make,
    check_payload=check_report,
    on_edited=forget_report,
)
