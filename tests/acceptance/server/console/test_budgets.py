"""Tests what a page costs whoever looks at it: its bytes over the wire, and that nothing jumps."""

from collections.abc import Callable, Iterator

import pytest

from engagement.runtime.opening import Runtime
from support.browser import Window
from support.console import Visitor, visiting
from support.hostile import list_hostile
from support.server_process import Credentials, RunningServer
from support.visited_app import Place, fill

Open = Callable[..., Window]
PAGE_BYTES_MAX = 200 * 1024
"""Of all files of a first visit, those that draw charts apart."""
CHART_FILES = ("/vendor/", "/charts.js")
SHIFT_MAX = 0.01
PAGES = (
    "/", "/apps", "/apps/{app_id}", "/apps/{app_id}/names", "/apps/{app_id}/versions",
    "/apps/{app_id}/newest", "/apps/{app_id}/snippets", "/apps/{app_id}/settings",
    "/apps/{app_id}/keys", "/apps/{app_id}/refused", "/apps/{app_id}/devices",
    "/apps/{app_id}/devices/{deviceId}", "/exports", "/exports/{task_id}",
    "/apps/{app_id}/exports/new", "/access", "/access/changes", "/system",
)  # fmt: skip
NOTE_SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
SETTLED = """async () => {
  await document.fonts.ready;
  for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
  return window.shifted;
}"""


@pytest.fixture(scope="module")
def visited(server: RunningServer, beside: Runtime, owner: Credentials) -> Iterator[Place]:
    """An app of which each page has something to show."""
    with visiting(server, beside, owner) as visitor:
        yield _fill(server, beside, visitor)


def _fill(server: RunningServer, beside: Runtime, visitor: Visitor) -> Place:
    return fill(server, beside, visitor, list_hostile(4), name="Weighed", place="weighed")


@pytest.mark.parametrize("width", [360, 1280])
def test_pages_are_light_and_do_not_jump(
    open_window: Open, owner: Credentials, visited: Place, width: int
) -> None:
    """Bytes are those of the wire, as the browser's own protocol counts them."""
    window = open_window(owner, viewport={"width": width, "height": 800})
    window.page.add_init_script(NOTE_SHIFTS)
    network = window.page.context.new_cdp_session(window.page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    addresses: dict[str, str] = {}
    weights: dict[str, float] = {}

    def weigh(event: dict[str, object]) -> None:
        weights[str(event["requestId"])] = float(str(event["encodedDataLength"]))

    network.on(
        "Network.requestWillBeSent",
        lambda event: addresses.__setitem__(event["requestId"], event["request"]["url"]),
    )
    network.on("Network.loadingFinished", weigh)
    heavy, jumping = {}, {}
    for page in PAGES:
        addresses.clear()
        weights.clear()
        window.page.goto(visited.path(page), wait_until="load")
        shift = window.page.evaluate(SETTLED)
        weight = sum(
            size
            for request, size in weights.items()
            if not any(part in addresses.get(request, "") for part in CHART_FILES)
        )
        assert weight > 0, page
        if weight > PAGE_BYTES_MAX:
            heavy[page] = weight
        if shift > SHIFT_MAX:
            jumping[page] = shift

    assert (heavy, jumping) == ({}, {})
