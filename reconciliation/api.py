"""The HTTP API of reports: order one, fetch it."""

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ingestion.api import CsvNegotiation, send
from jobs.api import job_or_404
from jobs.serializers import EnqueueInput, JobOutput, accepted
from reconciliation.orders import report_order
from reconciliation.report_downloads import NoReportError, download_of_job
from reconciliation.report_payloads import ReportPayload
from tenants.auth import principal_of
from tenants.scoping import tenant_scope


class ReportInput(EnqueueInput, ReportPayload):
    """Rows of a period, as CSV."""


class EnqueueReportView(APIView):
    """Enqueue a report."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="enqueue_report",
        summary="Enqueue a report: rows of a period as CSV",
        request=ReportInput,
        responses={202: JobOutput},
        examples=[
            OpenApiExample(
                "Payments of an April that failed",
                value={
                    "tenant_id": "t1",
                    "what": "transactions",
                    "starts_at": "2026-04-01T00:00:00+05:30",
                    "ends_at": "2026-05-01T00:00:00+05:30",
                    "filters": {"status": "FAILED", "amount_min": "1000.00"},
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Write a job that writes the tenant's rows into one CSV file.

        The answer names the job; once it succeeded, `links.report` is the download.
        """
        tenant, now = principal_of(request).tenant, timezone.now()
        body = ReportInput(data=request.data, context={"tenant": tenant, "now": now})
        body.is_valid(raise_exception=True)
        with tenant_scope(tenant):
            job = report_order(**body.job_options(), payload=body.payload(), now=now)
            return accepted(job)


class ReportView(APIView):
    """Download a report."""

    http_method_names = ["get", "head"]
    content_negotiation_class = CsvNegotiation

    @extend_schema(
        operation_id="job_report",
        summary="Download a report",
        responses={(200, "text/csv; charset=utf-8"): OpenApiTypes.STR},
    )
    def get(self, request: Request, job_id: str) -> StreamingHttpResponse:
        """Send it as it lies in the store.

        404 where the job wrote none, or has not yet, and for jobs of other tenants.
        """
        with tenant_scope(principal_of(request).tenant):
            job = job_or_404(job_id)
        try:
            download = download_of_job(job)
        except NoReportError as error:
            raise NotFound(str(error)) from None
        return send(download)
