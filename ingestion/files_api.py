"""The HTTP API of files: list them, show one, fetch what its load left."""

import re
from typing import Final

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ingestion.api import CsvNegotiation, send
from ingestion.files_serializers import (
    FileDetailOutput,
    FilePageOutput,
    FilesQuery,
)
from ingestion.models import IngestedFile
from ingestion.selectors import (
    ARTIFACTS,
    NoArtifactError,
    UnknownFileError,
    artifact_path,
    file_get,
)
from tenants.auth import principal_of
from tenants.scoping import tenant_scope

_TAGS: Final = ["files"]
_ID: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class FilesView(APIView):
    """List files."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="file_list",
        summary="List the tenant's files, newest first",
        tags=_TAGS,
        parameters=[FilesQuery],
        responses=FilePageOutput,
    )
    def get(self, request: Request) -> Response:
        """Return one page of the tenant's files, newest first, as `GET /jobs` does."""
        query = FilesQuery.of(request)
        with tenant_scope(principal_of(request).tenant):
            page = query.page()
            following = query.path_after(page.files[-1]) if page.has_more else None
            body = FilePageOutput({"results": page.files, "next": following}).data
        return Response(body)


class FileView(APIView):
    """Show one file."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="file_get",
        summary="Show one file",
        tags=_TAGS,
        responses=FileDetailOutput,
    )
    def get(self, request: Request, file_id: str) -> Response:
        """Return a file of the tenant with its counts, totals, faults and statements.

        A file of another tenant, one that never was, and a text that is no id get the
        same answer.
        """
        with tenant_scope(principal_of(request).tenant):
            return Response(FileDetailOutput(file_or_404(file_id)).data)


class FileArtifactView(APIView):
    """Download a file that a load left."""

    http_method_names = ["get", "head"]
    content_negotiation_class = CsvNegotiation

    @extend_schema(
        operation_id="file_artifact",
        summary="Download what the load of a file left",
        tags=_TAGS,
        parameters=[
            OpenApiParameter(
                "artifact",
                location="path",
                enum=list(ARTIFACTS),
            )
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(
        self, request: Request, file_id: str, artifact: str
    ) -> StreamingHttpResponse:
        """Send it as it lies in the store, as the download from the job does.

        This one is there for good, and a job may be pruned. 404 where the load left no
        such file, and for files of other tenants.
        """
        wanted = ARTIFACTS.get(artifact)
        with tenant_scope(principal_of(request).tenant):
            file = file_or_404(file_id)
            try:
                if wanted is None:
                    raise NoArtifactError("A load leaves no such file.")
                key = artifact_path(file=file, artifact=wanted)
            except NoArtifactError as error:
                raise NotFound(str(error)) from None
        return send(wanted, key, name=f"{wanted}-{file.pk}")


def file_or_404(text: str) -> IngestedFile:
    """Return the file in view with this id; call it inside a scope.

    Raises NotFound, alike for an unknown id and for a text that is none.
    """
    try:
        if not _ID.fullmatch(text):
            raise UnknownFileError(text)
        return file_get(file_id=int(text))
    except UnknownFileError:
        raise NotFound("There is no such file.") from None
