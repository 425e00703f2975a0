"""Tests signing in to the console at an OpenID provider that is not ours."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from engagement import operations
from engagement.model.console import SignInMethod
from engagement.runtime.opening import Runtime
from support.browser import Window
from support.openid_provider import CLIENT_SECRET, UNREACHABLE, sign_in_at_provider
from support.server_process import RunningServer
from support.waiting import WAIT_SECONDS_MAX

FONTS = "https://fonts.googleapis.com/**"
Open = Callable[..., Window]


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, timeout=WAIT_SECONDS_MAX, trust_env=False) as client:
        yield client


def begin(http: httpx.Client, issuer: str, back_to: str = "/console/apps") -> httpx.Response:
    """The answer to the link of an issuer."""
    return http.get(f"/console/sign-in/issuer?{urlencode({'name': issuer, 'return': back_to})}")


def come_back(
    http: httpx.Client, provider: str, name: str = "ada", back_to: str = "/console/apps"
) -> str:
    """Where the provider sends somebody's browser after signing in, at the console."""
    return sign_in_at_provider(begin(http, provider, back_to).headers["location"], name)


def test_a_person_signs_in_at_an_issuer_with_a_browser(
    open_window: Open, provider: str, beside: Runtime
) -> None:
    """The provider is another site, so that strict cookies do not come with its redirect."""
    window = open_window(path="/console/apps")
    page = window.page
    # The provider's page wants a font of another host, which tests do not ask.
    page.route(FONTS, lambda route: route.fulfill(body="", content_type="text/css"))

    page.get_by_role("link", name=f"Sign in at {provider}").click()
    page.get_by_placeholder("Enter any login").fill("ada")
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Apps")
    expect(page.get_by_role("banner")).to_contain_text("ada@example.org")
    cookies = [item for item in page.context.cookies() if item["name"].startswith("engagement")]
    (session,) = [item for item in cookies if item["name"] == "engagement"]
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    assert "engagement_sign_in" not in {item["name"] for item in cookies}
    open_sessions = operations.list_console_sessions(beside)
    found = {(each.method, each.subject) for each in open_sessions}
    assert (SignInMethod.ISSUER, f"{provider} ada") in found
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")


def test_roles_are_those_of_the_api(http: httpx.Client, provider: str) -> None:
    http.get(come_back(http, provider, "ben"))

    assert http.get("/console/apps").status_code == 200
    assert http.get("/console/system").status_code == 403


def test_who_has_no_role_is_told_what_is_missing(http: httpx.Client, provider: str) -> None:
    answer = http.get(come_back(http, provider, "cleo"))

    assert answer.status_code == 403
    assert "the claim `roles` of its id token must hold one of" in answer.text
    assert "engagement" not in http.cookies


def test_only_the_browser_that_began_can_end_it(
    http: httpx.Client, server: RunningServer, provider: str
) -> None:
    """Nobody can be signed in as somebody else by a link, nor by a code that was seen."""
    begun = begin(http, provider)
    address = sign_in_at_provider(begun.headers["location"], "ada")
    cookie = begun.headers["set-cookie"]
    other_state = address.replace("state=", "state=x")
    with server.http() as stranger:
        answers = [stranger.get(address), http.get(other_state)]
    again = [http.get(address)]
    http.cookies.set("engagement_sign_in", "x" * 40, path="/console/sign-in")
    again.append(http.get(address))

    assert [answer.status_code for answer in (*answers, *again)] == [401] * 4
    assert "in the browser in which it began" in answers[0].text
    assert "began last in this browser" in answers[1].text
    assert {"HttpOnly", "SameSite=lax", "Path=/console/sign-in"} <= set(cookie.split("; "))


def test_a_code_works_once(http: httpx.Client, provider: str) -> None:
    begun = begin(http, provider)
    kept = http.cookies["engagement_sign_in"]
    address = sign_in_at_provider(begun.headers["location"], "ada")
    first = http.get(address)
    http.cookies.set("engagement_sign_in", kept, path="/console/sign-in")

    second = http.get(address)

    assert first.status_code == 200
    assert second.status_code == 401
    assert "invalid_grant" in second.text


@pytest.mark.parametrize(
    "return_path",
    ["https://evil.example/console/", "//evil.example", "/\\evil.example", "/console/../../x", ""],
)
def test_nobody_is_led_away(http: httpx.Client, provider: str, return_path: str) -> None:
    answer = http.get(come_back(http, provider, back_to=return_path))

    assert 'content="0; url=/console/?again=1"' in answer.text
    assert "evil.example" not in answer.text


def test_what_an_issuer_refuses_is_told_and_runs_nothing(http: httpx.Client, provider: str) -> None:
    location = begin(http, provider).headers["location"]
    (state,) = parse_qs(urlsplit(location).query)["state"]
    refusal = {"error": "access_denied", "error_description": "<script>\x07no", "state": state}

    answer = http.get(f"/console/sign-in/callback?{urlencode(refusal)}")

    assert answer.status_code == 400
    assert "It says access_denied: &lt;script&gt;␇no" in answer.text


@pytest.mark.parametrize(
    ("issuer", "status", "wanted"),
    [
        (UNREACHABLE, 503, "did not answer within 5 seconds, or could not be reached"),
        ("https://evil.example", 401, "Nobody can sign in at"),
    ],
)
def test_an_issuer_that_cannot_be_used_is_named(
    http: httpx.Client, issuer: str, status: int, wanted: str
) -> None:
    answer = begin(http, issuer)

    assert answer.status_code == status
    assert wanted in answer.text
    assert issuer in answer.text
    assert CLIENT_SECRET not in answer.text


def test_a_session_ends_when_its_issuer_is_not_trusted_any_more(
    http: httpx.Client, provider: str, beside: Runtime
) -> None:
    """The command beside the server has no issuers in its settings."""
    http.get(come_back(http, provider))
    token = http.cookies["engagement"]

    assert http.get("/console/apps").status_code == 200
    assert beside.settings.issuers == ()
    assert operations.find_console_session(beside, token) is None
