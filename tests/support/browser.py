"""Looks at pages with Chromium, and notes whatever it complains of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from support.checkout import TESTS

AXE = TESTS / "browser" / "node_modules" / "axe-core" / "axe.min.js"
WAIT_MILLISECONDS = 120_000
"""Nothing is measured by it: it is far more than any page takes on a busy machine."""
WIDTHS = (360, 768, 1280)
_OF_THE_PAGE = "Failed to load resource: the server responded with a status of"
"""What the browser says of a page that is an answer of 403, 404 or 422, as it should be."""


@dataclass
class Window:
    """A page with what the browser complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen from the start: scripts that fail, and what the policy forbids."""
        self.page.set_default_timeout(WAIT_MILLISECONDS)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        is_answer = message.text.startswith(_OF_THE_PAGE) and "/static/" not in str(
            message.location
        )
        if message.type in {"error", "warning"} and not is_answer:
            self.complaints.append(f"{message.text} at {message.location}")

    def go(self, path: str) -> None:
        """Open a path of the server."""
        self.page.goto(path)

    def text(self) -> str:
        """All that the page shows."""
        return self.page.locator("body").inner_text()

    def barriers(self) -> list[str]:
        """What axe finds wrong with the page as it is."""
        return self._run_axe("{}")

    def faint_texts(self) -> list[str]:
        """What axe finds too faint on its ground in the colours that are shown now."""
        return self._run_axe("{runOnly: ['color-contrast']}")

    def _run_axe(self, options: str) -> list[str]:
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_axe() + "\n;0")
        found: dict[str, Any] = self.page.evaluate(f"axe.run(document, {options})")
        return [
            f"{violation['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def overflow(self) -> int:
        """How many pixels wider than the window the page is."""
        wide: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium without a window; a machine without it fails the test, and is not passed over."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("The tests of the console need Chromium: make .make/browser")
    expect.set_options(timeout=WAIT_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def open_context(browser: Browser, address: str, **options: Any) -> Iterator[BrowserContext]:
    """A browser of its own, without cookies, for the pages of a server."""
    context = browser.new_context(base_url=address, **options)
    try:
        yield context
    finally:
        context.close()


@cache
def _axe() -> str:
    return Path(AXE).read_text(encoding="utf-8")
