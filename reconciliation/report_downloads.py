"""Where a report is fetched from, once it is written."""

from typing import Final

from ingestion.downloads import Download
from ingestion.objects import object_key
from jobs.lifecycle import TERMINAL_STATES
from jobs.models import Job
from reconciliation.models import Report

_CSV: Final = "text/csv; charset=utf-8"
_KIND: Final = "report"


class NoReportError(LookupError):
    """There is no such report, or it is not written yet."""


def download_of_job(job: Job) -> Download:
    """Return the report that a job wrote; raises NoReportError."""
    if job.kind != _KIND:
        raise NoReportError(f"A job of the kind {job.kind!r} writes no report.")
    path = (job.result or {}).get("report_path")
    if path:
        return Download(object_key(job.tenant_id, path), f"report-{job.pk}.csv", _CSV)
    if job.state in TERMINAL_STATES:
        raise NoReportError(f"The job wrote no report: it is {job.state}.")
    raise NoReportError("The report is not written yet; ask again once it is.")


def download_of_report(report: Report) -> Download:
    """Return a report, whatever became of its job; raises NoReportError."""
    if not report.path:
        raise NoReportError("The report is not written yet.")
    name = f"{report.what}-{report.pk}.csv"
    return Download(object_key(report.tenant_id, report.path), name, _CSV)
