"""Tests what a server's log says of a day's work, and that no key is in it."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from engagement.server.collection.native import PATH
from support.batches import everything
from support.server_process import running_server
from support.waiting import wait_for


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_a_log_tells_of_exports_flushes_and_upkeep_and_of_no_poll(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    out.mkdir()
    with running_server(
        home, ENGAGEMENT_LOCAL_ROOTS=str(out), ENGAGEMENT_FLUSH_SECONDS="1"
    ) as server:
        key_file = home / "first-app.key"
        key = key_file.read_text().strip()
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        with server.http(key) as http:
            assert http.post(PATH, content=everything(1)).status_code == 202
        (app,) = server.command("apps", "list")
        wait_for(
            lambda: any(line["event"] == "flushed" for line in lines(server.log)), "a flush's line"
        )
        span = ("--from", "2000-01-01", "--to", "2100-01-01")
        made = server.command(
            *("export", "create", "event", "--app", "first", *span, "--no-wait"),
            *("--container", str(out)),
        )
        task = server.command("export", "wait", made["taskId"])
        server.command("upkeep", "compact", "--app", "first")
        wait_for(
            lambda: [line for line in lines(server.log) if line["event"] == "export_ended"],
            "the line of an export",
        )
        with server.http() as http:
            assert http.get("/healthz").status_code == 200
    found = lines(server.log)
    (ended,) = [line for line in found if line.get("task_id") == made["taskId"]]
    assert ended["app"] == app["appId"]
    assert ended["type"] == "Event"
    assert ended["rows"] == task["progress"]["rowsDone"] > 0
    assert ended["bytes"] > 0
    assert ended["code"] is None
    assert {"flushed", "upkeep_asked"} <= {line["event"] for line in found}
    assert not [line for line in found if line.get("path") in {"/healthz", "/readyz", "/metrics"}]
    assert key not in server.log.read_text()


def test_a_refused_start_is_in_the_log(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "home") as first,
        pytest.raises(pytest.fail.Exception, match="start_refused"),
        running_server(tmp_path / "home"),
    ):
        pass
    assert first.process.returncode == 0
