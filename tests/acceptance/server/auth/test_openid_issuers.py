"""Tests tokens of another issuer, a real one that publishes its keys over HTTP."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from engagement.exceptions import BadInputError, NotAuthenticatedError
from engagement.model.access import Caller, Role
from engagement.server.auth import openid_issuers
from engagement.server.auth.openid_issuers import IssuerTokens
from support.server_in_process import serve_in_process
from support.waiting import WAIT_SECONDS_MAX, wait_for

AUDIENCE = "api://exports"
LIFE_SECONDS_MAX = 3_600


@dataclass(slots=True)
class Issuer:
    """An OpenID issuer with keys of three types."""

    name: str = ""
    address: str = ""
    keys: dict[str, tuple[Any, str]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    is_down: bool = False
    is_dripping: bool = False
    keys_address: str = ""
    redirects: dict[str, str] = field(default_factory=dict)
    may_answer: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> str:
        """Where it listens, whatever it calls itself."""
        return self.address.rsplit(":", 1)[1]

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
                "jwks_uri": self.keys_address or f"{self.name}/keys",
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
            issuer.may_answer.wait()
            while issuer.is_dripping:
                self.wfile.write(b"H")
            if self.path in issuer.redirects:
                self.send_response(302)
                self.send_header("Location", issuer.redirects[self.path])
                self.end_headers()
                return
            found = None if issuer.is_down else issuer.documents.get(self.path)
            self.send_response(503 if found is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    issuer.may_answer.set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.name = issuer.address = f"http://127.0.0.1:{server.server_port}"
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


class Accepting:
    """Accepts tokens of some issuers, each in an event loop of its own."""

    def __init__(self, *issuers: Issuer) -> None:
        names = tuple(issuer.name for issuer in issuers)
        self.tokens = IssuerTokens(names, audience=AUDIENCE, token_seconds_max=LIFE_SECONDS_MAX)

    def caller(self, token: str) -> Caller:
        return asyncio.run(self.tokens.caller(token))


@pytest.mark.parametrize("key_id", ["rsa", "ec", "ed"])
def test_its_tokens_are_accepted_with_their_roles(issuer: Issuer, key_id: str) -> None:
    caller = Accepting(issuer).caller(issuer.token(key_id))

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
        Accepting(issuer).caller(issuer.token("rsa", **changes))


def test_a_key_of_one_type_does_not_sign_for_another(issuer: Issuer) -> None:
    tokens = Accepting(issuer)
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
    tokens = Accepting(issuer)
    for roles in (None, "owner", [], ["admin"], ["owner:nonsense"], [{"owner": 1}]):
        assert tokens.caller(issuer.token("ec", roles=roles)).grants == ()


def test_an_unknown_key_is_looked_for_once_in_a_while(issuer: Issuer) -> None:
    tokens = Accepting(issuer)
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
    tokens = Accepting(issuer)
    tokens.caller(issuer.token("rsa"))
    issuer.add("new", ec.generate_private_key(ec.SECP256R1()), "ES256")

    monkeypatch.setattr("engagement.server.auth.openid_issuers.KEYS_SECONDS_MIN", 0)

    assert tokens.caller(issuer.token("new"))


def test_an_issuer_that_is_down_lets_nobody_in_and_breaks_nothing(issuer: Issuer) -> None:
    issuer.is_down = True

    with pytest.raises(NotAuthenticatedError):
        Accepting(issuer).caller(issuer.token("rsa"))


def test_an_issuer_needs_an_audience_and_https() -> None:
    with pytest.raises(BadInputError, match="AUDIENCE"):
        IssuerTokens(("https://login.example",), audience="", token_seconds_max=1)
    with pytest.raises(BadInputError, match="https"):
        IssuerTokens(("http://login.example",), audience=AUDIENCE, token_seconds_max=1)


def test_a_token_lasts_as_long_as_the_operator_allows(issuer: Issuer) -> None:
    tokens, now = Accepting(issuer), int(time.time())

    assert tokens.caller(issuer.token("ec", iat=now, exp=now + LIFE_SECONDS_MAX))
    with pytest.raises(NotAuthenticatedError, match="3600 seconds"):
        tokens.caller(issuer.token("ec", iat=now, exp=now + LIFE_SECONDS_MAX + 1))


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.2:{port}/keys",
        "http://localhost:{port}/keys",
        "http://127.0.0.1:1/keys",
        "https://127.0.0.1:{port}/keys",
        "http://user@127.0.0.1:{port}/keys",
        "http://127.0.0.1:{port}@127.0.0.1:{port}/keys",
        "//127.0.0.1:{port}/keys",
        "file:///keys",
        "http://127.0.0.1:99999/keys",
        "http://[/keys",
        "/keys",
    ],
)
def test_keys_are_fetched_from_the_issuers_own_host(issuer: Issuer, address: str) -> None:
    issuer.keys_address = address.format(port=issuer.port)

    with pytest.raises(NotAuthenticatedError):
        Accepting(issuer).caller(issuer.token("ec"))

    assert issuer.fetched == ["/.well-known/openid-configuration"]


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
def test_redirects_are_not_followed(issuer: Issuer, path: str) -> None:
    with running_issuer() as other:
        other.name, other.keys = issuer.name, issuer.keys
        issuer.redirects[path] = f"http://127.0.0.1:{other.port}{path}"

        with pytest.raises(NotAuthenticatedError):
            Accepting(issuer).caller(issuer.token("ec"))

        assert other.fetched == []


def test_an_issuer_that_hangs_delays_only_its_own_tokens(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of its tokens come than there are threads to wait in."""
    monkeypatch.setattr(openid_issuers, "FETCH_SECONDS_MAX", WAIT_SECONDS_MAX)
    with running_issuer() as hanging:
        names = (issuer.name, hanging.name)
        with serve_in_process(
            tmp_path / "home", issuers=names, issuer_audience=AUDIENCE
        ) as service:
            own = service.headers("alpha", Role.READER)["Authorization"]
            authentication = service.authentication

            async def judge() -> tuple[list[Caller], list[Caller]]:
                hanging.may_answer.clear()
                waiting = [
                    asyncio.create_task(
                        authentication.caller(f"Bearer {hanging.token('ec', sub=str(number))}")
                    )
                    for number in range(100)
                ]
                await asyncio.to_thread(wait_for, lambda: hanging.fetched, "a request for keys")
                others = [
                    await authentication.caller(own),
                    await authentication.caller(f"Bearer {issuer.token('ec')}"),
                ]
                assert not any(task.done() for task in waiting)
                hanging.may_answer.set()
                return others, await asyncio.gather(*waiting)

            others, waited = asyncio.run(judge())

    assert len({caller.client_id for caller in (*others, *waited)}) == 102
    assert hanging.fetched == ["/.well-known/openid-configuration", "/keys"]


def test_an_issuer_that_answers_without_end_is_given_up(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Accepting(issuer)
    issuer.is_dripping = True
    with monkeypatch.context() as patch:
        patch.setattr(openid_issuers, "FETCH_SECONDS_MAX", 0.1)
        with pytest.raises(NotAuthenticatedError):
            tokens.caller(issuer.token("rsa"))

    issuer.is_dripping = False
    monkeypatch.setattr(openid_issuers, "KEYS_SECONDS_MIN", 0)

    assert tokens.caller(issuer.token("rsa"))
