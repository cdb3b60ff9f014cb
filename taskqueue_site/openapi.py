"""The API's description: /openapi.json, the pages at /docs, and what both add.

Importing this module tells drf-spectacular about API keys.
"""

from typing import Any, Final

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.utils.decorators import method_decorator
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from taskqueue_site.errors import CONTENT_TYPE
from tenants.keys import PREFIX

_SYNTHETIC_PREFIX: Final = "/enqueue/sleep"
_SCHEME: Final = "apiKey"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """An API key, sent as a bearer token."""

    target_class = "tenants.auth.ApiKeyAuthentication"
    name = _SCHEME

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return the scheme as OpenAPI has it."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": f"{PREFIX}_…",
            "description": "A key made by `manage.py apikey create TENANT`.",
        }


class SchemaView(SpectacularAPIView):
    """The description as JSON."""

    renderer_classes = [OpenApiJsonRenderer2]


# The page's own style sheet and the fixed ones that Swagger UI sets are inline.
@method_decorator(csp_update({"style-src": [SELF, UNSAFE_INLINE]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """The description to read and to try, without a file from elsewhere."""

    url_name = "openapi"


def without_synthetic_kinds(endpoints: list[Any], **_: Any) -> list[Any]:
    """Leave out what only answers where SYNTHETIC_KINDS is on."""
    if settings.SYNTHETIC_KINDS:
        return endpoints
    return [found for found in endpoints if not found[0].startswith(_SYNTHETIC_PREFIX)]


_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "What went wrong, as RFC 9457 has it.",
    "required": [
        *("type", "title", "status", "detail", "instance", "code", "request_id")
    ],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "code": {"type": "string", "description": "For programs; it stays the same."},
        "request_id": {"type": "string", "description": "As in X-Request-ID."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON Pointer into the body.",
                    },
                    "parameter": {
                        "type": "string",
                        "description": "Name in the query string.",
                    },
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

_INVALID_EXAMPLE: Final = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "The request breaks the rules named in `errors`.",
    "instance": "/enqueue/ingest",
    "code": "invalid",
    "request_id": "0d5cf3a2c1b74c3f9f6f5a0c3f0d2f11",
    "errors": [
        {
            "pointer": "/s3_path",
            "code": "unsafe_path",
            "detail": "The path must be relative: drop the leading '/'.",
        }
    ],
}

_UNAUTHORIZED: Final = "No API key, or one that is not valid."
_UNAVAILABLE: Final = (
    "The database, or for a file the store, does not answer; try again after "
    "Retry-After."
)
_INVALID: Final = "The request breaks a rule; `errors` names the place."
_BODY_PROBLEMS: Final = {
    "400": _INVALID,
    "411": "The body came without a Content-Length.",
    "413": "The body is too large.",
    "415": "The body is not application/json.",
}
_NOT_YOURS: Final = {"403": "The key does not belong to the body's tenant_id."}
_ABSENT: Final = {"404": "The tenant has no such job, or the job no such file."}
_NOT_SO: Final = {
    "409": "The job is not dead: `code` says its state. Or it cannot have another "
    "payload (`payload_fixed`)."
}
#: The address is the key.
_UPLOAD: Final = "/v1/uploads/{token}"
_UPLOAD_PROBLEMS: Final = {
    "400": "The body broke off, or has another size than was asked for.",
    "403": "The time in which it had to begin is over.",
    "404": "There is no such upload.",
    "411": _BODY_PROBLEMS["411"],
    "503": _UNAVAILABLE,
}

_ACCEPTED: Final = {
    "description": "The job is written and will run.",
    "headers": {
        "Location": {
            "description": "Path of the job.",
            "schema": {"type": "string"},
        }
    },
}


def with_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the problem document, and to each call those it may answer with."""
    result["components"]["schemas"]["Problem"] = _PROBLEM_SCHEMA
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            for status, text in _problems_of(path, method).items():
                operation["responses"][status] = _problem_response(status, text)
            if "202" in operation["responses"]:
                operation["responses"]["202"] |= _ACCEPTED
    return result


def _problems_of(path: str, method: str) -> dict[str, str]:
    if path == _UPLOAD:
        return _UPLOAD_PROBLEMS
    found = {"401": _UNAUTHORIZED, "503": _UNAVAILABLE}
    if method == "post":
        found |= _BODY_PROBLEMS
    elif "{" not in path:
        found |= {"400": _INVALID}
    if path.startswith("/enqueue/"):
        found |= _NOT_YOURS
    if "{" in path:
        found |= _ABSENT
    if method == "post" and "/dead-letters/{" in path:
        found |= _NOT_SO
    return found


def _problem_response(status: str, text: str) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if status == "400":
        content["example"] = _INVALID_EXAMPLE
    return {"description": text, "content": {CONTENT_TYPE: content}}
