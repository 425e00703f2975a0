"""Tests, with Chromium, the page of who may do what: clients, sessions, changes."""

from collections.abc import Callable

from playwright.sync_api import expect

from engagement import operations
from engagement.model.access import Role
from engagement.runtime.opening import Runtime
from support.browser import Window
from support.console import register, sign_in
from support.server_process import Credentials, RunningServer

Open = Callable[..., Window]
ACCESS = "/console/access"
SHOP = "/subscriptions/accessed"


def create(window: Window, name: str, role: str, scope: str) -> None:
    window.go(ACCESS)
    window.page.get_by_label("Name").fill(name)
    window.page.get_by_label("Role").select_option(role)
    window.page.get_by_label("Scope").fill(scope)
    window.page.get_by_role("button", name="Create client").click()


def test_a_client_is_created_rotated_and_revoked(
    open_window: Open, owner: Credentials, server: RunningServer
) -> None:
    window = open_window(owner)
    create(window, "<b>made</b>", "reader", SHOP)
    secret = window.page.locator("section code").first.inner_text()
    client_id, tenant_id = window.page.locator("dl code").all_inner_texts()
    assert window.barriers() == []
    made = Credentials(tenant_id=tenant_id, client_id=client_id, client_secret=secret)
    other = open_window(made)
    expect(other.page.locator(".who")).to_contain_text("<b>made</b>")

    window.go(ACCESS)
    assert secret not in window.page.content()
    row = window.page.get_by_role("table", name="Clients").get_by_role("row", name="<b>made</b>")
    row.get_by_text("Rotate or revoke").click()
    row.get_by_label("Hours").fill("0")
    row.get_by_role("button", name="Rotate").click()
    rotated = window.page.locator("section code").first.inner_text()
    other.page.reload()
    expect(other.page.get_by_role("heading", level=1)).to_have_text("Sign in")
    sign_in(other, Credentials(tenant_id=tenant_id, client_id=client_id, client_secret=rotated))

    window.go(ACCESS)
    row = window.page.get_by_role("table", name="Clients").get_by_role("row", name="<b>made</b>")
    row.get_by_text("Rotate or revoke").click()
    row.get_by_role("button", name="Revoke now").click()
    expect(row).to_contain_text("Revoked")
    other.page.reload()
    expect(other.page.get_by_role("heading", level=1)).to_have_text("Sign in")

    window.go(f"{ACCESS}/changes?action=client.revoke")
    table = window.page.get_by_role("table", name="Changes")
    expect(table.get_by_role("row").nth(1)).to_contain_text("<b>made</b>")
    text = window.page.request.get(f"{ACCESS}/changes?action=client.revoke&as=csv").text()
    assert client_id in text
    assert window.barriers() == []


def test_an_owner_of_a_part_gives_no_more_than_that(
    open_window: Open, beside: Runtime, owner: Credentials
) -> None:
    window = open_window(register(beside, Role.OWNER, SHOP))
    create(window, "too much", "reader", "/")
    expect(window.page.locator("#errors")).to_contain_text("not the owner")
    window.go(ACCESS)
    text = window.text()
    assert owner.client_id not in window.page.content()
    assert "owner /" not in text

    tokens = window.page.locator('input[name="csrf"]')
    form = {"csrf": tokens.last.get_attribute("value") or ""}
    path = f"{ACCESS}/clients/{owner.client_id}/revoke"
    origin = {"Origin": window.page.url.split("/console")[0]}
    answer = window.page.request.post(path, form=form, headers=origin)
    assert answer.status in {403, 404}
    assert operations.get_client(beside, owner.client_id).revoked_at is None


def test_who_owns_nothing_sees_themselves_alone(open_window: Open, beside: Runtime) -> None:
    window = open_window(register(beside, Role.EXPORTER, SHOP), ACCESS)

    clients = window.page.get_by_role("table", name="Clients")
    assert clients.get_by_role("row").count() == 2  # the head, and oneself
    assert window.page.get_by_role("button", name="Revoke").count() == 0
    assert window.page.get_by_role("link", name="Changes").count() == 0
    assert window.page.request.get(f"{ACCESS}/changes").status == 403
    assert window.barriers() == []


def test_a_session_is_ended(open_window: Open, owner: Credentials, beside: Runtime) -> None:
    window, other = open_window(owner, ACCESS), open_window(register(beside, Role.READER, SHOP))
    name = other.page.locator(".who bdi").inner_text()

    window.page.reload()
    window.page.get_by_role("button", name=f"End the session of {name}").click()
    expect(window.page.get_by_role("button", name=f"End the session of {name}")).to_have_count(0)
    other.page.reload()

    expect(other.page.get_by_role("heading", level=1)).to_have_text("Sign in")
