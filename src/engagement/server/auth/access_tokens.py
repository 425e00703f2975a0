"""Issues our access tokens and judges those that requests bring (RFC 9068, 8725)."""

import base64
import binascii
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from engagement.exceptions import NotAuthenticatedError
from engagement.model.access import ProvenClient
from engagement.model.keys import SigningKeys

AUDIENCE = "urn:engagement-export"
OWN_ALGORITHM = "ES256"
TOKEN_CHARACTERS_MAX = 8_192
TOKEN_SECONDS_MAX = 3_600
LEEWAY_SECONDS = 60
TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
KEY_HEADERS = frozenset({"b64", "crit", "jku", "jwk", "x5c", "x5u", "zip"})
_REFUSED = "The access token is not accepted; ask for a new one."


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """An access token and how long it lasts."""

    text: str = field(repr=False)
    """What the client sends as its bearer token."""
    issued_at: int
    """Seconds since 1970."""
    expires_at: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenClaims:
    """What a token of ours proves."""

    client_id: str
    """Whom it was issued to."""
    issued_at: int
    """When, in seconds since 1970."""
    secret_id: str
    """Which secret the client proved then."""


class AccessTokens:
    """The tokens of this installation: of one type, for one audience, signed with one key.

    Tokens of keys that signed before are accepted until the last of them must have ended.
    """

    def __init__(self, keys: SigningKeys, *, issuer: str, seconds: int) -> None:
        key = load_pem_private_key(keys.private_key_pem.encode(), password=None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise TypeError("The signing key must be one of an elliptic curve.")
        self._key = key
        own = _PublicKey(key.public_key(), float("inf"))
        former = (
            _PublicKey(
                load_pem_public_key(former.public_key_pem.encode()), former.ends_at.timestamp()
            )
            for former in keys.former
        )
        self.key_id = own.key_id
        """The thumbprint of the key that signs."""
        self._public_keys = {public_key.key_id: public_key for public_key in (own, *former)}
        self._seconds = min(seconds, TOKEN_SECONDS_MAX)
        self.issuer = issuer

    @property
    def public_keys(self) -> dict[str, Any]:
        """The JSON Web Key Set with which anybody can check our tokens."""
        return {
            "keys": [
                public_key.jwk | {"kid": key_id, "alg": OWN_ALGORITHM, "use": "sig"}
                for key_id, public_key in self._public_keys.items()
                if not public_key.has_ended
            ]
        }

    def issue(self, proven: ProvenClient) -> IssuedToken:
        """Return a token for a client that proved a secret, which it does not outlast."""
        now = int(time.time())
        client = proven.client
        expires_at = min(now + self._seconds, instant_seconds(proven.secret_expires_at))
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": client.client_id,
            "client_id": client.client_id,
            "roles": [client.role.value],
            "iat": now,
            "nbf": now,
            "exp": expires_at,
            "jti": secrets.token_urlsafe(16),
            "secret_id": proven.secret_id,
        }
        text = jwt.encode(
            claims,
            self._key,
            algorithm=OWN_ALGORITHM,
            headers={"typ": "at+jwt", "kid": self.key_id},
        )
        return IssuedToken(text=text, issued_at=now, expires_at=expires_at)

    def claims(self, token: str) -> AccessTokenClaims:
        """Return what a token of ours proves.

        Raises:
            NotAuthenticatedError: It is not ours, not an access token, or not valid now.
        """
        header, _ = decode_unverified(token)
        public_key = self._public_keys.get(str(header.get("kid")))
        if (
            header.get("alg") != OWN_ALGORITHM
            or public_key is None
            or public_key.has_ended
            or str(header.get("typ")).lower() not in TOKEN_TYPES
        ):
            raise NotAuthenticatedError(_REFUSED)
        claims = verify_token(token, public_key.key, [OWN_ALGORITHM], AUDIENCE, self.issuer)
        client_id, secret_id = claims.get("client_id"), claims.get("secret_id")
        if not isinstance(client_id, str) or client_id != claims["sub"]:
            raise NotAuthenticatedError(_REFUSED)
        if not isinstance(secret_id, str):
            raise NotAuthenticatedError(_REFUSED)
        if claims["exp"] - claims["iat"] > TOKEN_SECONDS_MAX:
            raise NotAuthenticatedError(_REFUSED)
        return AccessTokenClaims(client_id=client_id, issued_at=claims["iat"], secret_id=secret_id)


@dataclass(frozen=True)
class _PublicKey:
    """A key that tokens of ours are checked with."""

    key: Any
    """The key."""
    ends_at: float
    """When no token of it is accepted any more, in seconds since 1970."""

    @cached_property
    def jwk(self) -> dict[str, Any]:
        """The key as others read it."""
        made: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(self.key, as_dict=True)
        return made

    @cached_property
    def key_id(self) -> str:
        """The key's thumbprint."""
        content = json.dumps(self.jwk, sort_keys=True).encode()
        return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")

    @property
    def has_ended(self) -> bool:
        """Whether no token of it is accepted any more."""
        return time.time() >= self.ends_at


def decode_unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a well-formed token, which prove nothing by themselves.

    Raises:
        NotAuthenticatedError: It is too long, not three segments of base64url, or its JSON is not
            an object, names something twice or points to a key of its own.
    """
    segments = token.split(".")
    if len(token) > TOKEN_CHARACTERS_MAX or len(segments) != 3 or not all(segments):  # noqa: PLR2004 - JWS has three
        raise NotAuthenticatedError(_REFUSED)
    header, claims = (_json_object(segment) for segment in segments[:2])
    if KEY_HEADERS & header.keys():
        raise NotAuthenticatedError(_REFUSED)
    return header, claims


def verify_token(
    token: str, key: Any, algorithms: list[str], audience: str, issuer: str
) -> dict[str, Any]:
    """Return the claims of a token that this key signed, for this audience, valid now.

    Raises:
        NotAuthenticatedError: Not so.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={
                "require": ["exp", "iat", "iss", "aud", "sub"],
                "strict_aud": isinstance(decode_unverified(token)[1].get("aud"), str),
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise NotAuthenticatedError(_REFUSED) from error
    times = [claims[name] for name in ("exp", "iat", "nbf") if name in claims]
    if not all(type(instant) is int for instant in times) or not isinstance(claims["sub"], str):
        raise NotAuthenticatedError(_REFUSED)
    return claims


def instant_seconds(instant: datetime) -> int:
    """Return whole seconds since 1970, as tokens count time."""
    return int(instant.timestamp())


def _json_object(segment: str) -> dict[str, Any]:
    try:
        padded = segment + "=" * (-len(segment) % 4)
        decoded = base64.b64decode(padded, altchars=b"-_", validate=True)
        content = json.loads(decoded, object_pairs_hook=_without_repeats, parse_constant=_refuse)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise NotAuthenticatedError(_REFUSED) from error
    if not isinstance(content, dict):
        raise NotAuthenticatedError(_REFUSED)
    return content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("A name must come once.")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON.")
