"""Tests signing in at an OpenID provider that is not ours, and what an issuer may do wrong."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from engagement.exceptions import BadInputError, NotAuthenticatedError
from engagement.model.access import Role
from engagement.server.auth import code_flow, openid_issuers
from engagement.server.auth.code_flow import NO_CLIENT, CodeFlow
from engagement.server.auth.openid_issuers import IssuerTokens, IssuerUnavailableError, User
from support.openid_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    CLIENT_WITH_SECRET,
    running_openid_provider,
    sign_in_at_provider,
)

CALLBACK = "http://127.0.0.1:8080/console/sign-in/callback"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with running_openid_provider() as issuer:
        yield issuer


def flow_of(
    *issuers: str, client: str = CLIENT_ID, secret: str = NO_CLIENT, seconds: int = 3_600
) -> CodeFlow:
    """A service that knows these issuers."""
    return CodeFlow(
        IssuerTokens(issuers, audience="api://exports", token_seconds_max=seconds),
        client_ids=(client,) * len(issuers),
        client_secrets=(secret,) * len(issuers),
        callback=CALLBACK,
    )


async def sign_in(flow: CodeFlow, issuer: str, name: str = "ada", **changes: str) -> User:
    """Who comes back from the issuer, if what was begun is then said to be something else."""
    address, beginning = await flow.begin(issuer)
    back = urlsplit(await asyncio.to_thread(sign_in_at_provider, address, name))
    answer = {key: values[0] for key, values in parse_qs(back.query).items()}
    assert back._replace(query="").geturl() == CALLBACK
    assert answer["state"] == beginning.state
    named = changes.pop("named", answer["iss"])
    code = changes.pop("code", answer["code"])
    return await flow.finish(replace(beginning, **changes), code=code, named=named or None)


def test_somebody_signs_in_with_the_roles_that_the_issuer_gives(provider: str) -> None:
    user = asyncio.run(sign_in(flow_of(provider), provider, "ben"))

    assert user.caller.client_id == f"{provider} ben"
    assert user.name == "ben@example.org"
    assert [(grant.role, grant.scope.path) for grant in user.caller.grants] == [
        (Role.READER, "/subscriptions/visited")
    ]


def test_a_client_may_have_a_secret(provider: str) -> None:
    flow = flow_of(provider, client=CLIENT_WITH_SECRET, secret=CLIENT_SECRET)
    wrong = flow_of(provider, client=CLIENT_WITH_SECRET, secret="another")  # noqa: S106 - is wrong

    assert asyncio.run(sign_in(flow, provider)).name == "ada@example.org"
    with pytest.raises(NotAuthenticatedError, match="invalid_client"):
        asyncio.run(sign_in(wrong, provider))


def test_each_sign_in_has_secrets_of_its_own(provider: str) -> None:
    flow = flow_of(provider)

    begun = [asyncio.run(flow.begin(provider)) for _ in range(2)]

    queries = [parse_qs(urlsplit(address).query) for address, _ in begun]
    for name in ("state", "nonce", "code_challenge"):
        assert queries[0][name] != queries[1][name]
    assert {tuple(query["code_challenge_method"]) for query in queries} == {("S256",)}
    assert not any(beginning.verifier in address for address, beginning in begun)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"verifier": "x" * 64}, "invalid_grant"),
        ({"code": "x" * 43}, "invalid_grant"),
        ({"nonce": "x" * 43}, "another sign-in"),
        ({"named": "https://other.example"}, "names another"),
        ({"named": ""}, "names another"),
    ],
)
def test_what_belongs_to_no_sign_in_is_refused(
    provider: str, changes: dict[str, str], wanted: str
) -> None:
    """A stolen code, one of another sign-in, and one that another issuer passes on."""
    with pytest.raises(NotAuthenticatedError, match=wanted):
        asyncio.run(sign_in(flow_of(provider), provider, **changes))


def test_an_id_token_is_no_access_token(provider: str) -> None:
    """It is meant for the console alone; the API wants its own audience."""
    tokens = IssuerTokens((provider,), audience="api://exports", token_seconds_max=3_600)
    flow = CodeFlow(tokens, client_ids=(CLIENT_ID,), client_secrets=(), callback=CALLBACK)
    seen: list[str] = []
    identify = tokens.identify

    async def note(issuer: openid_issuers.Issuer, id_token: str, **given: str) -> User:
        seen.append(id_token)
        return await identify(issuer, id_token, **given)

    async def judge() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tokens, "identify", note)
            await sign_in(flow, provider)
        with pytest.raises(NotAuthenticatedError):
            await tokens.caller(seen[0])
        issuer = tokens.find(provider)
        assert issuer is not None
        with pytest.raises(NotAuthenticatedError):
            await tokens.identify(issuer, seen[0], client_id="another", nonce="")

    asyncio.run(judge())


def test_an_id_token_lasts_as_long_as_the_operator_allows(provider: str) -> None:
    with pytest.raises(NotAuthenticatedError, match="must last 60 seconds at most"):
        asyncio.run(sign_in(flow_of(provider, seconds=60), provider))


def test_an_issuer_that_hangs_delays_only_its_own_sign_ins(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections and says nothing; more sign-ins wait for it than it has threads."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}"
        flow = flow_of(provider, hanging)

        async def judge() -> None:
            waiting = [asyncio.create_task(flow.begin(hanging)) for _ in range(50)]
            user = await sign_in(flow, provider)
            assert user.name == "ada@example.org"
            monkeypatch.setattr(openid_issuers, "FETCH_SECONDS_MAX", 0.01)
            for begun in waiting:
                begun.cancel()
            with pytest.raises(IssuerUnavailableError, match="did not answer"):
                await flow.begin(hanging)

        asyncio.run(judge())


def test_an_issuer_that_hangs_at_the_exchange_is_given_up(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        flow = flow_of(provider)

        async def judge() -> User:
            issuer = flow._tokens.find(provider)  # noqa: SLF001 - where the exchange leads
            assert issuer is not None
            endpoints = await issuer.endpoints()
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"

            async def other_endpoints() -> openid_issuers.Endpoints:
                return replace(endpoints, token=address)

            monkeypatch.setattr(issuer, "endpoints", other_endpoints)
            monkeypatch.setattr(code_flow, "FETCH_SECONDS_MAX", 0.1)
            _, beginning = await flow.begin(provider)
            return await flow.finish(beginning, code="x", named=provider)

        with pytest.raises(IssuerUnavailableError, match="did not answer"):
            asyncio.run(judge())


def test_each_issuer_has_its_client_or_none() -> None:
    issuers = ("https://one.example", "https://two.example")
    tokens = IssuerTokens(issuers, audience="api://exports", token_seconds_max=1)

    flow = CodeFlow(tokens, client_ids=("-", "console"), client_secrets=(), callback=CALLBACK)

    assert flow.issuers == ("https://two.example",)
    with pytest.raises(NotAuthenticatedError, match=r"one\.example"):
        asyncio.run(flow.begin("https://one.example"))
    for ids, secrets in ((("console",), ()), (("a", "b"), ("c",))):
        with pytest.raises(BadInputError, match="in their order, got 1"):
            CodeFlow(tokens, client_ids=ids, client_secrets=secrets, callback=CALLBACK)
