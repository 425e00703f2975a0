"""Tests that commands and the server name what is wrong with a disk or a database."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import filled, small_disk

from engagement.sample.population import generate
from support.command_line import Shell
from support.waiting import WAIT_SECONDS_MAX

PLACE = ("--collection", "c", "--resource-group", "g", "--subscription", "s")
SPAN = ("--from", "2026-01-01", "--to", "2026-01-31")
DISK_MIB = 64
LITTLE_ROOM_BYTES = (230_000, 250_000)
"""Where a disk becomes full while a task is created, or while its workflow runs."""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell whose home folder has an app, and has been opened by a command that runs tasks."""
    shell = Shell(folder=tmp_path)
    _new_app(shell)
    return shell


def _new_app(shell: Shell) -> str:
    app_id: str = shell.json("apps", "create", "shop", *PLACE)["appId"]
    shell.json("import", "-", "--app", app_id)
    return app_id


def test_a_damaged_state_database_is_named(shell: Shell) -> None:
    (shell.folder / "home" / "state.db").write_bytes(b"no database" * 1_000)

    code, message = shell.error("apps", "list", status=1)

    assert code == "DatabaseDamaged"
    assert "state.db" in message
    assert "backup" in message


def test_a_damaged_task_database_is_named_and_made_anew(shell: Shell) -> None:
    damaged = shell.folder / "home" / "tasks.db"
    for leftover in damaged.parent.glob("tasks.db-*"):
        leftover.unlink()
    damaged.write_bytes(b"no database" * 1_000)

    code, message = shell.error("upkeep", "compact", "--app", "any", status=1)
    assert code == "DatabaseDamaged"
    assert "tasks.db" in message
    assert "move it aside" in message

    damaged.rename(damaged.with_suffix(".damaged"))
    code, _ = shell.error("upkeep", "compact", "--app", "any", status=2)
    assert code == "UnknownApp"


def test_a_home_of_a_newer_release_is_refused(shell: Shell) -> None:
    with sqlite3.connect(shell.folder / "home" / "state.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    code, message = shell.error("apps", "list", status=1)

    assert code == "NewerRelease"
    assert "9999" in message


@pytest.fixture
def full(tmp_path: Path) -> Iterator[tuple[Shell, str]]:
    """A shell whose home folder is on a disk that is full, and an app there."""
    with small_disk(tmp_path / "disk", size=DISK_MIB) as disk:
        shell = Shell(folder=disk)
        app_id = _new_app(shell)
        with filled(disk, leave=0):
            yield shell, app_id


def test_a_full_disk_is_named_by_commands(full: tuple[Shell, str]) -> None:
    shell, app_id = full
    for words in (
        ("apps", "create", "second", *PLACE),
        ("import", "-", "--app", app_id),
        ("upkeep", "compact", "--app", app_id),
    ):
        code, _ = shell.error(*words, status=1)
        assert code == "StorageFull", words


@pytest.mark.parametrize("leave", LITTLE_ROOM_BYTES)
def test_an_export_on_a_disk_with_little_room_ends(tmp_path: Path, leave: int) -> None:
    """DBOS cannot even keep how a workflow ended; whoever waits for the task is told why."""
    out = tmp_path / "out"
    out.mkdir()
    lines = b"\n".join(generate(devices=20, days=2, seed=1))
    with small_disk(tmp_path / "disk", size=DISK_MIB) as disk:
        shell = Shell(folder=disk, settings=(("ENGAGEMENT_LOCAL_ROOTS", str(out)),))
        app_id = _new_app(shell)
        shell.json("import", "-", "--app", app_id, given=lines)
        words = ("export", "create", "Event", "--app", app_id, "--container", f"file://{out}")
        with filled(disk, leave=leave):
            process = shell.start(*words, *SPAN, "--json")
            _, stderr = process.communicate(timeout=WAIT_SECONDS_MAX)
        assert process.returncode == 0 or json.loads(stderr.splitlines()[-1])["error"]["code"] == (
            "StorageFull"
        )

        for task in shell.json("export", "list", "--app", app_id):
            # It goes on, or ends if DBOS could keep that its workflow had failed.
            process = shell.start("export", "wait", task["taskId"])
            process.communicate(timeout=WAIT_SECONDS_MAX)
            assert process.returncode in {0, 1}
