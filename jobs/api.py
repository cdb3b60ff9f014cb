"""The HTTP API of jobs: follow one, list them, and enqueue the synthetic kind."""

from uuid import UUID

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.cancelling import jobs_cancel
from jobs.fields import CANONICAL_ID, ReasonField, StrictSerializer
from jobs.models import Job
from jobs.paging import JobsQuery
from jobs.selectors import UnknownJobError, job_get
from jobs.serializers import (
    EnqueueInput,
    JobDetailOutput,
    JobOutput,
    JobPageOutput,
    accepted,
)
from jobs.services import job_enqueue
from jobs.synthetic import SleepPayload
from jobs.waits import is_waiting, wait_of
from tenants.acting import acting
from tenants.auth import principal_of
from tenants.scoping import tenant_scope


class JobsView(APIView):
    """List jobs."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="job_list",
        summary="List the tenant's jobs, newest first",
        parameters=[JobsQuery],
        responses=JobPageOutput,
    )
    def get(self, request: Request) -> Response:
        """Return one page of the tenant's jobs, newest first.

        `next` is the path of the next page with the same filters, or null at the end.
        A page follows the job where the last one ended, so that jobs which arrive
        meanwhile neither repeat nor hide any.
        """
        query = JobsQuery.of(request)
        with tenant_scope(principal_of(request).tenant):
            page = query.page()
            following = query.path_after(page.jobs[-1].id) if page.has_more else None
            body = JobPageOutput({"results": page.jobs, "next": following}).data
        return Response(body)


class JobView(APIView):
    """Show one job."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="job_get", summary="Show one job", responses=JobDetailOutput
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return a job of the tenant: its state, progress, attempts, result or error.

        While it waits, `waiting` says why, and how long it can take at most.

        A job of another tenant, one that never was, and a text that is no id get the
        same answer.
        """
        with tenant_scope(principal_of(request).tenant):
            job = job_or_404(job_id)
        # Outside the transaction: the dispatcher may take a moment to answer.
        wait = wait_of(job, now=timezone.now()) if is_waiting(job) else None
        return Response(JobDetailOutput(job, context={"wait": wait}).data)


class CancelInput(StrictSerializer):
    """Why a job is not wanted any more."""

    reason = ReasonField(default="", help_text="One line for the job's log.")


class CancelJobView(APIView):
    """Cancel one job."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="job_cancel",
        summary="Cancel one job",
        request=CancelInput,
        responses={202: JobOutput},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Cancel a job of the tenant: one that waits at once, one that runs soon.

        A running job ends at its next checkpoint and keeps what it did until then; if
        it ends by itself before, it does. `cancel_requested_at` says when it was asked
        for. To ask again, or for a job that is over, changes nothing.
        """
        body = CancelInput(data=request.data)
        body.is_valid(raise_exception=True)
        tenant, why = principal_of(request).tenant, body.validated_data["reason"]
        with acting(why=why), tenant_scope(tenant):
            jobs_cancel(job_ids=[job_or_404(job_id).pk])
            return accepted(job_or_404(job_id))


def job_or_404(text: str) -> Job:
    """Return the job in view with this id; call it inside a scope.

    Raises NotFound, alike for an unknown id and for a text that is none.
    """
    try:
        if not CANONICAL_ID.fullmatch(text):
            raise UnknownJobError(text)
        return job_get(job_id=UUID(text))
    except UnknownJobError:
        raise NotFound("There is no such job.") from None


class SleepInput(EnqueueInput, SleepPayload):
    """A job of known cost, which fails as asked."""


class EnqueueSleepView(APIView):
    """Enqueue a synthetic job."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="enqueue_sleep",
        summary="Enqueue a job that sleeps",
        request=SleepInput,
        responses={202: JobOutput},
        examples=[
            OpenApiExample(
                "Two seconds in four steps",
                value={"tenant_id": "t1", "seconds": 2, "steps": 4},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Write a job that sleeps, for load tests; only where SYNTHETIC_KINDS is on."""
        if not settings.SYNTHETIC_KINDS:
            raise NotFound("Synthetic kinds are off: set SYNTHETIC_KINDS=1.")
        tenant = principal_of(request).tenant
        body = SleepInput(data=request.data, context={"tenant": tenant})
        body.is_valid(raise_exception=True)
        with tenant_scope(tenant):
            job = job_enqueue(
                **body.job_options(),
                kind="sleep",
                payload=body.payload(),
                now=timezone.now(),
            )
            return accepted(job)
