"""Tests, with Chromium, that the first page shows what arrives and what needs somebody."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import segment.analytics as analytics_package
from playwright.sync_api import expect

from engagement import operations
from engagement.model.access import Role
from engagement.model.apps import NewApp
from engagement.runtime.opening import Runtime
from support.batches import batch, log
from support.browser import WIDTHS, Window
from support.console import register
from support.server_process import Credentials, RunningServer

Open = Callable[..., Window]


@pytest.fixture(scope="module")
def made(beside: Runtime) -> NewApp:
    return operations.create_app(
        beside, name="Charted", collection="c", resource_group="g", subscription="charted"
    )


def test_a_chart_moves_when_a_published_sdk_sends_records(
    open_window: Open, server: RunningServer, beside: Runtime, made: NewApp
) -> None:
    window = open_window(register(beside, Role.READER, "/subscriptions/charted"))
    window.go("/console/?range=1h")
    number = window.page.locator('[data-number="received"]')
    expect(number).to_have_text("0")

    client = analytics_package.Client(made.app_key, host=server.address, gzip=True, sync_mode=True)
    for count in range(5):
        client.track("anna", f"bought {count}")
    window.page.reload()
    expect(window.page.get_by_role("img", name="Records a minute, by kind")).to_be_visible()
    before = number.inner_text()
    client.track("anna", "bought once more")

    expect(number).not_to_have_text(before)  # by itself
    expect(window.page.locator(".u-over").first).to_be_visible()
    assert window.barriers() == []


def test_what_needs_somebody_is_told_first(
    open_window: Open, server: RunningServer, beside: Runtime, made: NewApp
) -> None:
    with server.http() as http:
        answer = http.post(
            "/collect/v1/batch",
            content=batch(log("event", name="")),
            headers={"Authorization": f"Bearer {made.app_key}"},
        )
    ends_at = beside.clock() + timedelta(days=1)
    operations.create_key(beside, made.app.app_id, name="<b>soon</b>", ends_at=ends_at)
    window = open_window(register(beside, Role.READER, "/subscriptions/charted"), "/console/")

    needs = window.page.get_by_role("region", name="Needs attention")
    expect(needs).to_contain_text("The app key '<b>soon</b>' ends")
    assert answer.status_code == 202
    assert window.barriers() == []


def test_charts_are_tables_without_script(open_window: Open, owner: Credentials) -> None:
    window = open_window(owner, "/console/?range=1h", java_script_enabled=False)

    window.page.get_by_text("The same as a table").first.click()

    expect(window.page.get_by_role("table", name="Records a minute, by kind")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_overview_has_no_barriers_and_fits(
    open_window: Open, owner: Credentials, made: NewApp, scheme: str
) -> None:
    window = open_window(owner, color_scheme=scheme)
    for width in WIDTHS:
        window.page.set_viewport_size({"width": width, "height": 900})
        window.go("/console/")
        assert window.overflow() <= 0
        assert window.barriers() == []


def test_another_tenant_sees_its_own_counts_alone(
    open_window: Open, beside: Runtime, made: NewApp
) -> None:
    window = open_window(register(beside, Role.OWNER, "/subscriptions/other"), "/console/")

    expect(window.page.get_by_text("There is no app in your scope.")).to_be_visible()
    assert "Charted" not in window.text()
    assert window.barriers() == []
