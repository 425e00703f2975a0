"""Accepts the tokens of other OpenID issuers that the operator trusts, and knows where they are."""

import asyncio
import json
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog
from starlette.concurrency import run_in_threadpool

from engagement.exceptions import BadInputError, NotAuthenticatedError
from engagement.model.access import Caller, Grant, Role, Scope
from engagement.model.hosts import LOOPBACK_HOSTS
from engagement.server.auth.access_tokens import decode_unverified, verify_token

ALGORITHMS = {"RSA": ["RS256"], "EC": ["ES256"], "OKP": ["EdDSA"]}
"""Which signatures each type of key may have made; never chosen by the token."""
KEYS_SECONDS_MAX = 300
KEYS_SECONDS_MIN = 30
"""An unknown key id makes us look for new keys, but not more often than this."""
FETCH_SECONDS_MAX = 5
"""For all that is asked of an issuer together, however slowly it answers."""
METADATA_BYTES_MAX = 1_048_576
ROLES_MAX = 32
NAME_CLAIMS = ("preferred_username", "email", "name")
NAME_CHARACTERS_MAX = 100
ENDPOINTS = ("authorization_endpoint", "token_endpoint")
NO_ANSWER = f"It did not answer within {FETCH_SECONDS_MAX} seconds, or could not be reached."
_log = structlog.get_logger()


class IssuerUnavailableError(NotAuthenticatedError):
    """Nobody can be signed in by an issuer now; says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person whom an issuer names."""

    caller: Caller
    """Who it is, and what the issuer lets it do."""
    name: str
    """Whom to greet."""
    rights_end_at: int
    """Until when the issuer's word is believed, in seconds since 1970."""


class IssuerTokens:
    """Tokens of other issuers; their `roles` claim says what the caller may do.

    A role is `reader`, `exporter` or `owner`, over everything, or with a scope behind a colon:
    `exporter:/subscriptions/NAME`.
    """

    def __init__(self, issuers: tuple[str, ...], *, audience: str, token_seconds_max: int) -> None:
        if issuers and not audience:
            raise BadInputError(
                "ENGAGEMENT_ISSUERS needs ENGAGEMENT_ISSUER_AUDIENCE: tokens that are meant for "
                "somebody else must not be accepted."
            )
        self._audience = audience
        self._token_seconds_max = token_seconds_max
        self._issuers = {name: Issuer(name) for name in issuers}

    @property
    def names(self) -> tuple[str, ...]:
        """The issuers that are trusted, in the order of the setting."""
        return tuple(self._issuers)

    def find(self, name: str) -> "Issuer | None":
        """Return a trusted issuer by its name; None if none has it."""
        return self._issuers.get(name)

    async def caller(self, token: str) -> Caller:
        """Return whom a token names, and what the issuer lets it do.

        Raises:
            NotAuthenticatedError: No trusted issuer signed it, it is not for us or not now, or it
                lasts for too long.
        """
        header, claims = decode_unverified(token)
        issuer = self._issuers.get(str(claims.get("iss")))
        if issuer is None:
            raise NotAuthenticatedError("The access token's issuer is not one that is accepted.")
        accepted = await self._verify(issuer, token, header, self._audience)
        return _caller(issuer, accepted)

    async def identify(
        self, issuer: "Issuer", id_token: str, *, client_id: str, nonce: str
    ) -> User:
        """Return whom an id token names that the issuer sent for one sign-in of a client of its.

        Args:
            issuer: Who sent it.
            id_token: What it sent.
            client_id: The id that the issuer knows this service by.
            nonce: What the sign-in was begun with.

        Raises:
            NotAuthenticatedError: The issuer did not sign it, or it is for another client or
                sign-in, not for now, or lasts for too long.
        """
        header, _ = decode_unverified(id_token)
        accepted = await self._verify(issuer, id_token, header, client_id)
        has_many = isinstance(accepted["aud"], list) and len(accepted["aud"]) > 1
        if accepted.get("azp", None if has_many else client_id) != client_id:
            raise NotAuthenticatedError("The id token was issued to another client.")
        if accepted.get("nonce") != nonce:
            raise NotAuthenticatedError("The id token is of another sign-in.")
        names = (accepted.get(claim) for claim in NAME_CLAIMS)
        name = next((text for text in names if isinstance(text, str) and text), accepted["sub"])
        return User(
            caller=_caller(issuer, accepted),
            name=name[:NAME_CHARACTERS_MAX],
            rights_end_at=accepted["iat"] + self._token_seconds_max,
        )

    async def _verify(
        self, issuer: "Issuer", token: str, header: dict[str, Any], audience: str
    ) -> dict[str, Any]:
        key = await issuer.key(str(header.get("kid")))
        algorithms = ALGORITHMS.get(key.key_type or "", [])
        accepted = await run_in_threadpool(
            verify_token, token, key.key, algorithms, audience, issuer.name
        )
        if accepted["exp"] - accepted["iat"] > self._token_seconds_max:
            raise NotAuthenticatedError(
                f"The token must last {self._token_seconds_max} seconds at most."
            )
        return accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where people and this service go to sign somebody in."""

    authorization: str
    """Where a browser goes."""
    token: str
    """Where a code is exchanged."""
    names_itself: bool
    """Whether the issuer says who it is when it sends a browser back (RFC 9207)."""


@dataclass(frozen=True, slots=True)
class _Published:
    """What an issuer says of itself."""

    keys: dict[str, jwt.PyJWK]
    endpoints: Endpoints | None
    """None of one that names none at its own host, as it needs not for access tokens."""


@dataclass(frozen=True, slots=True)
class _Found:
    published: _Published
    fetched_at: float
    failure: str = ""


class Issuer:
    """What one issuer publishes, fetched when it is needed and kept for a while.

    All but the fetching itself is done in the event loop, which therefore needs no lock.
    """

    def __init__(self, name: str) -> None:
        split = urlsplit(name)
        is_loopback = split.hostname in LOOPBACK_HOSTS
        if split.scheme != "https" and not (split.scheme == "http" and is_loopback):
            raise BadInputError(f"An issuer must be an https address, got {name[:200]!r}.")
        self.name = name
        self._found = _Found(_Published({}, None), float("-inf"))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="issuer")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> jwt.PyJWK:
        """Return the key with this id; wait for the issuer for a limited time, if at all.

        Raises:
            NotAuthenticatedError: The issuer has none, or does not answer.
        """
        age = time.monotonic() - self._found.fetched_at
        is_unknown = key_id not in self._found.published.keys
        if age > KEYS_SECONDS_MAX or (is_unknown and age > KEYS_SECONDS_MIN):
            await self._wait_for_fetch()
        found = self._found.published.keys.get(key_id)
        if found is None:
            raise NotAuthenticatedError("The token's key is not one of its issuer's.")
        return found

    async def endpoints(self) -> Endpoints:
        """Return where to sign in; wait for the issuer for a limited time, if at all.

        Raises:
            IssuerUnavailableError: It does not answer, or not as it should; says how.
        """
        age = time.monotonic() - self._found.fetched_at
        failed = self._found.published.endpoints is None and age > KEYS_SECONDS_MIN
        if age > KEYS_SECONDS_MAX or failed:
            await self._wait_for_fetch()
        if self._found.published.endpoints is None:
            raise IssuerUnavailableError(self._found.failure or NO_ANSWER)
        return self._found.published.endpoints

    async def _wait_for_fetch(self) -> None:
        """Let one fetch at a time look for what the issuer publishes."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.wait({self._fetching}, timeout=FETCH_SECONDS_MAX)

    async def _fetch(self) -> None:
        """Look at what the issuer publishes; if it does not answer as it should, the old stays."""
        published, failure = self._found.published, ""
        try:
            loop = asyncio.get_running_loop()
            published = await loop.run_in_executor(
                self._thread, lambda: asyncio.run(self._fetch_published())
            )
        except Exception as error:  # noqa: BLE001 - an issuer may answer anything
            reason = type(error).__name__
            failure = str(error) if isinstance(error, _UnusableError) else NO_ANSWER
            _log.warning("issuer_keys_not_fetched", issuer=self.name, error=reason)
        if not failure and published.endpoints is None:
            failure = f"Its metadata names no {' and '.join(ENDPOINTS)} at its own host."
        self._found = _Found(published, time.monotonic(), failure)

    async def _fetch_published(self) -> _Published:
        """Return what the issuer publishes, or raise; in a thread of the issuer's own.

        Making a client and reading keys may take long, and so may name servers.
        """
        # The system's authorities are the ones that an operator adds to.
        trusted = ssl.create_default_context()
        async with (
            asyncio.timeout(FETCH_SECONDS_MAX),
            httpx.AsyncClient(verify=trusted, follow_redirects=False) as http,
        ):
            root = self.name.rstrip("/")
            metadata = await _read_json(http, f"{root}/.well-known/openid-configuration")
            keys_address = str(metadata["jwks_uri"])
            if metadata.get("issuer") != self.name or _origin(keys_address) != _origin(self.name):
                raise _UnusableError("Its metadata must name itself, and keys at its own host.")
            keys = jwt.PyJWKSet.from_dict(await _read_json(http, keys_address)).keys
        usable = {
            str(key.key_id): key
            for key in keys
            if key.key_type in ALGORITHMS and key.public_key_use in {None, "sig"}
        }
        return _Published(usable, self._read_endpoints(metadata))

    def _read_endpoints(self, metadata: dict[str, Any]) -> Endpoints | None:
        addresses = [metadata.get(name) for name in ENDPOINTS]
        for address in addresses:
            if not isinstance(address, str) or _origin(address) != _origin(self.name):
                return None
        return Endpoints(
            authorization=str(addresses[0]),
            token=str(addresses[1]),
            names_itself=metadata.get("authorization_response_iss_parameter_supported") is True,
        )


class _UnusableError(ValueError):
    """An issuer answers, but not as it must."""


async def _read_json(http: httpx.AsyncClient, address: str) -> dict[str, Any]:
    body = bytearray()
    async with http.stream("GET", address, headers={"Accept-Encoding": "identity"}) as answer:
        if answer.status_code != httpx.codes.OK:
            raise _UnusableError(f"It must answer with 200, got {answer.status_code}.")
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > METADATA_BYTES_MAX:
                raise _UnusableError(f"Its answer must have {METADATA_BYTES_MAX} bytes at most.")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _UnusableError("It must answer with JSON.") from error
    if not isinstance(content, dict):
        raise _UnusableError("It must answer with a JSON object.")
    return content


def _origin(address: str) -> tuple[str, str | None, int | None]:
    """Whom an address leads to, and how; credentials in it make it another."""
    split = urlsplit(address)
    host = split.hostname if "@" not in split.netloc else None
    default = {"https": 443, "http": 80}.get(split.scheme)
    return split.scheme, host, default if split.port is None else split.port


def _caller(issuer: Issuer, claims: dict[str, Any]) -> Caller:
    return Caller(client_id=f"{issuer.name} {claims['sub']}", grants=_grants(claims))


def _grants(claims: dict[str, Any]) -> tuple[Grant, ...]:
    """What the roles say; those that are not ours say nothing."""
    roles = claims.get("roles", [])
    grants = []
    for role in roles[:ROLES_MAX] if isinstance(roles, list) else []:
        name, _, scope = str(role).partition(":")
        if name in set(Role):
            try:
                grants.append(Grant(role=Role(name), scope=Scope.parse(scope)))
            except BadInputError:
                continue
    return tuple(grants)
