"""Tests, with Chromium, the pages of an app: its days, keys, refused records and devices."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from engagement import operations
from engagement.model.access import Role
from engagement.model.apps import NewApp
from engagement.model.instants import format_rfc3339
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime
from support.batches import DEVICES, batch, everything, log
from support.browser import Window
from support.console import register
from support.server_process import Credentials, RunningServer
from support.waiting import wait_for

Open = Callable[..., Window]
HOSTILE = '"><img src=x onerror=alert(1)>\u202e'


@pytest.fixture(scope="module")
def made(server: RunningServer, beside: Runtime) -> NewApp:
    """An app with records, some of them refused."""
    made = operations.create_app(
        beside, name="Paged", collection="c", resource_group="g", subscription="paged"
    )
    now = datetime.now(UTC)
    happened = format_rfc3339(now)
    event = log("event", timestamp=happened, extras={"price": HOSTILE})
    device = {"userId": HOSTILE, "info": {"applicationVersionName": HOSTILE, "firmwareName": "X"}}
    _post(server, made.app_key, batch(event, event | {"name": HOSTILE}, sent_at=now, **device))
    _post(server, made.app_key, batch(log("event", timestamp=HOSTILE)))
    wait_for(lambda: Kind.EVENT in beside.inbox.last_commits(made.app.app_id), "events in the lake")
    return made


def _post(server: RunningServer, key: str, body: bytes) -> int:
    with server.http() as http:
        headers = {"Authorization": f"Bearer {key}"}
        return http.post("/collect/v1/batch", content=body, headers=headers).status_code


def test_an_app_is_created_and_its_key_is_shown_once(
    open_window: Open, owner: Credentials, server: RunningServer
) -> None:
    window = open_window(owner, "/console/apps")
    window.page.get_by_label("Name").fill(HOSTILE.replace("/", "").replace("\u202e", ""))
    window.page.get_by_role("button", name="Create app").click()

    key = window.page.locator("section code").inner_text()
    assert _post(server, key, everything(1)) == 202
    assert window.barriers() == []
    window.page.get_by_role("link", name="To the app").click()
    assert key not in window.page.content()
    expect(window.page.get_by_role("heading", level=1)).to_contain_text("<img src=x")
    assert window.barriers() == []


def test_days_of_a_month_lead_to_exports(
    open_window: Open, owner: Credentials, made: NewApp
) -> None:
    day = datetime.now(UTC).date()
    window = open_window(owner, f"/console/apps/{made.app.app_id}?month={day:%Y-%m}")

    expect(window.page.get_by_role("table", name="Rows in the lake")).to_be_visible()
    window.page.get_by_role("link", name=f"Event, {day.day} {day:%b}: 2 rows").click()

    expect(window.page.get_by_label("From (UTC)")).to_have_value(day.isoformat())
    expect(window.page.get_by_label("Type", exact=True)).to_have_value("Event")


def test_a_key_is_rotated_and_revoked(
    open_window: Open, owner: Credentials, server: RunningServer, made: NewApp
) -> None:
    window = open_window(owner, f"/console/apps/{made.app.app_id}/keys")
    window.page.get_by_label("Name").fill("second")
    window.page.get_by_role("button", name="Create key").click()
    first = window.page.locator("section code").inner_text()
    window.page.get_by_role("link", name="I have stored it").click()
    row = window.page.get_by_role("row", name="second")
    row.get_by_text("Rotate or revoke").click()
    row.get_by_role("button", name="Rotate").click()
    second = window.page.locator("section code").inner_text()
    window.page.get_by_role("link", name="I have stored it").click()

    assert [_post(server, key, everything(2)) for key in (first, second)] == [202, 202]
    row = window.page.get_by_role("row", name="second").first
    row.get_by_text("Rotate or revoke").click()
    row.get_by_role("button", name="Revoke now").click()
    expect(window.page.get_by_text("Revoked", exact=True)).to_be_visible()
    wait_for(lambda: _post(server, first, everything(3)) == 401, "a key that is refused")
    assert _post(server, second, everything(3)) == 202
    assert window.barriers() == []


def test_a_refused_record_is_looked_at_and_tried_again(
    open_window: Open, owner: Credentials, made: NewApp
) -> None:
    window = open_window(owner, f"/console/apps/{made.app.app_id}/refused")
    assert window.barriers() == []

    window.page.get_by_role("table").get_by_role("link").first.click()
    expect(window.page.locator("pre")).to_contain_text("onerror")
    assert window.barriers() == []
    window.page.get_by_role("button", name="Try it again").click()

    expect(window.page.get_by_role("status")).to_have_text(
        "0 records are accepted now, 1 is refused still."
    )
    window.page.get_by_role("table").get_by_role("link").first.click()
    window.page.get_by_role("button", name="Drop this record for good").click()
    expect(window.page.get_by_role("status")).to_have_text("1 record was dropped.")


def test_a_device_is_found_and_erased_by_keyboard(
    open_window: Open, owner: Credentials, server: RunningServer, made: NewApp
) -> None:
    device = DEVICES[3]
    logs = (log("tags", tags={"name": HOSTILE}), log("token", token=HOSTILE, tokenType="GCM"))
    _post(server, made.app_key, batch(*logs, log("event", extras={"a": HOSTILE}), device=device))
    window = open_window(owner, f"/console/apps/{made.app.app_id}/devices")

    window.page.get_by_label("Device, user or token").fill(HOSTILE)
    window.page.get_by_label("Push token").check()
    window.page.keyboard.press("Enter")
    expect(window.page.get_by_role("region", name="Tags")).to_contain_text("onerror")
    expect(window.page.get_by_role("region", name="Tokens")).to_contain_text("onerror")
    expect(window.page.get_by_role("table", name="What it did")).to_contain_text("event name")
    assert window.barriers() == []
    window.page.get_by_role("link", name="Erase this device").focus()
    window.page.keyboard.press("Enter")
    window.page.get_by_label("Type the id of the device").fill("wrong")
    window.page.keyboard.press("Enter")
    expect(window.page.locator("#errors")).to_be_focused()
    window.page.get_by_label("Type the id of the device").fill(device)
    window.page.keyboard.press("Enter")
    expect(window.page.get_by_role("status")).to_contain_text("is erased")
    window.go(f"/console/apps/{made.app.app_id}/devices?wanted={device}")
    expect(window.page.locator("#errors")).to_contain_text("no device with the id")


def test_who_may_not_change_an_app_cannot(open_window: Open, beside: Runtime, made: NewApp) -> None:
    base = f"/console/apps/{made.app.app_id}"
    pages = (
        "",
        "/names",
        "/versions",
        "/newest",
        "/refused",
        "/devices",
        "/snippets",
        "/keys",
        "/settings",
    )
    reader = open_window(register(beside, Role.READER, "/subscriptions/paged"))
    stranger = open_window(register(beside, Role.OWNER, "/subscriptions/other"))

    of_reader = [reader.page.request.get(base + page).status for page in pages]
    of_stranger = [stranger.page.request.get(base + page).status for page in pages]

    assert of_reader == [200] * 7 + [403] * 2
    assert of_stranger == [404] * 9
    reader.go(f"{base}/refused")
    assert reader.page.get_by_role("button", name="Try").count() == 0
    assert reader.page.get_by_role("link", name="Keys").count() == 0


def test_newest_records_come_by_themselves_and_leave_who_is_at_one_alone(
    open_window: Open, owner: Credentials, server: RunningServer, beside: Runtime
) -> None:
    made = operations.create_app(
        beside, name="Moving", collection="c", resource_group="g", subscription="paged"
    )
    window = open_window(owner, f"/console/apps/{made.app.app_id}/newest")
    page = window.page
    expect(page.get_by_text("Nothing collected.")).to_be_visible()

    _post(server, made.app_key, batch(log("event") | {"name": "first"}))
    expect(page.get_by_role("table", name="Records")).to_contain_text("first")
    expect(page.get_by_role("status")).to_have_text("New records.")
    page.get_by_role("table").get_by_role("link").first.focus()
    _post(server, made.app_key, batch(log("event") | {"name": "second"}))
    wait_for(lambda: len(operations.newest_records(beside, made.app.app_id)) > 1, "a record more")
    expect(page.get_by_role("table").get_by_role("link").first).to_be_focused()
    page.get_by_role("link", name="Skip to content").focus()

    expect(page.get_by_role("table", name="Records")).to_contain_text("second")
    assert window.barriers() == []


def test_an_app_is_renamed_kept_for_days_and_deleted(
    open_window: Open, owner: Credentials, server: RunningServer, beside: Runtime
) -> None:
    made = operations.create_app(
        beside, name="Old", collection="c", resource_group="g", subscription="paged"
    )
    app_id = made.app.app_id
    assert _post(server, made.app_key, everything(1)) == 202
    window = open_window(owner, f"/console/apps/{app_id}/settings")
    page = window.page

    page.get_by_label("Name").fill("Paged/")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("#errors")).to_be_focused()
    expect(page.get_by_label("Name")).to_have_value("Paged/")
    assert window.barriers() == []
    page.get_by_label("Name").fill("New")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("status")).to_have_text("The app is called New now.")

    for typed, message in (
        ("0", None),
        ("400", "400 days of history are kept from now on."),
        ("", "All history is kept from now on."),
        ("90", "90 days of history are kept from now on."),
    ):
        page.get_by_label("Days of history").fill(typed)
        page.get_by_role("button", name="Keep so many days").click()
        if message is None:
            expect(page.locator("#errors")).to_contain_text("must be 1 to")
        else:
            expect(page.get_by_role("status")).to_have_text(message)
    app = operations.get_app(beside, app_id)
    assert (app.name, app.retention_days) == ("New", 90)

    page.get_by_role("link", name="Delete this app").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Type the name of the app").fill("Old")
    page.keyboard.press("Enter")
    expect(page.locator("#errors")).to_be_focused()
    assert window.barriers() == []
    assert operations.get_app(beside, app_id) == app
    page.get_by_label("Type the name of the app").fill("New")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The app New is deleted")
    assert window.barriers() == []
    assert page.request.get(f"/console/apps/{app_id}").status == 404
    wait_for(lambda: _post(server, made.app_key, everything(2)) == 401, "a key that is refused")


def test_names_versions_and_newest_records_are_shown(
    open_window: Open, owner: Credentials, made: NewApp
) -> None:
    base = f"/console/apps/{made.app.app_id}"
    window = open_window(owner, f"{base}/names?kind=event&days=7")
    table = window.page.get_by_role("table", name="Names")
    expect(table.get_by_role("row", name=re.compile("event name 1"))).to_be_visible()
    expect(table).to_contain_text("<img src=x")
    assert window.barriers() == []

    window.go(f"{base}/versions")
    expect(window.page.get_by_role("table", name="Devices by")).to_contain_text("<img src=x")
    assert window.barriers() == []

    window.go(f"{base}/newest")
    table = window.page.get_by_role("table", name="Records")
    expect(table).to_contain_text("U+202E")
    assert window.barriers() == []
    table.get_by_role("link").first.click()
    expect(window.page.get_by_role("heading", level=1)).to_contain_text("Device")
    found = window.page.request.get(f"{base}/newest?as=json").json()
    assert {"event name", HOSTILE} <= {row["name"] for row in found}
