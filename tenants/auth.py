"""How a request proves which tenant it speaks for."""

from rest_framework.authentication import BaseAuthentication


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer fq_live_…`."""
