"""Signs people in at OpenID issuers, by the code flow with PKCE (OpenID Connect Core, RFC 7636)."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx2
import jwt
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.client import OAuth2Client

from engagement.exceptions import BadInputError, NotAuthenticatedError
from engagement.server.auth.openid_issuers import (
    FETCH_SECONDS_MAX,
    METADATA_BYTES_MAX,
    NO_ANSWER,
    Issuer,
    IssuerTokens,
    IssuerUnavailableError,
    User,
)

SCOPE = "openid profile email"
NO_CLIENT = "-"
VERIFIER_BYTES = 48
STATE_BYTES = 32
EXCHANGES_MAX = 4
"""Exchanges with one issuer at a time; more wait for as long as one of them may take."""
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A sign-in that somebody was sent to an issuer for; it is its browser's, and secret."""

    issuer: str
    """Where."""
    state: str = field(repr=False)
    """What the issuer sends back, so that the end belongs to this beginning."""
    nonce: str = field(repr=False)
    """What the id token must hold."""
    verifier: str = field(repr=False)
    """What proves to the issuer that whoever exchanges the code began this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Client:
    """What an issuer knows this service by."""

    issuer: Issuer
    """The issuer."""
    client_id: str
    """The id it gave."""
    client_secret: str | None = field(repr=False)
    """None of a public client, which PKCE alone protects."""
    threads: ThreadPoolExecutor
    """Of this issuer alone, so that one that hangs delays no other."""


class CodeFlow:
    """Signing in at those trusted issuers that know this service as a client.

    Args:
        tokens: The issuers that are trusted; there is no other list.
        client_ids: What each knows this service by, in their order; `-` of one that does not.
        client_secrets: Their secrets in the same order, `-` of a public client; or none at all.
        callback: The address that issuers send browsers back to.

    Raises:
        BadInputError: There are more or fewer ids or secrets than issuers.
    """

    def __init__(
        self,
        tokens: IssuerTokens,
        *,
        client_ids: tuple[str, ...],
        client_secrets: tuple[str, ...],
        callback: str,
    ) -> None:
        for name, given in (("IDS", client_ids), ("SECRETS", client_secrets)):
            if given and len(given) != len(tokens.names):
                raise BadInputError(
                    f"ENGAGEMENT_ISSUER_CLIENT_{name} must hold one for each of the "
                    f"{len(tokens.names)} issuers, in their order, got {len(given)}."
                )
        self._tokens = tokens
        self._callback = callback
        self._clients = {}
        for place, client_id in enumerate(client_ids):
            issuer = tokens.find(tokens.names[place])
            if client_id != NO_CLIENT and issuer is not None:
                secret = client_secrets[place] if client_secrets else NO_CLIENT
                self._clients[issuer.name] = _Client(
                    issuer=issuer,
                    client_id=client_id,
                    client_secret=None if secret == NO_CLIENT else secret,
                    threads=ThreadPoolExecutor(EXCHANGES_MAX, thread_name_prefix="sign-in"),
                )

    @property
    def issuers(self) -> tuple[str, ...]:
        """The issuers that people can sign in at."""
        return tuple(self._clients)

    async def begin(self, issuer_name: str) -> tuple[str, Beginning]:
        """Return where to send a browser for a sign-in, and what must be known when it returns.

        Raises:
            NotAuthenticatedError: Nobody can sign in there.
            IssuerUnavailableError: The issuer does not answer as it should; says how.
        """
        client = self._client(issuer_name)
        endpoints = await client.issuer.endpoints()
        beginning = Beginning(
            issuer=issuer_name,
            state=secrets.token_urlsafe(STATE_BYTES),
            nonce=secrets.token_urlsafe(STATE_BYTES),
            verifier=secrets.token_urlsafe(VERIFIER_BYTES),
        )
        oauth = OAuth2Client(
            None,
            client.client_id,
            scope=SCOPE,
            redirect_uri=self._callback,
            code_challenge_method="S256",
        )
        address, _ = oauth.create_authorization_url(
            endpoints.authorization,
            state=beginning.state,
            nonce=beginning.nonce,
            code_verifier=beginning.verifier,
        )
        return address, beginning

    async def finish(self, beginning: Beginning, *, code: str, named: str | None) -> User:
        """Return who signed in, when the issuer has exchanged the code for a proof of it.

        Args:
            beginning: What was begun in the same browser.
            code: What the issuer gave the browser.
            named: Who the issuer said it is, if it did; another than it was begun at could be
                one that passes codes on.

        Raises:
            NotAuthenticatedError: The issuer does not take the code, or what it sends is not
                accepted; says why.
            IssuerUnavailableError: The issuer does not answer.
        """
        client = self._client(beginning.issuer)
        endpoints = await client.issuer.endpoints()
        if (named is not None or endpoints.names_itself) and named != beginning.issuer:
            raise NotAuthenticatedError(
                "The answer must come from the issuer that was chosen, but it names another."
            )
        loop = asyncio.get_running_loop()
        exchanged = loop.run_in_executor(
            client.threads,
            lambda: asyncio.run(self._exchange(client, endpoints.token, beginning, code)),
        )
        try:
            id_token = await asyncio.wait_for(exchanged, 2 * FETCH_SECONDS_MAX)
        except TimeoutError as error:
            raise IssuerUnavailableError(NO_ANSWER) from error
        try:
            return await self._tokens.identify(
                client.issuer, id_token, client_id=client.client_id, nonce=beginning.nonce
            )
        except NotAuthenticatedError as error:
            cause = error.__cause__
            why = str(cause) if isinstance(cause, jwt.PyJWTError) else str(error)
            raise NotAuthenticatedError(f"Its id token is not accepted: {why}") from error

    async def _exchange(
        self, client: _Client, endpoint: str, beginning: Beginning, code: str
    ) -> str:
        """Return the id token for a code; in a thread of the issuer's own, for a limited time."""
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX), self._open(client) as oauth:
                answer = await oauth.fetch_token(
                    endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=beginning.verifier,
                    redirect_uri=self._callback,
                )
        except OAuthError as error:
            raise NotAuthenticatedError(f"It did not take the code: {error.error}.") from error
        except (TimeoutError, httpx2.TransportError) as error:
            raise IssuerUnavailableError(NO_ANSWER) from error
        except Exception as error:
            # An issuer may answer anything.
            _log.warning(
                "issuer_answer_not_read", issuer=beginning.issuer, error=type(error).__name__
            )
            raise IssuerUnavailableError("It did not answer the code with tokens.") from error
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise NotAuthenticatedError("It sent no id token.")
        return id_token

    def _client(self, issuer_name: str) -> _Client:
        client = self._clients.get(issuer_name)
        if client is None:
            raise NotAuthenticatedError(f"Nobody can sign in at {issuer_name[:200]!r} here.")
        return client

    def _open(self, client: _Client) -> AsyncOAuth2Client:
        client_id, secret = client.client_id, client.client_secret
        if secret is not None:
            # RFC 6749, section 2.3.1, wants them encoded; Authlib takes them as they are.
            client_id, secret = quote(client_id, safe=""), quote(secret, safe="")
        return AsyncOAuth2Client(
            client_id,
            secret,
            redirect_uri=self._callback,
            verify=ssl.create_default_context(),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [_limit]},
        )


async def _limit(response: httpx2.Response) -> None:
    """Let no more of an answer be read than it may have, and nothing that has to be unpacked."""
    if "content-encoding" in response.headers:
        raise httpx2.DecodingError("An issuer's answer must not be packed.")
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _BoundedStream(response.stream)


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > METADATA_BYTES_MAX:
                raise httpx2.DecodingError(
                    f"An issuer's answer must have {METADATA_BYTES_MAX} bytes at most."
                )
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
