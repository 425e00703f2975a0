"""Tests the commands that back up a server under load, and restore it where nothing is left."""

import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from engagement.cli.exit_statuses import EXIT_BAD_INPUT, EXIT_FAILURE
from engagement.model.exports import ExportType
from engagement.server.collection.native import PATH
from support.batches import DEVICES, batch, log
from support.command_line import Shell
from support.exporting import exported
from support.server_process import RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX, wait_for

APP_PLACE = ("--collection", "c", "--resource-group", "g", "--subscription", "s")


class Load:
    """Posts a batch of one event after another, and writes down which were acknowledged."""

    def __init__(self, server: RunningServer, app_key: str) -> None:
        self.acknowledged: list[str] = []
        """The names of the events, in their order."""
        self.sent: list[str] = []
        """Those and the last one, which may not have been answered."""
        self._server = server
        self._headers = {"Authorization": f"Bearer {app_key}"}
        self._ends = threading.Event()

    def post(self, http: httpx.Client, name: str) -> None:
        body = batch(log("event", name=name), device=DEVICES[0], batch_id=name)
        http.post(PATH, content=body, headers=self._headers).raise_for_status()

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join(WAIT_SECONDS_MAX)

    def _run(self) -> None:
        with self._server.http() as http:
            while not self._ends.is_set():
                name = f"event {len(self.acknowledged)}"
                self.sent.append(name)
                self.post(http, name)
                self.acknowledged.append(name)


def start_backup(server: RunningServer, target: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "engagement", "backup", str(target)],
        env=dict(server.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def event_names(server: RunningServer, app_id: str, folder: Path) -> Counter[str]:
    owner = server.client("owner")
    found = exported(server, owner, app_id, folder, [ExportType.EVENT])
    return Counter(record["name"] for record in found["Event"])


def test_a_server_under_load_is_backed_up_killed_and_restored(tmp_path: Path) -> None:
    """Killed in the middle, the backup is run again; then all is lost but it and the key."""
    home, out, target, key = (tmp_path / name for name in ("home", "out", "backup", "vault.key"))
    out.mkdir()
    settings = {"ENGAGEMENT_LOCAL_ROOTS": str(out), "ENGAGEMENT_FLUSH_SECONDS": "1"}
    with running_server(home, **settings) as server:
        app = server.app()
        load = Load(server, app["appKey"])
        with load.running():
            wait_for(lambda: list((home / "lake").glob("*/event")), "events in the lake")
            first = start_backup(server, target)
            wait_for(lambda: list(target.glob("lake/*/*")) or first.poll() is not None, "a file")
            first.kill()
            first.wait(WAIT_SECONDS_MAX)
            before = len(load.acknowledged)
            if not (target / "backup.json").exists():
                assert server.command("restore", str(target), status=EXIT_BAD_INPUT) is None
            else:  # it was quicker than the kill
                shutil.rmtree(target)
            made = server.command("backup", str(target), "--key-file", str(key))
        server.kill()
    shutil.rmtree(home)

    restored = server.command("restore", str(target), "--key-file", str(key))
    assert restored == made

    with running_server(home, **settings) as server:
        names = event_names(server, app["appId"], out)
        assert set(names.values()) == {1}
        assert set(load.acknowledged[:before]) <= names.keys() <= set(load.sent)
        with server.http() as http:
            for name in load.acknowledged:
                load.post(http, name)
        again = event_names(server, app["appId"], out)
    assert again == Counter(load.acknowledged) | names


def test_a_home_is_moved_by_the_variables_of_its_new_place(tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path)
    app_id = shell.new_app()
    place = tmp_path / "place.env"
    place.write_text(f"# the new place\nENGAGEMENT_HOME='{tmp_path / 'new'}'\n")

    moved = shell.json("move", str(place))
    code, message = shell.error("apps", "list", status=EXIT_FAILURE)

    assert moved["tables"] == []
    assert moved["stateRows"] > 0
    assert (code, str(tmp_path / "new") in message) == ("ServiceMoved", True)
    assert shell.error("move", str(place), "--give-up", status=EXIT_FAILURE)[0] == "ServiceMoved"
    there = Shell(folder=tmp_path, settings=(("ENGAGEMENT_HOME", str(tmp_path / "new")),))
    assert [each["appId"] for each in there.json("apps", "list")] == [app_id]
    code, message = shell.error("backup", str(tmp_path / "backup"), status=EXIT_FAILURE)
    assert code == "ServiceMoved"
    code, message = shell.error("move", str(tmp_path / "nothing.env"), status=EXIT_BAD_INPUT)
    assert "got no file" in message


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_place_that_does_not_fit_is_named(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")

    code, message = Shell(folder=tmp_path).error(command, str(folder), status=EXIT_BAD_INPUT)

    assert code == "BadInput"
    assert str(folder) in message
