"""Tests how results are written for people and for programs."""

import json
import re
from dataclasses import dataclass
from enum import StrEnum

import pytest

from engagement.cli.output import (
    byte_count,
    plain,
    print_error,
    print_fields,
    print_interruption,
    print_json,
    print_table,
)
from support.batches import NOW


class Colour(StrEnum):
    """A choice."""

    RED = "Red"


@dataclass
class Result:
    """A result with a value of each kind."""

    app_id: str
    made_at: object
    colours: tuple[Colour, ...]
    by_name: dict[Colour, int]


RESULT = Result(app_id="é", made_at=NOW, colours=(Colour.RED,), by_name={Colour.RED: 1})


def test_a_result_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(RESULT)

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "é" in out
    assert json.loads(out) == plain(RESULT)
    assert json.loads(out) == {
        "appId": "é",
        "madeAt": "2026-03-01T12:00:00.000Z",
        "colours": ["Red"],
        "byName": {"Red": 1},
    }


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_bytes_are_counted_in_units(count: int, text: str) -> None:
    assert byte_count(count) == text


@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_is_one_line_beside_the_result(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    print_error("NotFound", "No app\nhas  this id.", as_json=as_json)

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    if as_json:
        assert json.loads(err) == {"error": {"code": "NotFound", "message": "No app has this id."}}
    else:
        assert err == "error [NotFound]: No app has this id.\n"


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    print_interruption("go on", as_json=True, task_id="1")
    print_interruption("go on", as_json=False, task_id="1")

    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first) == {"interrupted": {"taskId": "1", "message": "go on"}}
    assert second == "interrupted: go on"


def test_fields_stand_below_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("app", "1"), ("longer", "2")])

    assert capsys.readouterr().out == "app     1\nlonger  2\n"


def test_a_table_that_no_terminal_shows_does_not_cut_ids(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table("Tasks", ["id", ">rows"], [["a" * 60, "7"], ["b", "1000"]])

    out = capsys.readouterr().out
    assert "a" * 60 in out
    assert out.splitlines()[0].strip() == "Tasks"


def test_a_table_cuts_nothing_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    task_id, scope = "0123456789abcdef" * 2, "/subscriptions/s/" + "x" * 120

    print_table("Things", ("#id", "scope", ">rows"), [(task_id, scope, "1,234,567")])

    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(task_id) and line.rstrip().endswith("1,234,567") for line in lines)
    assert sum(line.count("x") for line in lines) == 120


def test_a_table_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Things", ("name",), [("[red]name[/red]",)])

    assert "[red]name[/red]" in capsys.readouterr().out
