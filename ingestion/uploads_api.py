"""The HTTP API of uploads: ask where a file may go, and send it."""

import re
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import (
    APIException,
    ErrorDetail,
    NotFound,
    ValidationError,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ingestion.api import StoreAwayError
from ingestion.objects import Form
from ingestion.storage import StoreUnavailableError, UnsafePathError, UploadCutError
from ingestion.uploads import (
    UnknownUploadError,
    Upload,
    UploadExpiredError,
    UploadTooLargeError,
    upload_begin,
    upload_form,
    upload_receive,
)
from jobs.fields import (
    MomentField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
)
from tenants.auth import principal_of

_TAGS: Final = ["uploads"]
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][\w.+-]*/[a-z0-9][\w.+-]*", re.ASCII | re.I)


class UploadInput(StrictSerializer):
    """A file that is going to be sent."""

    path = StrictCharField(
        help_text="Where it goes, below the tenant's own prefix. What is there already "
        "is replaced."
    )
    size = StrictIntegerField(
        min_value=1, max_value=2**63 - 1, help_text="Its bytes, exactly."
    )
    content_type = StrictCharField(
        required=False,
        max_length=100,
        help_text="Its media type, if it is to have one.",
    )

    def validate_content_type(self, value: str) -> str:
        """Refuse what is no media type."""
        if not _MEDIA_TYPE.fullmatch(value):
            raise serializers.ValidationError("Give a type such as text/csv.")
        return value


class UploadOutput(serializers.Serializer[Any]):
    """How to send the file."""

    s3_path = serializers.CharField(help_text="For the enqueue call.")
    method = serializers.ChoiceField(
        choices=["POST", "PUT"],
        help_text="POST: as a form with `fields` and the file, named `file`, behind "
        "them. PUT: as the body.",
    )
    url = serializers.CharField(help_text="An address, or a path of this server.")
    fields = serializers.DictField(  # type: ignore[assignment] # not the fields of this
        child=serializers.CharField(), help_text="Fields of the form, as they are."
    )
    expires_at = MomentField(help_text="It has to begin before.")


class ReceivedOutput(serializers.Serializer[Any]):
    """The file that came."""

    s3_path = serializers.CharField(help_text="For the enqueue call.")
    size = serializers.IntegerField()


class UploadRefusedError(APIException):
    """The file was not taken."""

    status_code = 400


class UploadOverError(APIException):
    """The time is over."""

    status_code = 403
    default_code = "upload_expired"


class UploadsView(APIView):
    """Ask where a file may go."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="upload_begin",
        summary="Ask where to send a file",
        tags=_TAGS,
        request=UploadInput,
        responses={201: UploadOutput},
    )
    def post(self, request: Request) -> Response:
        """Answer with where this one file may be sent within the next ten minutes.

        Nothing is written yet. A store that is a server of its own takes the file
        itself; otherwise it comes here.
        """
        body = UploadInput(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        try:
            upload = upload_begin(
                tenant=principal_of(request).tenant,
                path=values["path"],
                size=values["size"],
                now=timezone.now(),
            )
        except UnsafePathError as error:
            detail = ErrorDetail(str(error), "unsafe_path")
            raise ValidationError({"path": [detail]}) from None
        except UploadTooLargeError as error:
            detail = ErrorDetail(str(error), "too_large")
            raise ValidationError({"size": [detail]}) from None
        content_type = values.get("content_type", "")
        form = upload_form(upload=upload, content_type=content_type)
        return Response(UploadOutput(_told(upload, form)).data, status=201)


def _told(upload: Upload, form: Form | None) -> dict[str, Any]:
    told = {"s3_path": upload.path, "expires_at": upload.expires_at}
    if form is not None:
        return {**told, "method": "POST", "url": form.url, "fields": form.fields}
    url = reverse("upload", args=[upload.token])
    return {**told, "method": "PUT", "url": url, "fields": {}}


class UploadView(APIView):
    """Take a file that was asked for; its address is all that it needs."""

    http_method_names = ["put"]
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="upload",
        summary="Send a file to where it was asked for",
        tags=_TAGS,
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={201: ReceivedOutput},
    )
    def put(self, request: Request, token: str) -> Response:
        """Write the body, of exactly the size that was asked for, as a file.

        The address is its own key: anybody who has it may send the file until it
        expires. A body that breaks off leaves nothing.
        """
        try:
            upload = Upload.of(token)
            _check_length(request, upload)
            upload_receive(upload=upload, content=_stream(request), now=timezone.now())
        except UnknownUploadError as error:
            raise NotFound(str(error)) from None
        except UploadExpiredError as error:
            raise UploadOverError(str(error)) from None
        except UnsafePathError as error:
            raise UploadRefusedError(str(error), code="unsafe_path") from None
        except UploadCutError as error:
            raise UploadRefusedError(str(error), code="body_cut") from None
        except StoreUnavailableError as error:
            raise StoreAwayError from error
        told = {"s3_path": upload.path, "size": upload.size}
        return Response(ReceivedOutput(told).data, status=201)


def _check_length(request: Request, upload: Upload) -> None:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length != str(upload.size):
        text = f"The body has {length} bytes; {upload.size} were asked for."
        raise UploadRefusedError(text, code="wrong_size")


def _stream(request: Request) -> HttpRequest:
    """Return the body as it comes: nothing has read it, and nothing keeps it."""
    return request._request
