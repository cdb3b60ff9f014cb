"""The HTTP API of reconciliations and reports: order one, fetch a report."""

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
from jobs.services import job_enqueue
from reconciliation.orders import RECONCILE, report_order
from reconciliation.payloads import ReconcilePayload
from reconciliation.report_downloads import NoReportError, download_of_job
from reconciliation.report_payloads import ReportPayload
from tenants.auth import principal_of
from tenants.scoping import tenant_scope


class ReconcileInput(EnqueueInput, ReconcilePayload):
    """A profile, and the period to compare."""


class EnqueueReconcileView(APIView):
    """Enqueue a reconciliation."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="enqueue_reconcile",
        summary="Enqueue a reconciliation of a period",
        request=ReconcileInput,
        responses={202: JobOutput},
        examples=[
            OpenApiExample(
                "A day of UPI",
                value={
                    "tenant_id": "t1",
                    "profile": "UPI daily",
                    "starts_at": "2026-04-01T00:00:00+05:30",
                    "ends_at": "2026-04-02T00:00:00+05:30",
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Write a job that compares the two sides of one of the tenant's profiles.

        Its result counts what matched and what did not; what did not is in the admin,
        and in reports of mismatches.
        """
        tenant, now = principal_of(request).tenant, timezone.now()
        body = ReconcileInput(data=request.data, context={"tenant": tenant, "now": now})
        body.is_valid(raise_exception=True)
        with tenant_scope(tenant):
            job = job_enqueue(
                **body.job_options(), kind=RECONCILE, payload=body.payload(), now=now
            )
            return accepted(job)


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
