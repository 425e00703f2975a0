"""Ends the two processes of a server in every order while exports run."""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from engagement import Client
from engagement.client import ExportPoller
from engagement.model.exports import ExportState
from support.server_process import RunningServer, import_sample, running_server
from support.waiting import WAIT_SECONDS_MAX, wait_for

SPAN = {"start": date(2026, 1, 1), "end": date(2026, 12, 31)}
EXIT_HOME_BUSY = 3


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose exports have many parts."""
    (tmp_path / "out").mkdir()
    import_sample(tmp_path / "home", devices=20, days=10, seed=7)
    return tmp_path / "home"


def _settings(home: Path) -> dict[str, str]:
    return {"ENGAGEMENT_LOCAL_ROOTS": str(home.parent / "out"), "ENGAGEMENT_PART_ROWS": "20"}


def _client(server: RunningServer) -> Client:
    owner = server.client("owner")
    return Client(
        server.address,
        tenant_id=owner.tenant_id,
        client_id=owner.client_id,
        client_secret=owner.client_secret,
    )


def _half_done(client: Client, home: Path) -> ExportPoller:
    """An export some of whose parts are delivered, and some are not."""
    app = client.apps()[0].resource_path
    container = (home.parent / "out").as_uri()
    poller = client.create_export(app, "Event", container, export_format="NdjsonBlob", **SPAN)
    wait_for(lambda: poller.refresh().progress.parts_done, "a part that is delivered")
    assert poller.task.state is ExportState.STARTED, "the export must still run to be interrupted"
    return poller


def test_an_export_goes_on_when_its_worker_is_killed(home: Path) -> None:
    with running_server(home, **_settings(home)) as server, _client(server) as client:
        poller = _half_done(client, home)
        killed = server.worker_pid
        assert killed is not None

        os.kill(killed, signal.SIGKILL)
        done = poller.result(WAIT_SECONDS_MAX)

        assert done.state is ExportState.SUCCEEDED
        assert server.worker_pid not in {None, killed}
        assert "worker_ended" in server.log.read_text()
        assert server.command("verify", str(home.parent / "out" / done.folder))


def test_the_worker_ends_with_a_server_that_is_killed_and_the_next_one_goes_on(home: Path) -> None:
    with running_server(home, **_settings(home)) as server:
        with _client(server) as client:
            task = _half_done(client, home).task
        worker = server.worker_pid
        server.kill()

    with running_server(home, **_settings(home)) as server, _client(server) as client:
        app = client.apps()[0].resource_path
        done = client.follow_export(app, task.task_id).result(WAIT_SECONDS_MAX)

        assert done.state is ExportState.SUCCEEDED
        assert not Path(f"/proc/{worker}").exists()


def test_a_task_created_beside_the_server_is_found_by_its_worker(home: Path) -> None:
    with running_server(home, **_settings(home)) as server:
        (app,) = server.command("apps", "list")
        span = ("--from", "2026-01-01", "--to", "2026-12-31")
        container = ("--container", str(home.parent / "out"), "--no-wait")
        task = server.command("export", "create", "Job", "--app", app["appId"], *container, *span)

        def has_ended() -> bool:
            state: str = server.command("export", "show", task["taskId"])["state"]
            return state == ExportState.SUCCEEDED

        wait_for(has_ended, "a task that succeeds")


def test_a_second_server_is_refused_while_only_the_worker_lives(home: Path) -> None:
    with running_server(home, **_settings(home)) as server:
        worker = server.worker_pid
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)  # it cannot notice that the server dies
        server.kill()

        second = subprocess.run(
            [sys.executable, "-m", "engagement", "serve", "--port", "0"],
            env=dict(server.environment),
            capture_output=True,
            check=False,
            timeout=WAIT_SECONDS_MAX,
        )
        assert second.returncode == EXIT_HOME_BUSY, second.stderr.decode()
        os.kill(worker, signal.SIGKILL)
