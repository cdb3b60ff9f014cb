"""Every route of the product."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from ingestion.api import (
    ConflictsView,
    CorrectionsView,
    EnqueueIngestView,
    FlagsView,
    RejectsView,
    SummaryView,
)
from ingestion.files_api import FileArtifactView, FileLinksView, FilesView, FileView
from ingestion.uploads_api import UploadsView, UploadView
from jobs.api import CancelJobView, EnqueueSleepView, JobsView, JobView
from jobs.dead_letters_api import (
    DeadLetterGroupsView,
    DeadLettersView,
    DeadLetterView,
    DiscardManyView,
    DiscardView,
    RestoreView,
    RetryManyView,
    RetryView,
)
from reconciliation.api import EnqueueReconcileView, EnqueueReportView, ReportView
from taskqueue_site.health import livez, readyz
from taskqueue_site.metrics import metrics
from taskqueue_site.openapi import DocsView, SchemaView

_LETTERS = "v1/dead-letters"
_LETTER = f"{_LETTERS}/<str:job_id>"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("enqueue/ingest", EnqueueIngestView.as_view(), name="enqueue-ingest"),
    path("enqueue/reconcile", EnqueueReconcileView.as_view(), name="enqueue-reconcile"),
    path("enqueue/report", EnqueueReportView.as_view(), name="enqueue-report"),
    path("enqueue/sleep", EnqueueSleepView.as_view(), name="enqueue-sleep"),
    path("jobs", JobsView.as_view(), name="jobs"),
    path("jobs/<str:job_id>", JobView.as_view(), name="job"),
    path("jobs/<str:job_id>/cancel", CancelJobView.as_view(), name="job-cancel"),
    path("jobs/<str:job_id>/rejects", RejectsView.as_view(), name="job-rejects"),
    path("jobs/<str:job_id>/conflicts", ConflictsView.as_view(), name="job-conflicts"),
    path("jobs/<str:job_id>/flags", FlagsView.as_view(), name="job-flags"),
    path(
        "jobs/<str:job_id>/corrections",
        CorrectionsView.as_view(),
        name="job-corrections",
    ),
    path("jobs/<str:job_id>/summary", SummaryView.as_view(), name="job-summary"),
    path("jobs/<str:job_id>/report", ReportView.as_view(), name="job-report"),
    path("v1/uploads", UploadsView.as_view(), name="uploads"),
    path("v1/uploads/<str:token>", UploadView.as_view(), name="upload"),
    path(_LETTERS, DeadLettersView.as_view(), name="dead-letters"),
    path(
        f"{_LETTERS}/groups", DeadLetterGroupsView.as_view(), name="dead-letter-groups"
    ),
    path(f"{_LETTERS}/retry", RetryManyView.as_view(), name="dead-letters-retry"),
    path(f"{_LETTERS}/discard", DiscardManyView.as_view(), name="dead-letters-discard"),
    path(_LETTER, DeadLetterView.as_view(), name="dead-letter"),
    path(f"{_LETTER}/retry", RetryView.as_view(), name="dead-letter-retry"),
    path(f"{_LETTER}/discard", DiscardView.as_view(), name="dead-letter-discard"),
    path(f"{_LETTER}/restore", RestoreView.as_view(), name="dead-letter-restore"),
    path("v1/files", FilesView.as_view(), name="files"),
    path("v1/files/<str:file_id>", FileView.as_view(), name="file"),
    path("v1/files/<str:file_id>/links", FileLinksView.as_view(), name="file-links"),
    path(
        "v1/files/<str:file_id>/<str:artifact>",
        FileArtifactView.as_view(),
        name="file-artifact",
    ),
    path("openapi.json", SchemaView.as_view(), name="openapi"),
    path("docs", DocsView.as_view(), name="docs"),
    path("livez", livez, name="livez"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]

handler400 = "taskqueue_site.errors.bad_request"
handler403 = "taskqueue_site.errors.permission_denied"
handler404 = "taskqueue_site.errors.not_found"
handler500 = "taskqueue_site.errors.server_error"
