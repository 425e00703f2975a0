"""Builds the documentation site as `make docs` does, and reads it without a network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from support.browser import running_browser
from support.checkout import ROOT
from support.waiting import WAIT_SECONDS_MAX

COMES_WITH_THE_PAGE = {"script": "src", "img": "src", "link": "href", "iframe": "src"}
"""What a browser loads of itself; links that a reader may follow lead where they like."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site; any warning, such as of a dead link, fails here."""
    out = tmp_path_factory.mktemp("site") / "docs"
    done = subprocess.run(
        [sys.executable, "tools/build_docs.py", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    return out


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(COMES_WITH_THE_PAGE.get(tag, ""))
        if address:
            self.addresses.append(address)


def test_no_page_loads_anything_from_a_network(site: Path) -> None:
    outside = []
    for page in site.rglob("*.html"):
        loads = _Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        outside += [(page.name, item) for item in loads.addresses if re.match(r"(\w+:)?//", item)]
    for style in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*['\"]?((?:\w+:)?//[^'\")]+)", style.read_text())
        outside += [(style.name, item) for item in found]

    assert outside == []


def test_every_page_and_every_generated_reference_is_there(site: Path) -> None:
    pages = {page.relative_to(ROOT).with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    generated = site / "docs" / "generated"

    assert [page for page in sorted(pages) if not (site / page).is_file()] == []
    assert "engagement upkeep retain" in (generated / "commands.html").read_text()
    assert "/exportTasks/events" in (generated / "http.html").read_text()
    assert (
        "engagement.client.sync.client.Client.create_export"
        in (generated / "python-client.html").read_text()
    )


def test_a_reader_without_a_network_finds_by_searching(site: Path) -> None:
    with running_browser() as browser, browser.new_context(offline=True) as context:
        page = context.new_page()
        page.goto(f"{(site / 'search.html').as_uri()}?q=SasExpired")
        found = page.locator("#search-results li a").first
        found.wait_for()

        assert "docs/" in (found.get_attribute("href") or "")
