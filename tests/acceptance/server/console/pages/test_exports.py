"""Tests, with Chromium, the pages of exports: made, watched, broken, mended, cancelled."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from engagement import operations
from engagement.model.access import Role
from engagement.model.apps import App
from engagement.runtime.opening import Runtime
from support.batches import everything
from support.browser import WIDTHS, Window
from support.console import register
from support.server_process import Credentials, RunningServer
from support.servers import Azurite
from support.waiting import wait_for

Open = Callable[..., Window]


@pytest.fixture(scope="module")
def app(server: RunningServer, beside: Runtime) -> App:
    """An app with some records."""
    made = operations.create_app(
        beside, name="Shop", collection="c", resource_group="g", subscription="s"
    )
    with server.http() as http:
        for number in range(3):
            http.post(
                "/collect/v1/batch",
                content=everything(number),
                headers={"Authorization": f"Bearer {made.app_key}"},
            ).raise_for_status()
    wait_for(lambda: beside.inbox.last_commits(made.app.app_id), "records in the lake")
    return made.app


@pytest.fixture(scope="module")
def task_id(server: RunningServer, app: App, azurite: Azurite) -> str:
    """An export of the app's events that succeeded."""
    task = server.command(
        *("export", "create", "event", "--app", app.app_id),
        *("--from", "2026-01-01", "--to", "2026-12-31"),
        *("--container", azurite.container().write_url),
    )
    assert task["state"] == "Succeeded"
    return str(task["taskId"])


def _fill(window: Window, app: App, container_url: str, **fields: str) -> None:
    window.go(f"/console/apps/{app.app_id}/exports/new")
    window.page.get_by_label("From (UTC)").fill("2026-01-01")
    window.page.get_by_label("To (UTC)").fill("2026-12-31")
    window.page.get_by_label("Container URL").fill(container_url)
    for label, value in fields.items():
        window.page.get_by_label(label).fill(value)


@contextmanager
def _worker_stopped(server: RunningServer) -> Iterator[None]:
    """The server while nobody writes its exports."""
    worker = wait_for(lambda: server.worker_pid, "a worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def test_an_export_is_tried_made_and_watched_until_it_succeeds(
    open_window: Open, owner: Credentials, server: RunningServer, app: App, azurite: Azurite
) -> None:
    container = azurite.container()
    window = open_window(owner)
    _fill(window, app, container.write_url)

    window.page.get_by_role("button", name="Estimate, test and preview").click()
    expect(window.page.get_by_role("status")).to_contain_text("At most 6 rows in 1 part")
    expect(window.page.locator("pre").first).to_contain_text('"recordId"')
    expect(window.page.get_by_text("An object can be written again")).to_be_visible()
    assert "sig=" not in window.page.content()
    assert window.barriers() == []
    with _worker_stopped(server):
        window.page.get_by_role("button", name="Create export").click()
        expect(window.page.locator('[data-value="state"]')).to_have_text("Queued")
        assert window.barriers() == []

    expect(window.page.locator('[data-value="state"]')).to_have_text("Succeeded")
    expect(window.page.get_by_role("cell", name="Delivered")).to_be_visible()
    assert any(name.endswith("manifest.json") for name in container.admin.list())
    assert "sig=" not in window.page.content()
    assert window.barriers() == []


def test_a_broken_export_says_what_to_do_and_is_mended(
    open_window: Open, owner: Credentials, server: RunningServer, app: App, azurite: Azurite
) -> None:
    container = azurite.container()
    window = open_window(owner)
    _fill(window, app, container.write_url)
    with _worker_stopped(server):
        window.page.get_by_role("button", name="Create export").click()
        expect(window.page.locator('[data-value="state"]')).to_have_text("Queued")
        with azurite.client as client:
            client.delete_container(container.name)

    expect(window.page.locator('[data-value="state"]')).to_have_text("Failed")
    expect(window.page.get_by_role("region", name="Problem")).to_contain_text(
        "create the container, then retry"
    )
    assert window.barriers() == []
    with azurite.client as client:
        client.create_container(container.name)
    url = window.page.get_by_label("Container URL")
    url.fill(azurite.url(container.name, "r"))
    window.page.get_by_role("button", name="Retry with this URL").click()
    expect(window.page.locator("#errors")).to_be_focused()
    url.fill(azurite.url(container.name, "cw"))
    window.page.get_by_role("button", name="Test").click()
    expect(window.page.get_by_text("An object can be written again")).to_be_visible()
    url.fill(azurite.url(container.name, "cw"))
    window.page.get_by_role("button", name="Retry with this URL").click()

    expect(window.page.locator('[data-value="state"]')).to_have_text("Succeeded")


def test_the_list_shows_what_runs_and_an_export_is_cancelled_by_keyboard(
    open_window: Open, owner: Credentials, server: RunningServer, app: App, azurite: Azurite
) -> None:
    container = azurite.container()
    window, watching = open_window(owner), open_window(owner)
    _fill(window, app, container.write_url, **{"Your own words": "for the list"})
    with _worker_stopped(server):
        window.page.get_by_label("Your own words").focus()
        window.page.keyboard.press("Enter")  # sends the form by its first button
        expect(window.page.get_by_role("status")).to_be_visible()
        window.page.get_by_role("button", name="Create export").focus()
        window.page.keyboard.press("Enter")
        expect(window.page.locator('[data-value="state"]')).to_have_text("Queued")
        watching.go(f"/console/apps/{app.app_id}/exports?state=Queued")
        row = watching.page.get_by_role("row", name="for the list")
        expect(row.locator('[data-value="state"]')).to_have_text("Queued")
        window.page.get_by_role("button", name="Cancel this export").focus()
        window.page.keyboard.press("Enter")
        expect(row.locator('[data-value="state"]')).to_have_text("Cancelled")

    expect(watching.page.get_by_role("status")).to_have_text("Event export: Cancelled")
    window.go(f"/console/apps/{app.app_id}/exports?state=Cancelled")
    assert window.barriers() == []
    window.page.get_by_role("link", name="state Cancelled").click()
    expect(window.page).to_have_url(f"{server.address}/console/apps/{app.app_id}/exports")


def test_a_form_that_cannot_be_says_so_beside_its_fields_and_keeps_the_rest(
    open_window: Open, owner: Credentials, app: App
) -> None:
    window = open_window(owner)
    _fill(window, app, "https://example.org/c?sig=secretsecret", **{"Your own words": "mine"})
    window.page.get_by_label("From (UTC)").fill("yesterday")

    window.page.get_by_role("button", name="Create export").click()

    expect(window.page.locator("#errors")).to_be_focused()
    expect(window.page.get_by_label("From (UTC)")).to_have_value("yesterday")
    expect(window.page.get_by_label("From (UTC)")).to_have_attribute("aria-invalid", "true")
    expect(window.page.get_by_label("Your own words")).to_have_value("mine")
    assert "secretsecret" not in window.page.content()
    assert window.barriers() == []


def test_a_reader_looks_and_another_tenant_sees_nothing(
    open_window: Open, beside: Runtime, app: App, task_id: str
) -> None:
    reader = open_window(register(beside, Role.READER, "/subscriptions/s"))
    stranger = open_window(register(beside, Role.OWNER, "/subscriptions/other"))
    paths = (
        f"/console/apps/{app.app_id}/exports",
        f"/console/exports/{task_id}",
        f"/console/exports/{task_id}/manifest",
        f"/console/apps/{app.app_id}/exports/new",
    )

    assert [reader.page.request.get(path).status for path in paths[:2]] == [200, 200]
    assert reader.page.request.get(paths[3]).status == 403
    assert [stranger.page.request.get(path).status for path in paths] == [404] * 4
    reader.go(paths[0])
    expect(reader.page.get_by_text("needs the role exporter")).to_be_visible()
    stranger.go("/console/exports")
    expect(stranger.page.get_by_text("No exports yet.")).to_be_visible()
    assert stranger.barriers() == []
    watched = stranger.page.request.get(f"/console/live?topics=export:{task_id}")
    assert watched.json() == {}


def test_the_pages_of_exports_have_no_barriers_and_fit(
    open_window: Open, owner: Credentials, task_id: str
) -> None:
    window = open_window(owner)

    for path in ("/console/exports", f"/console/exports/{task_id}"):
        window.go(path)
        for width in WIDTHS:
            window.page.set_viewport_size({"width": width, "height": 900})
            assert window.overflow() <= 0
            assert window.barriers() == []


@pytest.mark.usefixtures("task_id")
def test_what_a_page_shows_comes_as_csv_and_json(
    open_window: Open, owner: Credentials, app: App
) -> None:
    window = open_window(owner)
    address = f"/console/apps/{app.app_id}/exports?type=Event&as="

    rows = window.page.request.get(f"{address}json").json()
    table = window.page.request.get(f"{address}csv").text().splitlines()

    assert {row["type"] for row in rows} == {"Event"}
    assert table[0].split(",")[:3] == ["task_id", "app", "type"]
    assert len(table) == len(rows) + 1
