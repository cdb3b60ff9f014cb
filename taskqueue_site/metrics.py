"""/metrics: what Prometheus collects, for those who may see it."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView

from taskqueue_site.errors import problem_document


@require_safe
def metrics(request: HttpRequest) -> HttpResponseBase:
    """Return the metrics to the bearer of METRICS_TOKEN or to signed-in staff."""
    if _has_token(request) or _is_staff(request):
        response: HttpResponseBase = ExportToDjangoView(request)
        return response
    return problem_document(
        request,
        401,
        code="not_authenticated",
        detail="Send METRICS_TOKEN as a bearer token, or sign in to the admin.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _has_token(request: HttpRequest) -> bool:
    if not settings.METRICS_TOKEN:
        return False
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.METRICS_TOKEN.encode()
    return scheme.lower() == "bearer" and hmac.compare_digest(
        token.encode("utf-8", "surrogateescape"), expected
    )


def _is_staff(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_staff
