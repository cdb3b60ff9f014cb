"""Every route of the product."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from ingestion.api import ConflictsView, EnqueueIngestView, RejectsView
from jobs.api import CancelJobView, EnqueueSleepView, JobsView, JobView
from taskqueue_site.health import livez, readyz
from taskqueue_site.metrics import metrics
from taskqueue_site.openapi import DocsView, SchemaView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("enqueue/ingest", EnqueueIngestView.as_view(), name="enqueue-ingest"),
    path("enqueue/sleep", EnqueueSleepView.as_view(), name="enqueue-sleep"),
    path("jobs", JobsView.as_view(), name="jobs"),
    path("jobs/<str:job_id>", JobView.as_view(), name="job"),
    path("jobs/<str:job_id>/cancel", CancelJobView.as_view(), name="job-cancel"),
    path("jobs/<str:job_id>/rejects", RejectsView.as_view(), name="job-rejects"),
    path("jobs/<str:job_id>/conflicts", ConflictsView.as_view(), name="job-conflicts"),
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
