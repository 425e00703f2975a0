"""Gets access tokens: from a client's secret, or from whatever the user brings."""

import json
import time
from typing import Protocol
from urllib.parse import quote, urlencode

from engagement.client.access import Access
from engagement.client.asynchronous.sending import AsyncRetryingSender
from engagement.client.concurrency import TokenFunction, call_async_token_function
from engagement.client.refusals import token_refusal
from engagement.client.responses import NoResponseError
from engagement.exceptions import BadInputError, ServerError, ServerUnreachableError

SCOPE = "https://management.azure.com/.default"
RENEWED_SECONDS_BEFORE = 60
"""A token is renewed this long before its end, so that it does not end on the way."""


class AsyncCredentials(Protocol):
    """Where access tokens come from."""

    async def token(self, server: str, sender: AsyncRetryingSender) -> str:
        """Return a token for the next request."""

    def forget(self, token: str) -> bool:
        """Take a token for refused; return whether another one may be had."""


class AsyncClientSecret:
    """Fetches a token for a client's secret and keeps it until shortly before its end."""

    def __init__(self, *, tenant_id: str, client_id: str, client_secret: str) -> None:
        self._tenant_id = tenant_id
        self._form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_secret": client_secret,
                "scope": SCOPE,
            }
        ).encode()
        self._kept: tuple[str, float] | None = None

    async def token(self, server: str, sender: AsyncRetryingSender) -> str:
        """Return the token that is kept, or a new one.

        Raises:
            NotAuthenticatedError: There is no such tenant, client or secret.
            ServerError: The server's answer is something else.
            ServerUnreachableError: No answer came.
        """
        kept = self._kept
        if kept is not None and time.monotonic() < kept[1]:
            return kept[0]
        asked_at = time.monotonic()
        try:
            response = await sender.send(
                "POST",
                f"{server}/{quote(self._tenant_id, safe='')}/oauth2/v2.0/token",
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
                content=self._form,
            )
        except NoResponseError as error:
            raise ServerUnreachableError(f"The server gives no token: {error}.") from error
        if not response.is_success:
            raise token_refusal(response)
        token, seconds = _parse_token(response.body)
        self._kept = (token, asked_at + seconds - RENEWED_SECONDS_BEFORE)
        return token

    def forget(self, token: str) -> bool:
        """Fetch a new one next time, unless another thread has done so already."""
        if self._kept is not None and self._kept[0] == token:
            self._kept = None
        return True


class AsyncBearer:
    """A token that the user brings, or a function that gives one whenever it is asked."""

    def __init__(self, source: str | TokenFunction) -> None:
        self._source = source

    async def token(self, server: str, sender: AsyncRetryingSender) -> str:
        """Return the token."""
        del server, sender
        if isinstance(self._source, str):
            return self._source
        return await call_async_token_function(self._source)

    def forget(self, token: str) -> bool:
        """A function may give another one; a text stays what it is."""
        del token
        return not isinstance(self._source, str)


def credentials_of(access: Access) -> AsyncCredentials:
    """Return the credentials that were given, in the one way or the other.

    Raises:
        BadInputError: Both ways, or neither in full.
    """
    tenant_id, client_id = access.get("tenant_id"), access.get("client_id")
    client_secret, token = access.get("client_secret"), access.get("token")
    given = {"tenant_id": tenant_id, "client_id": client_id, "client_secret": client_secret}
    if token is not None and not any(given.values()):
        return AsyncBearer(token)
    if token is not None:
        raise BadInputError("A client needs a token or a client secret, got both.")
    if tenant_id and client_id and client_secret:
        return AsyncClientSecret(
            tenant_id=tenant_id, client_id=client_id, client_secret=client_secret
        )
    missing = [name for name, value in given.items() if not value]
    raise BadInputError(
        "A client needs tenant_id, client_id and client_secret, or a token; "
        f"{', '.join(missing)} is missing."
    )


def _parse_token(body: bytes) -> tuple[str, float]:
    try:
        content = json.loads(body)
        token, seconds = content["access_token"], float(content["expires_in"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ServerError("The server's answer must hold an access token, got another.") from error
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise ServerError("An access token must be a text that a header can hold, got another.")
    return token, seconds
