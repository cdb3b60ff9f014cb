"""How a request proves which tenant it speaks for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants import keys
from tenants.acting import act_as
from tenants.scoping import all_tenants
from tenants.services import KeyRefusedError, api_key_use

SCHEME: Final = "Bearer"
_NOT_VALID = "The API key is not valid."


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request: a tenant, by one of its keys."""

    tenant: str
    key_id: str

    @property
    def is_authenticated(self) -> bool:
        """Return True: a principal exists only for an accepted key."""
        return True


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer fq_live_…`, and no other place for the key."""

    def authenticate(self, request: Request) -> tuple[Principal, str] | None:
        """Return the principal and the key's id; None without a bearer token.

        Raises AuthenticationFailed.
        """
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != SCHEME.lower().encode():
            return None
        principal = principal_get(token=token, now=timezone.now())
        act_as(f"API key {principal.key_id}")
        return principal, principal.key_id

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return SCHEME


def principal_get(*, token: bytes, now: datetime) -> Principal:
    """Return whom a bearer token speaks for.

    Its shape and checksum are tried before the database is asked. Raises
    AuthenticationFailed.
    """
    try:
        key = keys.parse(token.strip(b" ").decode("ascii"))
        with all_tenants(reason="find the tenant of an API key"):
            api_key = api_key_use(key=key, now=now)
    except (UnicodeDecodeError, keys.MalformedKeyError):
        raise AuthenticationFailed(_NOT_VALID) from None
    except KeyRefusedError as error:
        raise AuthenticationFailed(str(error), code=error.code) from None
    return Principal(tenant=api_key.tenant_id, key_id=api_key.id)


def principal_of(request: Request) -> Principal:
    """Return the principal that authentication put on the request."""
    principal = request.user
    if not isinstance(principal, Principal):
        raise TypeError("the view authenticates another way than by API key")
    return principal
