"""Tests what commands tell a person besides their result."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import Shell
from support.waiting import WAIT_SECONDS_MAX, waiting_for

DAYS = ("--from", "2026-01-01", "--to", "2026-01-03")
CREATE_APP = (
    *("apps", "create", "shop", "--collection", "c"),
    *("--resource-group", "g", "--subscription", "s"),
)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "out").mkdir()
    return Shell(folder=tmp_path)


def test_a_new_home_is_told_once(shell: Shell) -> None:
    first = shell.run(*CREATE_APP).stderr.decode()
    second = shell.run("apps", "list").stderr.decode()

    assert f"New home folder: {shell.folder / 'home'}" in first
    assert "New home" not in second


def test_a_command_that_reads_no_table_loads_neither_arrow_nor_migrations(shell: Shell) -> None:
    code = """
import sys
from engagement.cli.entry import run
assert run(["apps", "list"]) == 0
unused = {"pyarrow", "numpy", "alembic", "dbos", "sqlalchemy.dialects.postgresql"}
print(sorted(unused & set(sys.modules)))
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=shell.environment, check=True, capture_output=True
    )

    assert loaded.stdout.splitlines()[-1] == b"[]"


def test_an_export_that_was_copied_elsewhere_is_verified_there(shell: Shell) -> None:
    sample = shell.run("sample", "--devices", "5", "--days", "1").stdout
    shell.take(shell.new_app(), sample)
    made = shell.json("export", "create", "Session", "--app", "shop", *DAYS, "--container", "out")
    copy = shell.folder / "elsewhere" / "my copy"
    shutil.copytree(shell.container / made["folder"], copy)

    proof = shell.json("verify", str(copy))

    assert proof["rows"] == made["progress"]["rowsDone"]
    (copy / "part-00000.json").write_bytes(b"[]")
    assert shell.error("verify", str(copy), status=1)[0] == "VerificationFailed"
    assert shell.error("verify", str(shell.folder / "elsewhere"), status=2)


def test_a_busy_home_leads_to_the_server(shell: Shell) -> None:
    shell.new_app()
    with shell.busy():
        code, message = shell.error("keys", "rotate", status=3)

    assert code == "HomeBusy"
    assert "--server" in message


def test_an_interruption_says_what_stays_in_any_command(shell: Shell) -> None:
    shell.new_app()
    process = subprocess.Popen(
        [sys.executable, "-m", "engagement", "apps", "delete", "shop"],
        cwd=shell.folder,
        env=shell.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with waiting_for("the question of a command"):
        assert b"All data of" in process.stderr.readline()
    process.send_signal(signal.SIGINT)

    _, output = process.communicate(timeout=WAIT_SECONDS_MAX)

    assert process.returncode == 130
    assert b"tasks go on" in output
    assert b"Traceback" not in output
    assert [app["name"] for app in shell.json("apps", "list")] == ["shop"]


def test_a_shell_completes_commands(shell: Shell) -> None:
    completed = subprocess.run(
        [Path(sys.executable).with_name("engagement")],
        cwd=shell.folder,
        env=shell.environment
        | {
            "_ENGAGEMENT_COMPLETE": "complete_bash",
            "COMP_WORDS": "engagement export ca",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        check=False,
        timeout=WAIT_SECONDS_MAX,
    )

    assert completed.stdout.decode().split() == ["cancel"]
