"""Tests, with Chromium, who gets into the console and how."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from engagement import operations
from engagement.model.access import Role
from engagement.runtime.opening import Runtime
from support.browser import WIDTHS, Window
from support.console import register
from support.server_process import Credentials, RunningServer

Open = Callable[..., Window]


def test_a_client_signs_in_and_out(open_window: Open, owner: Credentials) -> None:
    window = open_window(owner)

    (cookie,) = [item for item in window.page.context.cookies() if item["name"] == "engagement"]
    window.page.get_by_role("button", name="Sign out").click()

    expect(window.page.get_by_role("status")).to_have_text("You are signed out.")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert owner.client_secret not in window.page.content()
    window.go("/console/")
    expect(window.page).to_have_url(f"{_address(window)}/console/sign-in")


def test_a_wrong_secret_is_told_and_the_id_stays(open_window: Open, owner: Credentials) -> None:
    window = open_window(path="/console/sign-in")

    window.page.get_by_label("Client id").fill(owner.client_id)
    window.page.get_by_label("Secret").fill("wrong")
    window.page.get_by_role("button", name="Sign in").click()

    expect(window.page.locator("#errors")).to_be_focused()
    expect(window.page.get_by_label("Client id")).to_have_value(owner.client_id)
    expect(window.page.get_by_label("Secret")).to_have_value("")
    assert window.barriers() == []


def test_whoever_has_the_home_folder_signs_in_by_a_code_once(
    open_window: Open, server: RunningServer
) -> None:
    address = server.command("console", "--address", server.address)["address"]
    window, late = open_window(path=address), open_window(path=address)

    window.page.get_by_role("button", name="Sign in").click()
    expect(window.page.get_by_text("operator")).to_be_visible()
    late.page.get_by_role("button", name="Sign in").click()

    expect(late.page.locator("#errors")).to_contain_text("works once")
    assert late.barriers() == []


def test_signing_in_leads_back_to_the_page_that_was_asked_for(
    open_window: Open, owner: Credentials
) -> None:
    window = open_window(path="/console/?range=7d")

    window.page.get_by_label("Client id").fill(owner.client_id)
    window.page.get_by_label("Secret").fill(owner.client_secret)
    window.page.get_by_role("button", name="Sign in").click()

    expect(window.page).to_have_url(f"{_address(window)}/console/?range=7d")


def test_a_link_of_another_site_finds_whoever_is_signed_in(
    open_window: Open, owner: Credentials, server: RunningServer
) -> None:
    """The strict cookie does not come with such a link; a page of ours then asks once more."""
    window = open_window(owner)
    port = urlsplit(server.address).port
    window.go(f"http://localhost:{port}/console/sign-in")

    window.page.evaluate(f"location.assign({server.address + '/console/'!r})")

    expect(window.page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_revoked_client_is_out(open_window: Open, beside: Runtime) -> None:
    client = register(beside, Role.READER)
    window = open_window(client)

    operations.revoke_client(beside, client.client_id)
    window.go("/console/")

    expect(window.page.get_by_label("Client id")).to_be_visible()


def test_a_form_of_another_site_does_nothing(
    open_window: Open, owner: Credentials, server: RunningServer
) -> None:
    window = open_window(owner)
    cookies = {item["name"]: item["value"] for item in window.page.context.cookies()}

    with server.http() as http:
        answers = [
            http.post(
                "/console/sign-out",
                data={"csrf": "0" * 64},
                headers={"Cookie": f"engagement={cookies['engagement']}", **headers},
            )
            for headers in (
                {"Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site"},
                {"Sec-Fetch-Site": "same-origin"},
                {"Origin": "https://example.org"},
                {"Origin": "null"},
                {},
            )
        ]

    assert [answer.status_code for answer in answers] == [403] * 6
    window.go("/console/")
    expect(window.page.get_by_role("button", name="Sign out")).to_be_visible()


def test_times_are_in_the_zone_of_the_browser_until_utc_is_chosen(
    open_window: Open, owner: Credentials
) -> None:
    window = open_window(owner, timezone_id="Asia/Tokyo")
    window.go("/console/")
    foot = window.page.get_by_role("contentinfo")

    expect(foot).to_contain_text("Times in Asia/Tokyo")
    window.page.get_by_role("link", name="show UTC").click()
    expect(foot).to_contain_text("Times in UTC")
    window.page.get_by_role("link", name="show Asia/Tokyo").click()
    expect(foot).to_contain_text("Times in Asia/Tokyo")


def test_colours_follow_the_system_until_some_are_chosen(
    open_window: Open, owner: Credentials
) -> None:
    window = open_window(owner, color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    window.go("/console/")

    assert window.page.evaluate(background) == "rgb(255, 255, 255)"
    window.page.get_by_role("link", name="dark").click()
    expect(window.page.locator("html")).to_have_class("dark")
    assert window.page.evaluate(background) == "rgb(18, 22, 28)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/console/sign-in", "/console/", "/console/no-such-page"])
def test_pages_have_no_barriers_and_fit(
    open_window: Open, owner: Credentials, path: str, scheme: str
) -> None:
    window = open_window(owner, path, color_scheme=scheme)

    for width in WIDTHS:
        window.page.set_viewport_size({"width": width, "height": 900})
        assert window.barriers() == []
        assert window.overflow() <= 0


def test_pages_can_be_read_and_used_without_script(open_window: Open, owner: Credentials) -> None:
    window = open_window(owner, java_script_enabled=False)

    expect(window.page.get_by_role("heading", level=1)).to_be_visible()
    window.page.get_by_role("button", name="Sign out").click()
    expect(window.page.get_by_label("Client id")).to_be_visible()


def _address(window: Window) -> str:
    split = urlsplit(window.page.url)
    return f"{split.scheme}://{split.netloc}"
