"""Every error of the API as a problem document (RFC 9457).

`type` is `about:blank`, so `title` is the status; `code` is what a program looks at,
`detail` what a person reads, `errors` the places that are wrong.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from jobs.switches import NotAcceptingError

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5
#: A person has turned it off, so it may take a while.
NOT_ACCEPTING_SECONDS: Final = 60
_SEND_A_KEY: Final = "Send an API key as `Authorization: Bearer <key>`."
_ABSENT = (OperationalError, InterfaceError)
_Headers = dict[str, str]


def problem_response(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the answer to an exception in a view; None lets an unknown one through."""
    request = context["request"]
    if isinstance(exc, _ABSENT):
        logger.warning("The database is away: %s", exc)
        body, headers = _away(request)
    elif isinstance(exc, NotAcceptingError):
        body = problem(request, 503, code="not_accepting", detail=str(exc))
        headers = {"Retry-After": str(NOT_ACCEPTING_SECONDS)}
    elif isinstance(exc, Http404 | PermissionDenied):
        status = 404 if isinstance(exc, Http404) else 403
        body, headers = problem(request, status), {}
    elif isinstance(exc, exceptions.APIException):
        body, headers = _refused(request, exc), _headers_of(exc)
    else:
        return None
    return Response(body, body["status"], headers=headers, content_type=CONTENT_TYPE)


def problem(
    request: HttpRequest,
    status: int,
    *,
    code: str = "",
    detail: str = "",
    errors: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a problem document; the code defaults to the status's own name."""
    known = HTTPStatus(status)
    document = {
        "type": "about:blank",
        "title": known.phrase,
        "status": status,
        "detail": detail or f"{known.phrase}.",
        "instance": request.path,
        "code": code or known.name.lower(),
        "request_id": getattr(request, "request_id", ""),
    }
    return {**document, "errors": list(errors)} if errors else document


def _away(request: HttpRequest) -> tuple[dict[str, Any], _Headers]:
    text = "The database does not answer. Nothing was written; try again."
    body = problem(request, 503, code="database_unavailable", detail=text)
    return body, {"Retry-After": str(RETRY_AFTER_SECONDS)}


def _refused(request: HttpRequest, exc: exceptions.APIException) -> dict[str, Any]:
    if isinstance(exc, exceptions.ValidationError):
        place = getattr(exc, "location", "pointer")
        return problem(
            request,
            400,
            code="invalid",
            detail="The request breaks the rules named in `errors`.",
            errors=list(_places(exc.detail, place)),
        )
    code = exc.get_codes()
    is_anonymous = isinstance(exc, exceptions.NotAuthenticated)
    return problem(
        request,
        exc.status_code,
        code=code if isinstance(code, str) else "",
        detail=_SEND_A_KEY if is_anonymous else str(exc.detail),
        errors=getattr(exc, "errors", ()),
    )


def _places(detail: Any, place: str, path: str = "") -> Iterator[dict[str, str]]:
    """Yield one entry for each message of a serializer's nested errors."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            token = str(key).replace("~", "~0").replace("/", "~1")
            step = "" if key == "non_field_errors" else token
            if place == "pointer" and step:
                step = f"/{step}"
            yield from _places(value, place, path + step)
    elif isinstance(detail, list):
        for value in detail:
            yield from _places(value, place, path)
    else:
        code = getattr(detail, "code", "invalid")
        yield {place: path, "code": code, "detail": str(detail)}


def _headers_of(exc: exceptions.APIException) -> _Headers:
    challenge = getattr(exc, "auth_header", None)
    wait = getattr(exc, "wait", None)
    headers = {"WWW-Authenticate": challenge, "Retry-After": wait and str(int(wait))}
    return {name: value for name, value in headers.items() if value}


# --- Outside the API's views ----------------------------------------------------------
# What Django itself answers: no such path, a bad host, an unexpected exception. People
# in the admin get its pages, everybody else a problem document.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request that Django refuses before any view sees it."""
    if _is_admin(request):
        return defaults.bad_request(request, exception)
    text = "The request is malformed, or its Host is not one of ALLOWED_HOSTS."
    return problem_document(request, 400, detail=text)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a refusal outside the API's views."""
    if _is_admin(request):
        return defaults.permission_denied(request, exception)
    return problem_document(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a path that leads nowhere."""
    if _is_admin(request):
        return defaults.page_not_found(request, exception)
    return problem_document(request, 404, detail="There is nothing at this path.")


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer an exception that nobody expected; an absent database is a 503."""
    if _is_admin(request):
        return defaults.server_error(request)
    if isinstance(sys.exc_info()[1], _ABSENT):
        body, headers = _away(request)
        return JsonResponse(
            body, status=503, headers=headers, content_type=CONTENT_TYPE
        )
    logger.error("Request %s failed", getattr(request, "request_id", "without an id"))
    text = "This is a fault of the server; give its operator the request_id."
    return problem_document(request, 500, detail=text)


def problem_document(
    request: HttpRequest, status: int, **details: Any
) -> HttpResponseBase:
    """Return a problem document as a response of plain Django."""
    headers: _Headers = details.pop("headers", {})
    body = problem(request, status, **details)
    return JsonResponse(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def _is_admin(request: HttpRequest) -> bool:
    return request.path.startswith(reverse("admin:index"))
