"""Tests the commands of a cluster where there is none, and a migration of an embedded service."""

import json
from pathlib import Path

import pytest

from engagement.cli.entry import run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGAGEMENT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "words",
    [
        ("cluster", "status"),
        ("cluster", "drain", "somebody"),
        ("worker",),
        ("serve", "--roles", "collect"),
    ],
)
def test_a_command_of_a_cluster_needs_one(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--json"]) == 2

    assert "ENGAGEMENT_STATE_URL" in json.loads(capsys.readouterr().err)["error"]["message"]


def test_a_migration_says_which_schema_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate", "--json"]) == 0
    assert run(["migrate", "--json"]) == 0

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    assert first["schema"].isdigit()
