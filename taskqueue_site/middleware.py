"""What every request to the admin passes through."""

import logging
from collections.abc import Callable
from http import HTTPStatus

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.paginator import InvalidPage
from django.db import DataError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.urls import Resolver404, resolve, reverse

from tenants.acting import acting, nobody
from tenants.adminkit import opens_scopes
from tenants.scoping import all_tenants

GetResponse = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger(__name__)

#: What Django raises deep inside a list for a value that no filter can use.
_UNUSABLE_VALUE = (ValueError, OverflowError, DataError, InvalidPage)


class ActorMiddleware:
    """Keeps who acted in one request from acting in the thread's next."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request as nobody, until it says who it is."""
        with nobody():
            return self.get_response(request)


class AdminScopeMiddleware:
    """Runs an admin request as platform staff, in one transaction.

    A view that is marked so (`opening_scopes`) opens by itself what it needs when a
    form comes. Who may enter is the admin's own business (staff, permissions). The
    theme needs `unsafe-eval` and inline styles, so the admin's responses relax those
    two.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request inside the platform scope if it is the admin's."""
        if not request.path.startswith(reverse("admin:index")):
            return self.get_response(request)
        if _has_nul(request):
            return HttpResponseBadRequest("The request holds a NUL character.")
        if not request.user.is_active or not request.user.is_staff:
            response = self.get_response(request)
        elif _opens_scopes(request):
            with acting(who=f"staff {request.user.get_username()}"):
                response = self.get_response(request)
        else:
            with (
                acting(who=f"staff {request.user.get_username()}"),
                all_tenants(reason=f"admin: {request.user.pk}"),
            ):
                response = self.get_response(request)
                # A view that failed has become a response by now: undo what it wrote.
                if response.status_code >= HTTPStatus.BAD_REQUEST:
                    transaction.set_rollback(True)
        response._csp_update = {  # type: ignore[attr-defined]
            "script-src": [SELF, UNSAFE_EVAL],
            "style-src": [SELF, UNSAFE_INLINE],
        }
        return response

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Answer 400 where the address of a list asks for what cannot be looked up."""
        is_admin = request.path.startswith(reverse("admin:index"))
        if not is_admin or request.method != "GET" or not request.GET:
            return None
        if not isinstance(exception, _UNUSABLE_VALUE):
            return None
        logger.warning("Unable to answer %s", request.path, exc_info=exception)
        return HttpResponseBadRequest("The address has a value that nothing can match.")


def _opens_scopes(request: HttpRequest) -> bool:
    """Tell whether a form goes to a view that must not run in one transaction."""
    if request.method != "POST":
        return False
    try:
        return opens_scopes(resolve(request.path_info).func)
    except Resolver404:
        return False


def _has_nul(request: HttpRequest) -> bool:
    """Tell whether a NUL, which PostgreSQL refuses, is in the address or the form."""
    if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
        return True
    values = (value for _, row in request.POST.lists() for value in row)
    return any("\0" in value for value in values)
