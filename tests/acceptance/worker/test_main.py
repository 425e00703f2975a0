"""Ends the two processes of a server in every order while exports run."""

import os
import signal
import threading
from datetime import date
from pathlib import Path

import pytest

from engagement import Client
from engagement.client import ExportPoller
from engagement.exceptions import StalledError
from engagement.model.exports import ExportState
from support.http_servers import Relay, RelayHandler, serve
from support.server_process import RunningServer, import_sample, running_server
from support.servers import Azurite
from support.waiting import WAIT_SECONDS_MAX, wait_for

SPAN = {"start": date(2026, 1, 1), "end": date(2026, 12, 31)}
SERVICE_UNAVAILABLE = 503


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


def test_a_worker_that_is_stopped_is_replaced(home: Path) -> None:
    with (
        running_server(home, **_settings(home), ENGAGEMENT_WORKER_SILENCE_SECONDS="5") as server,
        _client(server) as client,
    ):
        poller = _half_done(client, home)
        stopped = server.worker_pid
        assert stopped is not None

        os.kill(stopped, signal.SIGSTOP)
        done = poller.result(WAIT_SECONDS_MAX)

        assert done.state is ExportState.SUCCEEDED
        assert not Path(f"/proc/{stopped}").exists()
        assert "worker_silent" in server.log.read_text()
        assert server.metric("engagement_worker_restarts_total") >= 1


class _Holding(Relay):
    """Stands before a container and answers nothing about parts until it is let go."""

    def __init__(self, behind: str) -> None:
        super().__init__(behind, _HoldingHandler)
        self.let_go = threading.Event()


class _HoldingHandler(RelayHandler):
    server: _Holding

    def relay(self, body: bytes) -> None:
        if "/part-" in self.path and not self.server.let_go.is_set():
            self.server.let_go.wait(WAIT_SECONDS_MAX)
            self.break_line()
        elif answer := self.pass_on(body):
            self.answer(answer)


def test_a_worker_whose_step_does_not_go_on_is_replaced(home: Path, azurite: Azurite) -> None:
    container = azurite.container("held")
    settings = {"ENGAGEMENT_STALL_SECONDS": "1", "ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS": "1"}
    with (
        serve(_Holding(azurite.endpoint)) as relay,
        running_server(home, **_settings(home), **settings) as server,
        _client(server) as client,
    ):
        held = server.worker_pid
        app = client.apps()[0].resource_path
        url = container.write_url.replace(azurite.endpoint, relay.endpoint)
        poller = client.create_export(app, "Event", url, export_format="NdjsonBlob", **SPAN)
        with pytest.raises(StalledError):
            poller.result(WAIT_SECONDS_MAX)
        wait_for(lambda: server.worker_pid not in {None, held}, "another worker")
        relay.let_go.set()

        done = client.retry_export(app, poller.task.task_id, url).result(WAIT_SECONDS_MAX)

        assert done.state is ExportState.SUCCEEDED
        assert "worker_stalled" in server.log.read_text()


def test_it_is_said_that_there_is_no_worker(home: Path) -> None:
    """A lake that is damaged while the worker runs lets none start after it."""
    with running_server(home, ENGAGEMENT_WORKER_SILENCE_SECONDS="1") as server:
        (log,) = home.glob("lake/*/event/_delta_log/*0.json")
        log.unlink()
        killed = server.worker_pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        with server.http() as http:
            wait_for(lambda: http.get("/readyz").status_code == SERVICE_UNAVAILABLE, "a refusal")
            assert "The worker has been silent" in http.get("/readyz").text
            assert http.get("/healthz").is_success
        assert server.metric("engagement_worker_up") == 0
        assert server.metric("engagement_worker_silent_seconds") > 1


def test_a_worker_ends_with_its_server_even_if_it_is_stopped(home: Path) -> None:
    with running_server(home, **_settings(home)) as server:
        worker = server.worker_pid
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)  # it cannot notice that the server dies
        server.kill()

    with running_server(home, **_settings(home)) as server:
        assert server.worker_pid not in {None, worker}
        assert not Path(f"/proc/{worker}").exists()
