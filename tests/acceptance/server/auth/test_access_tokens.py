"""Tests that forged, changed, expired and revoked credentials open nothing."""

import asyncio
import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from engagement import operations
from engagement.exceptions import NotAuthenticatedError
from engagement.model.access import Role, Scope
from engagement.model.keys import FormerSigningKey, SigningKeys
from engagement.operations.keys import TOKEN_LIFE_MAX
from engagement.server.auth.access_tokens import (
    LEEWAY_SECONDS,
    TOKEN_SECONDS_MAX,
    AccessTokens,
)
from support.server_in_process import VERSIONS, Route, Service, prove
from support.waiting import wait_for

CLAIMS = ("iss", "aud", "sub", "client_id", "secret_id")


def _claims(service: Service) -> dict[str, Any]:
    client = service.clients["alpha", Role.OWNER].client
    now = int(time.time())
    return {
        "iss": service.authentication.own.issuer,
        "aud": "urn:engagement-export",
        "sub": client.client_id,
        "client_id": client.client_id,
        "roles": ["owner"],
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": "1",
        "secret_id": prove(service.runtime, service.clients["alpha", Role.OWNER]).secret_id,
    }


def _signed(
    service: Service,
    claims: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    *,
    key: Any = None,
    drop: tuple[str, ...] = (),
) -> str:
    """A token with our own key, or another, that differs from a good one in what is given."""
    content = {k: v for k, v in (_claims(service) | (claims or {})).items() if k not in drop}
    head = {"alg": "ES256", "typ": "at+jwt", "kid": service.authentication.own.key_id}
    head |= headers or {}
    segments = [
        base64.urlsafe_b64encode(json.dumps(item).encode()).decode().rstrip("=")
        for item in (head, content)
    ]
    text = ".".join(segments)
    signer = key or jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).prepare_key(
        operations.read_signing_keys(service.runtime).private_key_pem
    )
    if isinstance(signer, bytes):
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
            text.encode(), signer
        )
    elif isinstance(signer, rsa.RSAPrivateKey):
        signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(
            text.encode(), signer
        )
    else:
        signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(
            text.encode(), signer
        )
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _bad_claims() -> list[tuple[dict[str, Any], tuple[str, ...]]]:
    now = int(time.time())
    odd: list[Any] = [None, "", [], {}, "x" * 5_000, True, 1.5, -1, 10**40, "2026-01-01", ["x"]]
    bad: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({name: value}, ()) for name in CLAIMS for value in odd
    ]
    bad += [({name: value}, ()) for name in ("exp", "iat") for value in odd]
    bad += [({}, (name,)) for name in (*CLAIMS, "exp", "iat")]
    bad += [
        ({"exp": now - 61}, ()),
        ({"exp": now + 10**6}, ()),
        ({"nbf": now + 600}, ()),
        ({"iat": now + 600, "exp": now + 900}, ()),
        ({"iat": now - 86_400, "exp": now + 600}, ()),
        ({"iss": "https://login.microsoftonline.com/x/v2.0"}, ()),
        ({"aud": "https://management.azure.com/"}, ()),
        ({"aud": ["a", "b"]}, ()),
        ({"sub": "other", "client_id": "other"}, ()),
    ]
    return bad


def _bad_headers() -> list[dict[str, Any]]:
    odd: list[Any] = [None, "", [], {}, 1, "JWT", "jwt", "at+jwt ", "x" * 500, True]
    bad = [{"typ": item} for item in odd] + [{"kid": item} for item in [*odd, "../../dev/null"]]
    algorithms = ["none", "None", "NONE", "nOnE", "", "HS256", "RS256", "ES384", "EdDSA", "PS256"]
    bad += [{"alg": algorithm} for algorithm in algorithms]
    bad += [{name: "https://example.org/k"} for name in ("jku", "x5u")]
    bad += [{"jwk": {"kty": "EC"}}, {"x5c": ["AAAA"]}, {"crit": ["exp"]}, {"b64": False}]
    return bad


def _accepted(service: Service, token: str) -> bool:
    try:
        asyncio.run(service.authentication.caller(f"Bearer {token}"))
    except NotAuthenticatedError:
        return False
    return True


def test_a_good_token_is_accepted(service: Service) -> None:
    assert _accepted(service, _signed(service))


def test_forged_tokens_are_refused(service: Service) -> None:
    """Each flaw of the claims beside each of the header, and each of them with each signature."""
    claims, headers = _bad_claims(), _bad_headers()
    public = jwt.algorithms.ECAlgorithm.to_jwk(
        jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
        .prepare_key(operations.read_signing_keys(service.runtime).private_key_pem)
        .public_key()
    )
    keys: list[Any] = [
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65_537, 2_048),
        b"secret",
        public.encode(),
    ]
    tokens = [_signed(service, item, drop=drop) for item, drop in claims]
    tokens += [_signed(service, None, header) for header in headers]
    tokens += [_signed(service, None, item, key=key) for item in [{}, *headers] for key in keys]
    tokens += [_signed(service, a, b, drop=drop) for a, drop in claims for b in headers[::3]]

    assert len(tokens) >= 1_000
    assert [token for token in tokens if _accepted(service, token)] == []


def test_a_planted_flaw_lets_a_forgery_in(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = _signed(service, None, {"typ": "JWT"})
    assert not _accepted(service, forged)

    monkeypatch.setattr(
        "engagement.server.auth.access_tokens.TOKEN_TYPES", frozenset({"at+jwt", "jwt"})
    )

    assert _accepted(service, forged)


@given(
    st.integers(0, 2_000),
    st.sampled_from(["replace", "remove", "insert", "cut"]),
    st.characters(codec="latin-1"),
)
def test_a_changed_token_is_refused(
    service: Service, anywhere: int, how: str, character: str
) -> None:
    good = _signed(service)
    place = anywhere % len(good)
    changed = {
        "replace": good[:place] + character + good[place + 1 :],
        "remove": good[:place] + good[place + 1 :],
        "insert": good[:place] + character + good[place:],
        "cut": good[:place],
    }[how]

    if _decoded(changed) != _decoded(good):
        assert not _accepted(service, changed)


def _decoded(token: str) -> list[bytes] | None:
    """What the segments hold: base64url has spare bits at its end, which mean nothing."""
    try:
        return [base64.urlsafe_b64decode(word + "==") for word in token.strip().split(".")]
    except ValueError:
        return None


@given(st.text(max_size=300))
def test_garbage_is_no_token(service: Service, text: str) -> None:
    assert not _accepted(service, text)


def test_a_revoked_client_is_soon_out(service: Service) -> None:
    made = operations.create_client(
        service.runtime, name="short-lived", role=Role.READER, scope=Scope.parse("/")
    )
    token = service.authentication.own.issue(prove(service.runtime, made)).text
    form: dict[str, Any] = {
        "url": "/subscriptions/alpha/providers/Microsoft.MobileEngagement/appCollections",
        "params": {"api-version": VERSIONS[0]},
        "headers": {"Authorization": f"Bearer {token}"},
    }
    assert service.http.get(**form).status_code == 200

    operations.revoke_client(service.runtime, "short-lived")
    wait_for(lambda: service.http.get(**form).status_code == 401, "the end of a revoked client")

    assert (
        operations.authenticate_client(service.runtime, made.client.client_id, made.client_secret)
        is None
    )


def test_a_rotated_secrets_tokens_end_with_it(service: Service) -> None:
    made = operations.create_client(
        service.runtime, name="rotated", role=Role.READER, scope=Scope.parse("/")
    )
    token = service.authentication.own.issue(prove(service.runtime, made)).text
    assert _accepted(service, token)

    kept = operations.rotate_client(service.runtime, "rotated", keep_hours=1)
    assert _accepted(service, token)
    last = operations.rotate_client(service.runtime, "rotated", keep_hours=0)

    # In the same second as the rotation too, on either side of it.
    later = service.authentication.own.issue(prove(service.runtime, last)).text
    assert not _accepted(service, token)
    assert _accepted(service, later)
    client_id = kept.client.client_id
    assert operations.authenticate_client(service.runtime, client_id, kept.client_secret) is None


def test_a_token_does_not_outlast_its_secret(service: Service) -> None:
    proven = prove(service.runtime, service.clients["alpha", Role.OWNER])
    soon = datetime.fromtimestamp(int(time.time()) + 60, tz=UTC)

    token = service.authentication.own.issue(replace(proven, secret_expires_at=soon))

    assert token.expires_at == int(soon.timestamp())


def test_tokens_of_a_former_key_are_accepted_until_it_ends(service: Service) -> None:
    now = datetime.now(UTC)
    first, second = (_new_private_key() for _ in range(2))
    issuer: dict[str, Any] = {"issuer": "https://issuer.example", "seconds": 600}
    old = AccessTokens(SigningKeys(private_key_pem=first), **issuer)
    token = old.issue(prove(service.runtime, service.clients["alpha", Role.OWNER])).text

    def after_rotation(ends_at: datetime) -> AccessTokens:
        former = FormerSigningKey(public_key_pem=_public_key_of(first), ends_at=ends_at)
        return AccessTokens(SigningKeys(private_key_pem=second, former=(former,)), **issuer)

    soon, past = after_rotation(now + timedelta(hours=1)), after_rotation(now)

    assert TOKEN_LIFE_MAX.total_seconds() == TOKEN_SECONDS_MAX + LEEWAY_SECONDS
    assert soon.claims(token) == old.claims(token)
    assert [key["kid"] for key in soon.public_keys["keys"]] == [soon.key_id, old.key_id]
    assert [key["kid"] for key in past.public_keys["keys"]] == [past.key_id]
    with pytest.raises(NotAuthenticatedError):
        past.claims(token)


def _new_private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public_key_of(private_key_pem: str) -> str:
    public_key = load_pem_private_key(private_key_pem.encode(), password=None).public_key()
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_secrets_are_kept_as_hashes_and_end(service: Service) -> None:
    made = operations.create_client(
        service.runtime, name="hashed", role=Role.READER, scope=Scope.parse("/"), secret_days=1
    )
    again = operations.rotate_client(service.runtime, "hashed", keep_hours=0)
    database = (service.runtime.settings.home / "state.db").read_bytes()
    log = (service.runtime.settings.home / "state.db-wal").read_bytes()

    for secret in (made.client_secret, again.client_secret):
        assert secret.encode() not in database + log
    client_id = made.client.client_id
    known = operations.authenticate_client
    assert known(service.runtime, client_id, made.client_secret) is None
    assert known(service.runtime, client_id, again.client_secret) is not None
    assert service.runtime.clients.secrets(client_id, now=datetime(2099, 1, 1, tzinfo=UTC)) == {}


def test_an_expired_token_opens_nothing(service: Service, routes: list[Route]) -> None:
    expired = _signed(service, {"exp": int(time.time()) - 120, "iat": int(time.time()) - 600})
    for route in routes:
        answer = service.ask(route, "alpha", {"Authorization": f"Bearer {expired}"})

        assert answer.status_code == 401, route
