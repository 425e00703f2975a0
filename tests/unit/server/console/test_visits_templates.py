"""Holds templates, scripts and styles to the rules that the strict policy rests on."""

import re
from pathlib import Path

import pytest

from engagement.model.exports import ExportState
from engagement.server.console import visits
from engagement.server.console.visits import make_environment

CONSOLE = Path(visits.__file__).parent
TEMPLATES = sorted((CONSOLE / "templates").rglob("*.html"))
SCRIPTS = sorted(path for path in (CONSOLE / "static").glob("*.js"))
FORBIDDEN = {
    "raw text": r"\|\s*safe|autoescape\s+false|Markup",
    "a style attribute": r"\sstyle\s*=",
    "a handler": r"\son[a-z]+\s*=",
    "an inline script": r"<script(?![^>]*\ssrc=)",
    "an inline style": r"<style",
    "something from outside": r"(?:src|href|action)=\"(?:https?:)?//",
}
SINKS = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setAttribute\(\"on"
)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_template_has(what: str) -> None:
    found = [path.name for path in TEMPLATES if re.search(FORBIDDEN[what], path.read_text())]

    assert TEMPLATES
    assert found == []


def test_no_script_makes_elements_of_text() -> None:
    assert SCRIPTS
    assert [path.name for path in SCRIPTS if re.search(SINKS, path.read_text())] == []


def test_own_scripts_are_small() -> None:
    assert sum(path.stat().st_size for path in SCRIPTS) < 15 * 1_024


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_can_be_read(path: Path) -> None:
    make_environment().get_template(path.relative_to(CONSOLE / "templates").as_posix())


@pytest.mark.parametrize("state", ExportState)
def test_each_state_is_an_icon_and_a_word(state: ExportState) -> None:
    part = make_environment().get_template("parts/state.html").module

    page = str(part.state(state.value))  # type: ignore[attr-defined] # a macro

    assert re.search(r"<svg[^>]*>\s*<(path|circle)", page)
    assert state.value in re.sub(r"<[^>]*>", "", page)


def _tokens() -> dict[str, tuple[str, str]]:
    styles = (CONSOLE / "static" / "console.css").read_text()
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", styles)
    return {name: (light, dark) for name, light, dark in found}


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first: str, second: str) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "panel"])
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("ink", 7), ("muted", 4.5), ("active", 4.5), ("good", 4.5), ("warning", 4.5), ("bad", 4.5),
        ("field", 3),
    ],
)  # fmt: skip
def test_colours_can_be_told_from_their_ground(
    name: str, least: float, ground: str, scheme: int
) -> None:
    tokens = _tokens()

    assert _contrast(tokens[name][scheme], tokens[ground][scheme]) >= least


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("step", range(6))
def test_a_number_can_be_read_on_each_step_of_heat(step: int, scheme: int) -> None:
    tokens = _tokens()
    last_of_ink = (3, 2)[scheme]
    letters = "ink" if step <= last_of_ink else "page"

    assert _contrast(tokens[letters][scheme], tokens[f"heat-{step}"][scheme]) >= 4.5


def test_words_on_a_button_can_be_read() -> None:
    tokens = _tokens()

    for scheme in (0, 1):
        assert _contrast(tokens["on-active"][scheme], tokens["active"][scheme]) >= 4.5
