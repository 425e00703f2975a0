"""Fails when something that users meet is missing from its page."""

import json
import re
import shlex
from collections.abc import Iterator
from inspect import getsource
from itertools import chain
from pathlib import Path
from typing import Any, get_type_hints

import promql_parser
import pytest
import typer
import yaml

from engagement import DeviceAgent
from engagement.agent import AgentOptions
from engagement.cli.entry import app
from engagement.cli.examples import EXAMPLES
from engagement.exceptions import ErrorCode
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportState,
    ExportType,
    TimeAxis,
)
from engagement.model.records import Kind
from engagement.server import levels, metrics
from engagement.server.collection.native import PATH as NATIVE_PATH
from engagement.server.collection.segment import TYPE_OF_PATH
from engagement.settings import ServerSettings, Settings
from support.checkout import ROOT

DOCS = ROOT / "docs"
GLOSSARY_TERMS = (
    "app", "record", "batch", "inbox", "flush", "lake", "export task", "plan", "part", "receipt",
    "manifest", "destination", "container URL", "workflow", "retryable", "runtime", "operation",
)  # fmt: skip


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _command_pages() -> str:
    """The pages that describe commands."""
    return "\n".join(
        _page(f"reference/{name}.md")
        for name in (
            "command-line",
            "command-line-apps",
            "command-line-upkeep",
            "command-line-cluster",
        )
    )


def _section(page: str, heading: str) -> str:
    """The text under a heading, up to the next of any level; empty if there is none."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", page, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    for name, item in getattr(command, "commands", {}).items():
        yield from _commands(item, (*path, name))
    if not hasattr(command, "commands"):
        yield " ".join(path), command


COMMANDS = dict(_commands(typer.main.get_command(app), ("engagement",)))


def _options(command: Any) -> list[str]:
    return [
        option
        for parameter in command.params
        if parameter.param_type_name == "option"
        for option in parameter.opts
        if option.startswith("--")
    ]


def test_every_setting_is_documented_with_its_default() -> None:
    page = _page("reference/settings.md")

    missing = [
        name
        for name, field in (Settings.model_fields | ServerSettings.model_fields).items()
        if not re.search(rf"^\| `{field.validation_alias}` \| `{name}` \|", page, re.MULTILINE)
    ]
    other = [
        name
        for name, field in Settings.model_fields.items()
        if type(field.default) is int and not re.search(rf"`{name}` \| `{field.default}` \|", page)
    ]

    assert missing == []
    assert other == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_with_its_options(command: str) -> None:
    section = _section(_command_pages(), command)

    missing = [option for option in _options(COMMANDS[command]) if f"`{option}" not in section]

    assert section
    assert missing == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_speaks_json_and_explains_itself(command: str) -> None:
    assert "--json" in _options(COMMANDS[command])
    assert len(COMMANDS[command].help or "") > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_that_can_be_typed(command: str) -> None:
    words = shlex.split(EXAMPLES[command].partition(" > ")[0])

    given = words[len(command.split()) :]
    context = COMMANDS[command].make_context(command, given, resilient_parsing=False)

    assert EXAMPLES[command].startswith(command)
    assert context.params


def test_no_command_is_documented_that_does_not_exist() -> None:
    headings = re.findall(r"^## (engagement .+)$", _command_pages(), re.MULTILINE)

    assert sorted(headings) == sorted(COMMANDS)


def test_everything_of_the_device_agent_is_documented() -> None:
    page = _page("reference/device-agent.md")
    methods = [name for name in vars(DeviceAgent) if not name.startswith("_")]

    missing = [name for name in methods if not re.search(rf"`{name}[`(]", page)]
    missing += [name for name in get_type_hints(AgentOptions) if f"\n| `{name}` |" not in page]

    assert missing == []


def test_every_error_code_is_documented() -> None:
    page = _page("reference/errors.md")

    assert [item.value for item in ErrorCode if f"`{item.value}`" not in page] == []


def test_every_kind_and_export_type_is_in_the_glossary() -> None:
    section = _section(_page("glossary.md"), "Kinds of record and their exports")

    missing = [
        kind.value for kind in Kind if not re.search(rf"^\| {kind.value} \|", section, re.MULTILINE)
    ]
    missing += [item.value for item in ExportType if f"| {item.value} |" not in section]

    assert missing == []


def test_every_state_is_in_the_glossary() -> None:
    section = _section(_page("glossary.md"), "States of an export task")

    assert [item.value for item in ExportState if item.value not in section] == []


@pytest.mark.parametrize("term", GLOSSARY_TERMS)
def test_the_glossary_explains(term: str) -> None:
    assert f"\n| {term} | " in _section(_page("glossary.md"), "Terms")


def test_every_choice_of_an_export_is_on_the_command_line_page() -> None:
    section = _section(_page("reference/command-line.md"), "engagement export create")
    choices = (*ExportType, *ExportFormat, *Compression, *CampaignType, *TimeAxis)

    assert [choice.value for choice in choices if choice.value not in section] == []


def test_every_path_of_devices_is_documented() -> None:
    page = _page("reference/collecting.md")

    missing = [item for item in (NATIVE_PATH, *TYPE_OF_PATH) if f"`{item}`" not in page]

    assert missing == []


def test_every_metric_is_documented_and_no_other() -> None:
    page = _page("reference/metrics.md")
    listed = {
        name.removesuffix("_total")
        for name in re.findall(r"`(engagement_\w+)`", page.partition("## Alerts")[0])
    }

    assert listed == _metric_names() | {"engagement_build_info"}


def test_what_watches_over_the_service_asks_for_metrics_that_there_are() -> None:
    folder = ROOT / "deploy" / "monitoring"
    (group,) = yaml.safe_load((folder / "alerts.yml").read_text())["groups"]
    panels = json.loads((folder / "dashboard.json").read_text())["panels"]
    expressions = [rule["expr"] for rule in group["rules"]]
    expressions += [target["expr"] for panel in panels for target in panel["targets"]]

    for expression in expressions:
        promql_parser.parse(expression)
        names = re.findall(r"engagement_\w+", expression)
        plain = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in names}
        assert plain <= _metric_names(), expression
    assert {*chain.from_iterable(rule["annotations"] for rule in group["rules"])} == {
        "summary",
        "action",
    }


def _metric_names() -> set[str]:
    """The metrics of the source, as it names them: those of counters without their ending."""
    source = getsource(metrics) + getsource(levels)
    return set(re.findall(r'"(engagement_\w+)"', source)) - {"engagement_build"}


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]

    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert dead == []


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / link).resolve() for link in links]

    lost = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if page not in reached]

    assert lost == []


def test_every_file_that_contributors_are_led_to_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:src|tests|docs)/[\w./-]+)`", text)

    assert len(paths) > 50
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"`(tests/[\w./-]+)`", page.read_text(encoding="utf-8"))
    }

    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_every_promise_of_security_names_its_test() -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \|$", _page("explanation/security.md"), re.MULTILINE)
    promises = [row for row in rows if row[0].endswith(".")]

    assert len(promises) > 30
    assert [promise for promise, test in promises if not test.startswith("`tests/")] == []


def test_every_folder_of_the_code_is_in_the_picture_of_it() -> None:
    page = _page("explanation/architecture.md")
    rooms = [path.parent.name for path in (ROOT / "src" / "engagement").glob("*/__init__.py")]

    assert [name for name in rooms if f"| `{name}` |" not in page] == []
