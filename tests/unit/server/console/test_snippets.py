"""Tests that what the console says to paste is what the manual says."""

from engagement.server.console.snippets import write_snippets
from support.checkout import ROOT

MANUAL = ROOT / "docs" / "howto" / "point-an-sdk-at-your-server.md"


def test_each_snippet_stands_in_the_manual() -> None:
    lines = {line.strip() for line in MANUAL.read_text(encoding="utf-8").splitlines()}
    known = {line.replace("$APP_KEY", "APP_KEY") for line in lines}

    strange = [
        line
        for snippet in write_snippets("https://collect.example.org")
        if not snippet.name.startswith("Device agent")
        for line in snippet.code.splitlines()
        if line.strip() not in known
    ]

    assert strange == []


def test_a_snippet_names_this_server() -> None:
    code = "\n".join(snippet.code for snippet in write_snippets("http://127.0.0.1:8080"))

    assert "example.org" not in code
    assert "'127.0.0.1:8080/v1'" in code
    assert 'DeviceAgent("http://127.0.0.1:8080", "APP_KEY"' in code
