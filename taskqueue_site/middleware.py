"""What every request to the admin passes through."""

from collections.abc import Callable
from http import HTTPStatus

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tenants.scoping import all_tenants

GetResponse = Callable[[HttpRequest], HttpResponse]


class AdminScopeMiddleware:
    """Runs an admin request as platform staff, in one transaction.

    Who may enter is the admin's own business (staff, permissions). The theme needs
    `unsafe-eval` and inline styles, so the admin's responses relax those two.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request inside the platform scope if it is the admin's."""
        if not request.path.startswith(reverse("admin:index")):
            return self.get_response(request)
        if not request.user.is_active or not request.user.is_staff:
            response = self.get_response(request)
        else:
            with all_tenants(reason=f"admin: {request.user.pk}"):
                response = self.get_response(request)
                # A view that failed has become a response by now: undo what it wrote.
                if response.status_code >= HTTPStatus.BAD_REQUEST:
                    transaction.set_rollback(True)
        response._csp_update = {  # type: ignore[attr-defined]
            "script-src": [SELF, UNSAFE_EVAL],
            "style-src": [SELF, UNSAFE_INLINE],
        }
        return response
