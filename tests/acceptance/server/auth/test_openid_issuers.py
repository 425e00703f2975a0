"""Tests tokens of another issuer, a real one that publishes its keys over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from engagement.exceptions import BadInputError, NotAuthenticatedError
from engagement.model.access import Role
from engagement.server.auth.openid_issuers import IssuerTokens

AUDIENCE = "api://exports"


@dataclass(slots=True)
class Issuer:
    """An OpenID issuer with keys of three types."""

    name: str = ""
    keys: dict[str, tuple[Any, str]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    is_down: bool = False

    def add(self, key_id: str, key: Any, algorithm: str) -> None:
        """Publish a key."""
        self.keys[key_id] = (key, algorithm)

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """What it publishes, by path."""
        published = []
        for key_id, (key, algorithm) in self.keys.items():
            made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
            published.append({**made, "kid": key_id, "use": "sig"})
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.name,
                "jwks_uri": f"{self.name}/keys",
            },
            "/keys": {"keys": published},
        }

    def token(self, key_id: str, **changes: Any) -> str:
        """A token, signed with one of its keys."""
        now = int(time.time())
        claims = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": "robot",
            "iat": now,
            "exp": now + 600,
            "roles": ["exporter:/subscriptions/alpha", "unheard-of"],
        }
        key, algorithm = self.keys[key_id]
        return jwt.encode(claims | changes, key, algorithm=algorithm, headers={"kid": key_id})


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """An issuer on loopback."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.fetched.append(self.path)
            found = None if issuer.is_down else issuer.documents.get(self.path)
            self.send_response(503 if found is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.name = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        issuer.add("rsa", rsa.generate_private_key(65_537, 2_048), "RS256")
        issuer.add("ec", ec.generate_private_key(ec.SECP256R1()), "ES256")
        issuer.add("ed", ed25519.Ed25519PrivateKey.generate(), "EdDSA")
        yield issuer
        server.shutdown()
        thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


def accepting(issuer: Issuer) -> IssuerTokens:
    return IssuerTokens((issuer.name,), audience=AUDIENCE)


@pytest.mark.parametrize("key_id", ["rsa", "ec", "ed"])
def test_its_tokens_are_accepted_with_their_roles(issuer: Issuer, key_id: str) -> None:
    caller = accepting(issuer).caller(issuer.token(key_id))

    assert caller.client_id == f"{issuer.name} robot"
    assert [(grant.role, grant.scope.path) for grant in caller.grants] == [
        (Role.EXPORTER, "/subscriptions/alpha")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "api://others"},
        {"iss": "http://127.0.0.1:1"},
        {"exp": 1},
        {"nbf": 2**31},
        {"sub": None},
        {"iat": None},
    ],
)
def test_what_is_not_for_us_now_is_refused(issuer: Issuer, changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticatedError):
        accepting(issuer).caller(issuer.token("rsa", **changes))


def test_a_key_of_one_type_does_not_sign_for_another(issuer: Issuer) -> None:
    tokens = accepting(issuer)
    claims = jwt.decode(issuer.token("rsa"), options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": "rsa"}),
        jwt.encode(claims, None, algorithm="none", headers={"kid": "rsa"}),
        jwt.encode(claims, issuer.keys["ec"][0], algorithm="ES256", headers={"kid": "rsa"}),
    ]

    for item in forged:
        with pytest.raises(NotAuthenticatedError):
            tokens.caller(item)


def test_roles_that_are_not_ours_grant_nothing(issuer: Issuer) -> None:
    tokens = accepting(issuer)
    for roles in (None, "owner", [], ["admin"], ["owner:nonsense"], [{"owner": 1}]):
        assert tokens.caller(issuer.token("ec", roles=roles)).grants == ()


def test_an_unknown_key_is_looked_for_once_in_a_while(issuer: Issuer) -> None:
    tokens = accepting(issuer)
    token = issuer.token("rsa")
    tokens.caller(token)
    issuer.add("new", ec.generate_private_key(ec.SECP256R1()), "ES256")
    before = len(issuer.fetched)

    for _ in range(50):
        with pytest.raises(NotAuthenticatedError):
            tokens.caller(issuer.token("new"))

    assert len(issuer.fetched) == before
    assert tokens.caller(token)


def test_a_new_key_is_found_when_it_is_time(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = accepting(issuer)
    tokens.caller(issuer.token("rsa"))
    issuer.add("new", ec.generate_private_key(ec.SECP256R1()), "ES256")

    monkeypatch.setattr("engagement.server.auth.openid_issuers.KEYS_SECONDS_MIN", 0)

    assert tokens.caller(issuer.token("new"))


def test_an_issuer_that_is_down_lets_nobody_in_and_breaks_nothing(issuer: Issuer) -> None:
    issuer.is_down = True

    with pytest.raises(NotAuthenticatedError):
        accepting(issuer).caller(issuer.token("rsa"))


def test_an_issuer_needs_an_audience_and_https() -> None:
    with pytest.raises(BadInputError, match="AUDIENCE"):
        IssuerTokens(("https://login.example",), audience="")
    with pytest.raises(BadInputError, match="https"):
        IssuerTokens(("http://login.example",), audience=AUDIENCE)
