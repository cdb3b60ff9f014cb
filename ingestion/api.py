"""The HTTP API of ingestion: enqueue the load of a stored file."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ingestion.sources.registry import UnknownSourceError, reader_get
from ingestion.storage import UnsafePathError, object_key
from jobs.fields import StrictCharField
from jobs.serializers import EnqueueInput, JobOutput, accepted
from jobs.services import job_enqueue
from tenants.auth import principal_of
from tenants.scoping import tenant_scope


class IngestInput(EnqueueInput):
    """A stored file, and how to read it."""

    s3_path = StrictCharField(
        help_text="Path below the tenant's own prefix. The file may arrive later than "
        "this call, but not later than the job's start.",
    )
    source = StrictCharField(  # type: ignore[assignment] # a field, not its source
        max_length=64, help_text="Name of a format, exactly as in docs/formats.md."
    )

    def validate_s3_path(self, value: str) -> str:
        """Refuse a path that could leave the tenant's prefix."""
        try:
            object_key(self.context["tenant"], value)
        except UnsafePathError as error:
            raise serializers.ValidationError(str(error), code="unsafe_path") from None
        return value

    def validate_source(self, value: str) -> str:
        """Refuse a source that no reader exists for."""
        try:
            reader_get(value)
        except UnknownSourceError as error:
            raise serializers.ValidationError(
                str(error), code="unknown_source"
            ) from None
        return value

    def payload(self) -> dict[str, Any]:
        """Return what the handler reads."""
        return {name: self.validated_data[name] for name in ("s3_path", "source")}


class EnqueueIngestView(APIView):
    """Enqueue the load of a stored file."""

    @extend_schema(
        operation_id="enqueue_ingest",
        summary="Enqueue the load of a file of transactions",
        request=IngestInput,
        responses={202: JobOutput},
        examples=[
            OpenApiExample(
                "A UPI file",
                value={"tenant_id": "t1", "s3_path": "upi_sample.csv", "source": "UPI"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Write a job that loads a file of the tenant into its transactions.

        The answer names the job; `Location` is where to follow it. Whether the object
        exists is found out when the job runs.
        """
        tenant = principal_of(request).tenant
        body = IngestInput(data=request.data, context={"tenant": tenant})
        body.is_valid(raise_exception=True)
        with tenant_scope(tenant):
            job = job_enqueue(
                **body.job_options(),
                kind="ingest",
                payload=body.payload(),
                now=timezone.now(),
            )
            return accepted(job)
