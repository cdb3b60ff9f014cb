"""The id that joins a request, its answer and the lines it left in the log."""

import re
import uuid
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase

from taskqueue_site.errors import problem_document

HEADER: Final = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


class RequestIdMiddleware:
    """Gives each request an id, its own or a new one, and sends it back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the id in a header."""
        given = request.headers.get(HEADER, "")
        request_id = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        response = self._answer(request)
        response.headers[HEADER] = request_id
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        # Django reads as many bytes as Content-Length says: without it a body would
        # count as empty, and the answer would complain of missing fields.
        if "Transfer-Encoding" in request.headers:
            text = "Send a Content-Length instead of Transfer-Encoding."
            return problem_document(request, 411, detail=text)
        return self.get_response(request)
