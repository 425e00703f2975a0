"""Accepts the tokens of other OpenID issuers that the operator trusts."""

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
_log = structlog.get_logger()


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
        self._issuers = {name: _Issuer(name) for name in issuers}

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
        key = await issuer.key(str(header.get("kid")))
        algorithms = ALGORITHMS.get(key.key_type or "", [])
        accepted = await run_in_threadpool(
            verify_token, token, key.key, algorithms, self._audience, issuer.name
        )
        if accepted["exp"] - accepted["iat"] > self._token_seconds_max:
            raise NotAuthenticatedError(
                f"The access token must last {self._token_seconds_max} seconds at most."
            )
        return Caller(client_id=f"{issuer.name} {accepted['sub']}", grants=_grants(accepted))


@dataclass(frozen=True, slots=True)
class _Keys:
    by_id: dict[str, jwt.PyJWK]
    fetched_at: float


class _Issuer:
    """One issuer's keys, fetched when they are needed and kept for a while.

    All but the fetching itself is done in the event loop, which therefore needs no lock.
    """

    def __init__(self, name: str) -> None:
        split = urlsplit(name)
        is_loopback = split.hostname in LOOPBACK_HOSTS
        if split.scheme != "https" and not (split.scheme == "http" and is_loopback):
            raise BadInputError(f"An issuer must be an https address, got {name[:200]!r}.")
        self.name = name
        self._keys = _Keys({}, float("-inf"))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="issuer")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> jwt.PyJWK:
        """Return the key with this id; wait for the issuer for a limited time, if at all.

        Raises:
            NotAuthenticatedError: The issuer has none, or does not answer.
        """
        age = time.monotonic() - self._keys.fetched_at
        is_unknown = key_id not in self._keys.by_id
        if age > KEYS_SECONDS_MAX or (is_unknown and age > KEYS_SECONDS_MIN):
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._fetch())
            await asyncio.wait({self._fetching}, timeout=FETCH_SECONDS_MAX)
        found = self._keys.by_id.get(key_id)
        if found is None:
            raise NotAuthenticatedError("The access token's key is not one of its issuer's.")
        return found

    async def _fetch(self) -> None:
        """Look for the issuer's keys; if it does not answer as it should, the old ones stay."""
        by_id = self._keys.by_id
        try:
            loop = asyncio.get_running_loop()
            by_id = await loop.run_in_executor(
                self._thread, lambda: asyncio.run(self._fetch_keys())
            )
        except Exception as error:  # noqa: BLE001 - an issuer may answer anything
            reason = type(error).__name__
            _log.warning("issuer_keys_not_fetched", issuer=self.name, error=reason)
        self._keys = _Keys(by_id, time.monotonic())

    async def _fetch_keys(self) -> dict[str, jwt.PyJWK]:
        """Return the issuer's keys by id, or raise; in a thread of the issuer's own.

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
                raise ValueError("An issuer must name itself, and keys at its own host.")
            keys = jwt.PyJWKSet.from_dict(await _read_json(http, keys_address)).keys
        return {
            str(key.key_id): key
            for key in keys
            if key.key_type in ALGORITHMS and key.public_key_use in {None, "sig"}
        }


async def _read_json(http: httpx.AsyncClient, address: str) -> dict[str, Any]:
    body = bytearray()
    async with http.stream("GET", address, headers={"Accept-Encoding": "identity"}) as answer:
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"An issuer must answer with 200, got {answer.status_code}.")
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > METADATA_BYTES_MAX:
                raise ValueError(
                    f"An issuer's answer must have {METADATA_BYTES_MAX} bytes at most."
                )
    content = json.loads(body)
    if not isinstance(content, dict):
        raise TypeError("An issuer must answer with a JSON object.")
    return content


def _origin(address: str) -> tuple[str, str | None, int | None]:
    """Whom an address leads to, and how; credentials in it make it another."""
    split = urlsplit(address)
    host = split.hostname if "@" not in split.netloc else None
    default = {"https": 443, "http": 80}.get(split.scheme)
    return split.scheme, host, default if split.port is None else split.port


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
