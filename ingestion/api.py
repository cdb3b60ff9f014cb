"""The HTTP API of ingestion: enqueue the load of a stored file, fetch what it left."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.exceptions import APIException, NotFound
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ingestion.downloads import Download, artifact_download
from ingestion.payloads import IngestPayload
from ingestion.selectors import Artifact, NoArtifactError, artifact_key
from ingestion.storage import (
    ObjectChangedError,
    ObjectMissingError,
    StoreUnavailableError,
    object_key,
    store,
)
from jobs.api import job_or_404
from jobs.fields import StrictIntegerField
from jobs.serializers import EnqueueInput, JobOutput, accepted
from jobs.services import job_enqueue
from tenants.auth import principal_of
from tenants.scoping import tenant_scope


class IngestInput(EnqueueInput, IngestPayload):
    """A stored file, and how to read it."""

    size = StrictIntegerField(
        required=False,
        min_value=0,
        max_value=2**63 - 1,
        help_text="Bytes of the file, if you know them: a hint for what the job will "
        "cost. A wrong number does no harm.",
    )

    def size_hint(self) -> int | None:
        """Return the file's size as far as it is known by now."""
        values = self.validated_data
        if "size" in values:
            return int(values["size"])
        return store().size_hint(object_key(values["tenant_id"], values["s3_path"]))


class EnqueueIngestView(APIView):
    """Enqueue the load of a stored file."""

    http_method_names = ["post"]

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
        size = body.size_hint()
        with tenant_scope(tenant):
            job = job_enqueue(
                **body.job_options(),
                kind="ingest",
                payload=body.payload(),
                size=size,
                now=timezone.now(),
            )
            return accepted(job)


class StoreAwayError(APIException):
    """The object store does not answer."""

    status_code = 503
    default_code = "store_unavailable"
    default_detail = "The object store does not answer; try again."
    #: Seconds, for Retry-After.
    wait = 5


class CsvNegotiation(DefaultContentNegotiation):
    """Takes any Accept: who asks for a CSV file still gets problems as JSON."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer of problems; the file itself needs none."""
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class ArtifactView(APIView):
    """Download a file that a load left."""

    http_method_names = ["get", "head"]
    content_negotiation_class = CsvNegotiation
    artifact: ClassVar[Artifact]

    def get(self, request: Request, job_id: str) -> StreamingHttpResponse:
        """Send it as it lies in the store.

        404 where the job left no such file, and for jobs of other tenants.
        """
        with tenant_scope(principal_of(request).tenant):
            key = self._key(job_id)
        name = f"{self.artifact}-{job_id}"
        return send(artifact_download(self.artifact, key, name=name))

    def _key(self, job_id: str) -> str:
        try:
            return artifact_key(job=job_or_404(job_id), artifact=self.artifact)
        except NoArtifactError as error:
            raise NotFound(str(error)) from None


def send(download: Download) -> StreamingHttpResponse:
    """Return an object of the store as a download; call it outside a scope.

    A slow reader must not hold a transaction open. Raises NotFound and StoreAwayError.
    """
    try:
        item, blocks = download.opened()
    except ObjectMissingError:
        raise NotFound("The store no longer has this file.") from None
    except (ObjectChangedError, StoreUnavailableError) as error:
        raise StoreAwayError from error
    disposition = content_disposition_header(True, download.name)
    return StreamingHttpResponse(
        blocks,
        content_type=download.content_type,
        headers={
            "Content-Disposition": disposition or "attachment",
            "Content-Length": str(item.size),
        },
    )


def _described(artifact: Artifact) -> Any:
    return extend_schema_view(
        get=extend_schema(
            operation_id=f"job_{artifact}",
            summary=f"Download {artifact.what}",
            responses={(200, artifact.content_type): OpenApiTypes.STR},
        )
    )


@_described(Artifact.REJECTS)
class RejectsView(ArtifactView):
    """Download the rejected rows."""

    artifact = Artifact.REJECTS


@_described(Artifact.CONFLICTS)
class ConflictsView(ArtifactView):
    """Download the conflicting rows."""

    artifact = Artifact.CONFLICTS


@_described(Artifact.FLAGS)
class FlagsView(ArtifactView):
    """Download the doubts about rows."""

    artifact = Artifact.FLAGS


@_described(Artifact.CORRECTIONS)
class CorrectionsView(ArtifactView):
    """Download the rejected rows as they stood."""

    artifact = Artifact.CORRECTIONS


@_described(Artifact.SUMMARY)
class SummaryView(ArtifactView):
    """Download the summary of a file."""

    artifact = Artifact.SUMMARY
