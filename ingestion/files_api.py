"""The HTTP API of files: list them, show one, fetch what its load left."""

import re
from typing import Final

from django.http import StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ingestion.api import CsvNegotiation, StoreAwayError, send
from ingestion.downloads import (
    LINK_LIFETIME,
    ORIGINAL,
    WHATS,
    Download,
    download_of,
    downloads_of,
)
from ingestion.files_serializers import (
    DownloadLinksOutput,
    FileDetailOutput,
    FilePageOutput,
    FilesQuery,
)
from ingestion.models import IngestedFile
from ingestion.selectors import NoArtifactError, UnknownFileError, file_get
from ingestion.storage import ObjectMissingError, StoreUnavailableError
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
    """Download the original of a file, or what its load left."""

    http_method_names = ["get", "head"]
    content_negotiation_class = CsvNegotiation

    @extend_schema(
        operation_id="file_artifact",
        summary="Download the original of a file, or what its load left",
        tags=_TAGS,
        parameters=[
            OpenApiParameter(
                "artifact",
                location="path",
                enum=list(WHATS),
            )
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(
        self, request: Request, file_id: str, artifact: str
    ) -> StreamingHttpResponse:
        """Send it as it lies in the store, as the download from the job does.

        This one is there for good, and a job may be pruned. 404 where the load left no
        such file, where the original was replaced since, and for files of other
        tenants.
        """
        with tenant_scope(principal_of(request).tenant):
            file = file_or_404(file_id)
        try:
            return send(download_of(file, artifact))
        except NoArtifactError as error:
            raise NotFound(str(error)) from None


class FileLinksView(APIView):
    """Give links for downloads."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="file_links",
        summary="Get short-lived links for the downloads of a file",
        tags=_TAGS,
        responses=DownloadLinksOutput,
    )
    def get(self, request: Request, file_id: str) -> Response:
        """Return where to fetch the original, and whatever the load left.

        A store that is a server of its own hands them out itself: such a link needs no
        key and is good until `expires_at`. Otherwise it is a path of this server.
        """
        with tenant_scope(principal_of(request).tenant):
            file = file_or_404(file_id)
        now = timezone.now()
        try:
            links = {what: each.link() for what, each in _there(file).items()}
        except StoreUnavailableError as error:
            raise StoreAwayError from error
        is_outside = all(links.values())
        told = {
            what: link or reverse("file-artifact", args=[file.pk, what])
            for what, link in links.items()
        }
        expires = now + LINK_LIFETIME if told and is_outside else None
        body = DownloadLinksOutput({"links": told, "expires_at": expires})
        return Response(body.data, headers={"Cache-Control": "no-store"})


def _there(file: IngestedFile) -> dict[str, Download]:
    """Return the downloads of a file, without an original that is gone or replaced.

    Raises StoreUnavailableError.
    """
    found = downloads_of(file)
    try:
        found[ORIGINAL].found()
    except ObjectMissingError:
        del found[ORIGINAL]
    return found


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
