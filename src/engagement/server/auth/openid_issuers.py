"""Accepts the tokens of other OpenID issuers that the operator trusts."""

import json
import threading
import time
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt

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
METADATA_BYTES_MAX = 1_048_576
ROLES_MAX = 32


class IssuerTokens:
    """Tokens of other issuers; their `roles` claim says what the caller may do.

    A role is `reader`, `exporter` or `owner`, over everything, or with a scope behind a colon:
    `exporter:/subscriptions/NAME`.
    """

    def __init__(self, issuers: tuple[str, ...], *, audience: str) -> None:
        if issuers and not audience:
            raise BadInputError(
                "ENGAGEMENT_ISSUERS needs ENGAGEMENT_ISSUER_AUDIENCE: tokens that are meant for "
                "somebody else must not be accepted."
            )
        self._audience = audience
        self._issuers = {name: _Issuer(name) for name in issuers}

    def caller(self, token: str) -> Caller:
        """Return whom a token names, and what the issuer lets it do.

        Raises:
            NotAuthenticatedError: No trusted issuer signed it, or it is not for us or not now.
        """
        header, claims = decode_unverified(token)
        issuer = self._issuers.get(str(claims.get("iss")))
        if issuer is None:
            raise NotAuthenticatedError("The access token's issuer is not one that is accepted.")
        key = issuer.key(str(header.get("kid")))
        accepted = verify_token(
            token, key.key, ALGORITHMS.get(key.key_type or "", []), self._audience, issuer.name
        )
        return Caller(client_id=f"{issuer.name} {accepted['sub']}", grants=_grants(accepted))


@dataclass(frozen=True, slots=True)
class _Keys:
    by_id: dict[str, jwt.PyJWK]
    fetched_at: float


class _Issuer:
    """One issuer's keys, fetched when they are needed and kept for a while."""

    def __init__(self, name: str) -> None:
        split = urlsplit(name)
        is_loopback = split.hostname in LOOPBACK_HOSTS
        if split.scheme != "https" and not (split.scheme == "http" and is_loopback):
            raise BadInputError(f"An issuer must be an https address, got {name[:200]!r}.")
        self.name = name
        self._lock = threading.Lock()
        self._keys = _Keys({}, float("-inf"))

    def key(self, key_id: str) -> jwt.PyJWK:
        """Return the key with this id.

        Raises:
            NotAuthenticatedError: The issuer has none, or does not answer.
        """
        with self._lock:
            age = time.monotonic() - self._keys.fetched_at
            is_unknown = key_id not in self._keys.by_id
            if age > KEYS_SECONDS_MAX or (is_unknown and age > KEYS_SECONDS_MIN):
                self._keys = _Keys(self._fetch_keys() or self._keys.by_id, time.monotonic())
        found = self._keys.by_id.get(key_id)
        if found is None:
            raise NotAuthenticatedError("The access token's key is not one of its issuer's.")
        return found

    def _fetch_keys(self) -> dict[str, jwt.PyJWK]:
        """Return the issuer's keys by id; none if it does not answer as it should."""
        try:
            metadata = _fetch(f"{self.name.rstrip('/')}/.well-known/openid-configuration")
            if metadata.get("issuer") != self.name:
                return {}
            keys = jwt.PyJWKSet.from_dict(_fetch(str(metadata["jwks_uri"]))).keys
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError):
            return {}
        return {
            str(key.key_id): key
            for key in keys
            if key.key_type in ALGORITHMS and key.public_key_use in {None, "sig"}
        }


def _fetch(address: str) -> dict[str, Any]:
    split = urlsplit(address)
    if split.scheme != "https" and split.hostname not in LOOPBACK_HOSTS:
        raise ValueError("An issuer's keys must be fetched by https.")
    with urllib.request.urlopen(address, timeout=FETCH_SECONDS_MAX) as answer:  # noqa: S310 - checked above
        content = json.loads(answer.read(METADATA_BYTES_MAX))
    if not isinstance(content, dict):
        raise TypeError("An issuer must answer with a JSON object.")
    return content


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
