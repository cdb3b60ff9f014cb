"""The API's strict JSON."""

import io
from typing import Any

import pytest
from rest_framework.exceptions import APIException
from rest_framework.test import APIRequestFactory

from jobs.strict_json import MAX_DEPTH
from taskqueue_site.parsers import RefusedJSONError, StrictJSONParser


def parse(body: bytes, **headers: str) -> Any:
    request = APIRequestFactory().post("/", **headers)
    return StrictJSONParser().parse(
        io.BytesIO(body), "application/json", {"request": request}
    )


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": -Infinity}', "invalid_json"),
        (b'{"a": "\x00"}', "invalid_json"),
        (b'{"a": 1e400}', "number_out_of_range"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number_out_of_range"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"b": {"a": 1, "\\u0061": 2}}', "duplicate_key"),
        (b'{"a": "\\u0000"}', "nul_character"),
        (b'{"\\u0000": 1}', "nul_character"),
        (b'{"a": "\\ud800"}', "lone_surrogate"),
        (b'{"\\udfff": 1}', "lone_surrogate"),
        (b"\xef\xbb\xbf{}", "byte_order_mark"),
        (b'{"a": "\xff"}', "not_utf8"),
        ('{"a": 1}'.encode("utf-16"), "not_utf8"),
        (nested(MAX_DEPTH + 1), "too_deep"),
        (nested(100_000), "too_deep"),
    ],
)
def test_it_refuses(body: bytes, code: str):
    with pytest.raises(RefusedJSONError) as caught:
        parse(body)
    assert caught.value.get_codes() == code


def test_it_points_at_the_place():
    with pytest.raises(RefusedJSONError) as caught:
        parse(b'{"a/b": [1, {"c~": "\\u0000"}]}')
    assert caught.value.errors[0]["pointer"] == "/a~1b/1/c~0"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (nested(MAX_DEPTH), None),
        (b'{"a": "\\ud83d\\ude00", "b": 1.5, "c": -0}', {"a": "😀", "b": 1.5, "c": 0}),
        ('{"a": "न"}'.encode(), {"a": "न"}),
        (b"null", None),
    ],
)
def test_it_reads(body: bytes, value: Any):
    found = parse(body)
    assert value is None or found == value


def test_it_stops_at_the_limit(settings: Any):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert parse(b'"' + b"x" * 8 + b'"') == "x" * 8
    with pytest.raises(APIException) as caught:
        parse(b'"' + b"x" * 9 + b'"')
    assert caught.value.status_code == 413


def test_it_does_not_unpack():
    with pytest.raises(APIException) as caught:
        parse(b"{}", HTTP_CONTENT_ENCODING="gzip")
    assert caught.value.status_code == 415
