"""Tests that upkeep works beside a running server, asked by command or over HTTP."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engagement import operations
from engagement.cli.exit_statuses import EXIT_BAD_INPUT
from engagement.exceptions import HomeBusyError
from engagement.model.records import Kind
from engagement.runtime.home import lock_home
from engagement.runtime.opening import open_service
from engagement.settings import Settings
from engagement.testing import make_batch
from engagement.worker.control import SOCKET, HolderRunner, serve_requests
from engagement.worker.messages import CHECK, Reply, Request, decode_reply, encode_request
from support.command_line import Shell
from support.server_process import FIRST_APP, RunningServer, running_server
from support.waiting import wait_for

VERSION = {"api-version": "2026-11-01"}
DESCRIPTORS_MAX = 256
DEVICES = [f"{number:x}" * 32 for number in range(1, 5)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path is longer than that of a socket may be."""
    return tmp_path_factory.mktemp("long" * 30) / "home"


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RunningServer]:
    with running_server(home) as running:
        yield running


@pytest.fixture(scope="module")
def app_id(server: RunningServer, home: Path) -> str:
    event = {"type": "event", "timestamp": "2026-01-01T00:00:00Z", "name": "old"}
    with open_service(Settings(home=home), run_tasks=False) as beside:
        found = operations.list_apps(beside)[0].app_id
        lines = [
            make_batch(event, device_id=device, userId=f"user of {device}") for device in DEVICES
        ]
    file = home.parent / "batches.ndjson"
    file.write_bytes(b"\n".join(lines))
    shell = Shell(folder=home.parent)
    shell.run("import", str(file), "--app", found)
    return found


def _rows(home: Path, app_id: str, kind: Kind) -> int:
    with open_service(Settings(home=home), run_tasks=False) as beside:
        return beside.inbox.last_commits(app_id)[kind].rows_total


def test_commands_of_upkeep_work_beside_a_server(home: Path, app_id: str) -> None:
    shell = Shell(folder=home.parent)

    assert _rows(home, app_id, Kind.EVENT) == len(DEVICES), "an import works beside it too"
    for command in ("compact", "fold", "vacuum"):
        assert shell.json("upkeep", command, "--app", app_id)["operation"] == command
    erased = shell.json("upkeep", "erase", DEVICES[0], "--app", app_id)
    by_user = shell.json("upkeep", "erase", "--user", f"user of {DEVICES[1]}", "--app", app_id)

    assert (erased["devices"], by_user["devices"]) == (1, 1)
    assert _rows(home, app_id, Kind.EVENT) == len(DEVICES) - 2
    code, _ = shell.error("upkeep", "erase", "mistyped", "--app", app_id, status=EXIT_BAD_INPUT)
    assert code == "UnknownDevice"


def test_a_device_is_erased_over_http_by_owners_alone(
    server: RunningServer, home: Path, app_id: str
) -> None:
    path = f"{FIRST_APP}/devices/{DEVICES[2]}"
    with server.http(server.token(server.client("reader"))) as http:
        assert http.delete(path, params=VERSION).status_code == 403
    with server.http(server.token(server.client("owner"))) as http:
        assert http.get(path, params=VERSION).status_code == 200
        answer = http.delete(path, params=VERSION)
        assert (answer.status_code, answer.json()["devices"]) == (200, 1)
        assert http.get(path, params=VERSION).status_code == 404
        user = f"{FIRST_APP}/users/user of {DEVICES[3]}"
        assert http.delete(user, params=VERSION).json()["devices"] == 1
        nobody = http.delete(f"{FIRST_APP}/devices/nobody", params=VERSION)
        assert nobody.status_code == 404

    assert json.loads(nobody.text)["error"]["code"]


def test_the_socket_is_of_its_owner_alone(server: RunningServer, home: Path) -> None:
    assert (home / "control.sock").stat().st_mode & 0o777 == 0o600


def test_requests_are_taken_again_once_there_are_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a short path of the socket
    request, reply = Request(number=1, do=CHECK), Reply(number=1)
    with serve_requests(tmp_path, lambda _: reply), capture_logs() as logs:
        with _one_descriptor_left():
            connection = Client(SOCKET, "AF_UNIX")
            wait_for(
                lambda: any(each["event"] == "request_not_accepted" for each in logs),
                "a request that is not accepted",
            )

        with connection:
            connection.send_bytes(encode_request(request))
            assert decode_reply(connection.recv_bytes()) == reply


@contextmanager
def _one_descriptor_left() -> Iterator[None]:
    """Let this process open one more file, and none besides."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, DESCRIPTORS_MAX), hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        os.close(taken.pop())
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_holder_that_takes_no_requests_is_busy(tmp_path: Path) -> None:
    with lock_home(tmp_path), pytest.raises(HomeBusyError):
        HolderRunner(tmp_path)
