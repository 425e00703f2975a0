"""Finds out who makes a request: bearer token in, caller with its grants out."""

import hashlib
import time
from collections.abc import Mapping

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.concurrency import run_in_threadpool

from engagement import operations
from engagement.exceptions import NotAuthenticatedError, UnknownClientError
from engagement.model.access import Caller, Grant
from engagement.runtime.opening import Runtime
from engagement.server.auth.access_tokens import AccessTokens, instant_seconds
from engagement.server.auth.openid_issuers import IssuerTokens
from engagement.server.body_threads import BodyThreads
from engagement.server.client_addresses import sender_at
from engagement.server.errors import Problem

TRUSTED_SECONDS_MAX = 2
"""How long a token that was accepted is not looked at again; revoking takes as long to act."""
TRUSTED_TOKENS_MAX = 10_000


class Authentication:
    """Accepts our own tokens while their client exists, and those of trusted issuers."""

    def __init__(self, runtime: Runtime, *, public_url: str) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self.tenant_id = operations.tenant_id(runtime)
        self.own = AccessTokens(
            operations.read_signing_keys(runtime),
            issuer=f"{public_url}/{self.tenant_id}/v2.0",
            seconds=settings.token_seconds,
        )
        self.issuers = IssuerTokens(
            settings.issuers,
            audience=settings.issuer_audience,
            token_seconds_max=settings.issuer_token_seconds,
        )
        self._failures = FixedWindowRateLimiter(MemoryStorage())
        self._failures_max = RateLimitItemPerMinute(settings.token_requests_per_minute)
        self.secret_threads = BodyThreads(1, name="secret")
        self._trusted: dict[bytes, tuple[Caller, float]] = {}

    def get_cached(self, authorization: str | None) -> Caller | None:
        """Return the caller, if this very header was accepted a moment ago."""
        found = self._trusted.get(_digest(authorization))
        return found[0] if found is not None and time.monotonic() < found[1] else None

    async def caller(self, authorization: str | None) -> Caller:
        """Return whoever the `Authorization` header proves to make the request.

        Raises:
            NotAuthenticatedError: It is missing, of another scheme, or its token is not accepted.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticatedError(
                "The request needs an Authorization header with a bearer token, got none."
            )
        caller = await run_in_threadpool(self._find_own_caller, token)
        if caller is None:
            caller = await self.issuers.caller(token)
        if len(self._trusted) >= TRUSTED_TOKENS_MAX:
            self._trusted.clear()
        self._trusted[_digest(authorization)] = (caller, time.monotonic() + TRUSTED_SECONDS_MAX)
        return caller

    def count_failure(self, address: str) -> None:
        """Count a secret or a code that proved nothing.

        Raises:
            Problem: Too many came from this address within a minute.
        """
        if not self._failures.hit(self._failures_max, sender_at(address).charged):
            raise Problem(
                429, "TooManyRequests", "Too many failed token requests.", {"Retry-After": "60"}
            )

    def _find_own_caller(self, token: str) -> Caller | None:
        """Return the client that a token of ours proves; None if it is none of ours."""
        try:
            claims = self.own.claims(token)
        except NotAuthenticatedError:
            return None
        try:
            client = operations.get_client(self._runtime, claims.client_id)
        except UnknownClientError as error:
            raise NotAuthenticatedError("The access token's client does not exist.") from error
        too_old = claims.issued_at < instant_seconds(client.tokens_from)
        if client.client_id != claims.client_id or client.revoked_at is not None or too_old:
            raise NotAuthenticatedError("The access token's client was revoked.")
        if not operations.has_secret(self._runtime, client.client_id, claims.secret_id):
            raise NotAuthenticatedError("The secret that the access token was for has ended.")
        return Caller(
            client_id=client.client_id, grants=(Grant(role=client.role, scope=client.scope),)
        )


def challenge(public_url: str, tenant_id: str) -> Mapping[str, str]:
    """Return the header that says where tokens come from (RFC 6750, and as Azure says it)."""
    address = f"{public_url}/{tenant_id}"
    return {
        "WWW-Authenticate": f'Bearer authorization_uri="{address}", error="invalid_token", '
        'error_description="An access token that is valid is needed."'
    }


def _digest(authorization: str | None) -> bytes:
    """The cache holds no token that works."""
    return hashlib.sha256((authorization or "").encode("latin-1", "replace")).digest()
