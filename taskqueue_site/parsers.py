"""The API's JSON: strict, so that no two readers of one body see different things."""

import json
from collections.abc import Mapping
from typing import IO, Any, Final, NoReturn

from django.conf import settings
from django.http import UnreadablePostError
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

MAX_DEPTH: Final = 32


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
    """Reads UTF-8 JSON as RFC 8259 has it, without the usual leniencies.

    Refused with a 400: a byte-order mark, duplicate keys, NaN and Infinity, numbers out
    of range, NUL characters, lone surrogates, and nesting deeper than MAX_DEPTH.
    """

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
        value = _loads(_text(_read(stream)))
        _check(value, "", 1)
        return value


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
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8 at byte {error.start}."
        raise RefusedJSONError("not_utf8", detail) from None
    if text.startswith("\ufeff"):
        raise RefusedJSONError("byte_order_mark", "Drop the byte-order mark.")
    return text


def _loads(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
        )
    except json.JSONDecodeError as error:
        detail = f"{error.msg} at line {error.lineno} column {error.colno}."
        raise RefusedJSONError("invalid_json", detail) from None
    except RecursionError:
        raise _too_deep("") from None
    except ValueError:
        # The interpreter's own limit on the digits of one number.
        raise _out_of_range() from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = next(name for name in found if names.count(name) > 1)
    detail = f"The key {twice!a} stands twice in one object."
    raise RefusedJSONError("duplicate_key", detail)


def _refuse_constant(name: str) -> NoReturn:
    raise RefusedJSONError("invalid_json", f"{name} is not JSON.")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _out_of_range()
    return value


def _out_of_range() -> RefusedJSONError:
    return RefusedJSONError("number_out_of_range", "A number is out of range.")


def _too_deep(pointer: str) -> RefusedJSONError:
    detail = f"The body is nested deeper than {MAX_DEPTH} levels."
    return RefusedJSONError("too_deep", detail, pointer or None)


def _check(value: Any, pointer: str, depth: int) -> None:
    """Refuse what PostgreSQL cannot store as text or JSON; the value may be deep."""
    if isinstance(value, str):
        _check_text(value, pointer)
        return
    if not isinstance(value, dict | list):
        return
    if depth > MAX_DEPTH:
        raise _too_deep(pointer)
    if isinstance(value, dict):
        for key in value:
            _check_text(key, pointer)
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        token = str(key).replace("~", "~0").replace("/", "~1")
        _check(item, f"{pointer}/{token}", depth + 1)


def _check_text(text: str, pointer: str) -> None:
    if "\0" in text:
        detail = "The text has a NUL character."
        raise RefusedJSONError("nul_character", detail, pointer)
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        detail = "The text has half of a surrogate pair."
        raise RefusedJSONError("lone_surrogate", detail, pointer)
