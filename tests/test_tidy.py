"""Holds the tree to its own rules: sizes, names, first sentences, clean files."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from support.checkout import ROOT

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core"}
GENERATED = {"package-lock.json", "LICENSE"}
DATA_SUFFIXES = {".gz", ".json", ".ndjson", ".png", ".svg", ".txt", ".zst"}


def _tracked() -> list[Path]:
    """Every file of the project, as git knows it."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"The files can only be listed in a git clone: {error}.")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _python() -> list[Path]:
    return [path for path in _tracked() if path.suffix == ".py"]


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_file_is_too_long() -> None:
    written = [path for path in _tracked() if path.suffix not in DATA_SUFFIXES]

    long = {
        _named(path): lines
        for path in written
        if path.name not in GENERATED and (lines := len(_text(path).splitlines())) > FILE_LINES_MAX
    }

    assert long == {}


def test_no_function_is_too_long() -> None:
    long = {
        f"{_named(path)}: {node.name}": lines
        for path in _python()
        if path.parent.name != "versions"  # a migration is a list of tables, read once
        for node in ast.walk(ast.parse(_text(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    }

    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [_named(path) for path in _python() if not ast.get_docstring(ast.parse(_text(path)))]

    assert silent == []


def test_no_module_has_a_vague_name() -> None:
    vague = [
        _named(path)
        for path in _python()
        if VAGUE_NAMES & {path.stem, *path.relative_to(ROOT).parent.parts}
    ]

    assert vague == []


# The words are cut in two so that this file does not contain what it forbids.
_FORBIDDEN = {
    "unfinished work": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"),
    "registry host": re.compile(
        r"py" + r"pi\.org|python" + r"hosted\.org|registry\.npm" + r"js|npm" + r"js\.org"
    ),
    "machine path": re.compile(
        r"(?<![\w.:/-])/(?:ro" + r"ot|wo" + r"rk|Us" + r"ers|ho" + r"me/\w+)/\w"
    ),
    "secret": re.compile(r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE " + r"KEY-----"),
}


@pytest.mark.parametrize("what", _FORBIDDEN)
def test_no_tracked_file_contains(what: str) -> None:
    found = [
        f"{_named(path)}:{number}"
        for path in _tracked()
        for number, line in enumerate(_text(path).splitlines(), start=1)
        if _FORBIDDEN[what].search(line)
    ]

    assert found == []


def test_every_requirement_is_pinned_by_hash() -> None:
    compiled = sorted((ROOT / "requirements").glob("*.txt"))
    pinned = re.compile(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ; .+)?( --hash=sha256:\w{64})+")

    loose = [
        f"{path.name}: {line[:80]}"
        for path in compiled
        for line in _joined(path)
        if not pinned.fullmatch(line)
    ]

    assert len(compiled) == 4
    assert loose == []


def _joined(path: Path) -> list[str]:
    """The requirements of a file, one a line, without comments."""
    kept = [line for line in _text(path).splitlines() if not line.strip().startswith("#")]
    text = "\n".join(kept).replace("\\\n", " ")
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip()]


def test_nothing_pinned_names_where_it_came_from() -> None:
    requirements = [*(ROOT / "requirements").glob("*.txt"), *(ROOT / "requirements").glob("*.in")]

    addressed = [_named(path) for path in requirements if "://" in _text(path)]
    addressed += [_named(path) for path in _node_locks() if '"resolved"' in _text(path)]

    assert addressed == []


def test_every_node_package_is_pinned_by_its_integrity() -> None:
    loose = [
        f"{_named(path)}: {name}"
        for path in _node_locks()
        for name, package in json.loads(_text(path))["packages"].items()
        if name and "integrity" not in package
    ]

    assert _node_locks()
    assert loose == []


def _node_locks() -> list[Path]:
    return [path for path in _tracked() if path.name == "package-lock.json"]


def test_every_name_of_the_package_is_typed() -> None:
    assert (ROOT / "src" / "engagement" / "py.typed").is_file()
