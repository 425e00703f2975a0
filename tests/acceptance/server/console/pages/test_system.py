"""Tests, with Chromium, the page of how the service is, and the bundle for who helps."""

import json
import zipfile
from collections.abc import Callable

from playwright.sync_api import expect

from engagement import operations
from engagement.model.access import Role
from engagement.runtime.opening import Runtime
from support.browser import Window
from support.console import register
from support.server_process import Credentials

Open = Callable[..., Window]
SYSTEM = "/console/system"


def test_processes_settings_and_the_bundle_are_shown(open_window: Open, owner: Credentials) -> None:
    window = open_window(owner, SYSTEM)

    processes = window.page.get_by_role("table", name="Processes")
    expect(processes.get_by_role("row", name="worker")).to_contain_text("running")
    settings = window.page.get_by_role("table", name="Settings")
    expect(settings.get_by_role("row", name="ENGAGEMENT_FLUSH_SECONDS")).to_contain_text("changed")
    with window.page.expect_download() as downloading:
        window.page.get_by_role("link", name="Download the bundle").click()

    assert downloading.value.suggested_filename.startswith("engagement-diagnostics-")
    with zipfile.ZipFile(downloading.value.path()) as bundle:
        assert set(bundle.namelist()) == set(operations.BUNDLE_FILES)
        state = json.loads(bundle.read("system.json"))
        assert b"engagement_requests" in bundle.read("metrics.txt")
    assert [process["name"] for process in state["processes"]] == ["server", "worker"]


def test_only_who_sees_everything_sees_the_system(open_window: Open, beside: Runtime) -> None:
    reader = open_window(register(beside, Role.READER), SYSTEM)
    of_a_part = open_window(register(beside, Role.OWNER, "/subscriptions/s"), "/console/")

    expect(reader.page.get_by_text("Downloading it needs the role owner.")).to_be_visible()
    assert reader.page.request.get(f"{SYSTEM}/diagnostics").status == 403
    assert of_a_part.page.get_by_role("link", name="System").count() == 0
    assert of_a_part.page.request.get(SYSTEM).status == 403
    assert of_a_part.page.request.get(f"{SYSTEM}/diagnostics").status == 403
