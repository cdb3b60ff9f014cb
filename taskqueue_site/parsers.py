"""The API's JSON: strict, so that no two readers of one body see different things."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http import UnreadablePostError
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

from jobs import strict_json
from jobs.strict_json import StrictJSONError


class BodyTooLargeError(APIException):
    """The body is larger than the API reads."""

    status_code = 413
    default_code = "body_too_large"


class RefusedJSONError(ParseError):
    """JSON that is refused, with the JSON Pointer of the offending place if known."""

    def __init__(self, code: str, detail: str, pointer: str | None = None) -> None:
        super().__init__(detail, code)
        found = {"pointer": pointer, "code": code, "detail": detail}
        self.errors = [] if pointer is None else [found]


class StrictJSONParser(BaseParser):
    """Reads UTF-8 JSON as jobs/strict_json.py does; what that refuses is a 400."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the value of a body.

        Raises RefusedJSONError, BodyTooLargeError or UnsupportedMediaType.
        """
        request = (parser_context or {})["request"]
        encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity")
        if encoding.lower() != "identity":
            raise UnsupportedMediaType(encoding, f"Send the body without {encoding}.")
        try:
            return strict_json.loads(_text(_read(stream)))
        except StrictJSONError as error:
            raise RefusedJSONError(error.code, error.detail, error.pointer) from None


def _read(stream: IO[Any]) -> bytes:
    limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        body: bytes = stream.read(limit + 1)
    except UnreadablePostError:
        raise RefusedJSONError("body_cut", "The body ended too early.") from None
    if len(body) > limit:
        raise BodyTooLargeError(f"The body is larger than {limit} bytes.")
    return body


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8 at byte {error.start}."
        raise RefusedJSONError("not_utf8", detail) from None
