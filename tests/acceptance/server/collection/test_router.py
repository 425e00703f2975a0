"""Posts native batches to a server as devices do, and exports what they held."""

import gzip
import json
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from support.server_process import RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX, wait_for

PATH = "/collect/v1/batch"
BODY_MAX = 50_000
REFUSED_REQUESTS = 'engagement_requests_total{method="POST",route="none",status="503"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("collect")
    with running_server(
        folder / "home",
        ENGAGEMENT_LOCAL_ROOTS=str(tmp_path_factory.getbasetemp()),
        ENGAGEMENT_COLLECT_BYTES=str(BODY_MAX),
        ENGAGEMENT_FLUSH_SECONDS="1",
    ) as running:
        yield running


@pytest.fixture
def app(server: RunningServer) -> dict[str, str]:
    """A new app with its key."""
    return server.app()


def _log(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "event", "name": name, "timestamp": "2026-11-01T10:00:00Z", **more}


def _batch(batch_id: str, *logs: dict[str, Any]) -> bytes:
    return json.dumps(
        {
            "batchId": batch_id,
            "sentAt": "2026-11-01T10:00:00Z",
            "deviceId": "d" * 32,
            "logs": list(logs),
        }
    ).encode()


def _post(
    server: RunningServer, key: str, body: bytes, headers: dict[str, str] | None = None
) -> httpx.Response:
    with server.http(key) as http:
        return http.post(PATH, content=body, headers=headers)


def _names(server: RunningServer, app: dict[str, str], folder: Path) -> list[str]:
    """The names of all events of an app, exported now."""
    folder.mkdir()
    task = server.command(
        *("export", "create", "Event", "--app", app["appId"], "--container", str(folder)),
        *("--format", "NdjsonBlob", "--from", "2026-01-01", "--to", "2099-12-31", "--no-wait"),
    )

    def has_succeeded() -> bool:
        found: dict[str, str] = server.command("export", "show", task["taskId"])
        assert found["state"] in {"Queued", "Started", "Succeeded"}, found
        return found["state"] == "Succeeded"

    wait_for(has_succeeded, "the end of an export")
    parts = sorted(folder.rglob("part-*"))
    return [json.loads(line)["name"] for part in parts for line in part.read_bytes().splitlines()]


def test_what_is_acknowledged_is_in_the_next_export_once(
    server: RunningServer, app: dict[str, str], tmp_path: Path
) -> None:
    key = app["appKey"]
    bodies = {
        "plain": (_batch("1", _log("plain")), {}),
        "gzip": (gzip.compress(_batch("2", _log("gzip"))), {"Content-Encoding": "gzip"}),
        "zstd": (zstandard.compress(_batch("3", _log("zstd"))), {"Content-Encoding": "zstd"}),
    }

    for _ in range(2):  # the second time the batches are known
        for body, headers in bodies.values():
            answer = _post(server, key, body, headers)
            assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "refused": []})

    assert sorted(_names(server, app, tmp_path / "out")) == ["gzip", "plain", "zstd"]


def test_a_bad_log_is_refused_with_its_reason_and_kept_aside(
    server: RunningServer, app: dict[str, str], tmp_path: Path
) -> None:
    body = _batch("1", _log("good"), _log("x" * 65), {"type": "nothing"}, _log("better"))

    answer = _post(server, app["appKey"], body)

    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    codes = [(refusal["index"], refusal["code"]) for refusal in answer.json()["refused"]]
    assert codes == [(1, "bad_name"), (2, "unknown_type")]
    assert sorted(_names(server, app, tmp_path / "out")) == ["better", "good"]
    counted = server.command("refused", "count", "--app", app["appId"])
    assert {item["code"]: item["records"] for item in counted} == {"bad_name": 1, "unknown_type": 1}


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "CorruptInput"),
        (b"not json", {}, 400, "CorruptInput"),
        (b"[" * 100, {}, 400, "CorruptInput"),
        (b"\x1f\x8b broken", {"Content-Encoding": "gzip"}, 400, "CorruptInput"),
        (_batch("1"), {"Content-Encoding": "br"}, 415, "UnsupportedEncoding"),
        (gzip.compress(b" " * 20_000_000), {}, 413, "RequestTooLarge"),
        (b" " * (BODY_MAX + 1), {}, 413, "RequestEntityTooLarge"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_whole(  # noqa: PLR0913, PLR0917 - a row of a table
    server: RunningServer,
    app: dict[str, str],
    body: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = _post(server, app["appKey"], body, headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_body_that_cannot_be_read_is_kept_aside_once(
    server: RunningServer, app: dict[str, str]
) -> None:
    for _ in range(2):
        assert _post(server, app["appKey"], b"not json").status_code == 400

    (entry,) = server.command("refused", "list", "--app", app["appId"])
    assert entry["code"] == "CorruptInput"


@pytest.mark.parametrize("key", [None, "wrong", "a" * 5_000])
def test_without_a_known_key_nothing_is_taken(server: RunningServer, key: str | None) -> None:
    with server.http() as http:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        answer = http.post(PATH, content=_batch("1", _log("x")), headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_may_come_as_the_name_of_basic_authentication(
    server: RunningServer, app: dict[str, str]
) -> None:
    with server.http() as http:
        answer = http.post(PATH, content=_batch("1", _log("x")), auth=(app["appKey"], ""))

    assert answer.status_code == 202


def test_only_posts_are_answered(server: RunningServer, app: dict[str, str]) -> None:
    with server.http(app["appKey"]) as http:
        answer = http.get(PATH)

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_the_clock_of_a_device_is_corrected(
    server: RunningServer, app: dict[str, str], tmp_path: Path
) -> None:
    """A device whose clock is years behind still reports what happened just now."""
    batch = json.loads(_batch("1", _log("late", timestamp="2001-01-01T00:00:00Z")))
    batch["sentAt"] = "2001-01-01T00:00:05Z"

    assert _post(server, app["appKey"], json.dumps(batch).encode()).status_code == 202

    assert _names(server, app, tmp_path / "out") == ["late"]


def test_what_was_posted_goes_to_the_lake_by_itself(
    server: RunningServer, app: dict[str, str]
) -> None:
    _post(server, app["appKey"], _batch("1", _log("x")))

    wait_for(lambda: server.metric("engagement_inbox_logs") == 0, "a flush by itself")

    assert server.metric("engagement_inbox_lag_seconds") == 0


def test_logs_are_counted_as_they_are_accepted_and_refused(
    server: RunningServer, app: dict[str, str]
) -> None:
    accepted = 'engagement_logs_accepted_total{protocol="native"}'
    refused = 'engagement_logs_refused_total{code="bad_name",protocol="native"}'
    before = [server.metric(accepted), server.metric(refused)]

    _post(server, app["appKey"], _batch("1", _log("a"), _log("b"), _log("")))

    def has_counted() -> bool:
        return server.metric(accepted) >= before[0] + 2 and server.metric(refused) >= before[1] + 1

    wait_for(has_counted, "the logs to be counted")


def test_an_app_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    with running_server(
        tmp_path / "home",
        ENGAGEMENT_COLLECT_REQUESTS_PER_MINUTE="5",
        ENGAGEMENT_UNKNOWN_KEYS_PER_MINUTE="5",
    ) as server:
        key = server.app()["appKey"]
        known = [_post(server, key, _batch(str(number), _log("x"))) for number in range(15)]
        unknown = [_post(server, "wrong", b"") for _ in range(15)]

    for answers, wanted in ((known, 202), (unknown, 401)):
        assert 5 <= sum(answer.status_code == wanted for answer in answers) <= 10
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 5
        assert all(0 < int(refusal.headers["Retry-After"]) <= 60 for refusal in refused)


@pytest.mark.parametrize(
    ("trusted", "attempts"), [("127.0.0.0/8", range(20, 21)), ("192.0.2.9", range(5, 11))]
)
def test_only_a_trusted_proxy_is_believed_whom_it_forwards(
    tmp_path: Path, trusted: str, attempts: range
) -> None:
    with running_server(
        tmp_path / "home",
        ENGAGEMENT_TRUSTED_PROXIES=trusted,
        ENGAGEMENT_UNKNOWN_KEYS_PER_MINUTE="5",
    ) as server:
        statuses = [
            _post(server, "wrong", b"", headers={"X-Forwarded-For": address}).status_code
            for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
            for _ in range(5)
        ]

    # A minute may end in between, after which each address may ask as often again.
    assert statuses.count(401) in attempts


@pytest.mark.attack
def test_refused_records_of_one_app_take_no_room_from_another_and_stop_nothing(
    tmp_path: Path, *, full_counts: bool
) -> None:
    bodies = 70 if full_counts else 4
    room = {"ENGAGEMENT_REFUSED_APP_BYTES": "2000000", "ENGAGEMENT_REFUSED_BYTES": "3000000"}
    with running_server(tmp_path / "home", **room) as server:
        app, flooding = server.app(), server.app()
        with server.http(app["appKey"]) as http:
            kept = http.post("/v1/batch", content=b"junk")
        with server.http(flooding["appKey"]) as http:
            flood = [
                http.post(path, content=secrets.token_hex(450_000))
                for path in ("/v1/batch", PATH)
                for _ in range(bodies)
            ]
            native = _post(server, flooding["appKey"], _batch("1", _log("good"), _log("")))

        assert kept.status_code == 200
        assert {answer.status_code for answer in flood} == {200, 400}
        assert (native.status_code, native.json()["accepted"]) == (202, 1)
        counts = server.command("refused", "count")
        of_flooding = [item for item in counts if item["appId"] == flooding["appId"]]
        assert sum(item["bytes"] for item in of_flooding) <= 2_000_000
        assert "bad_name" in {item["code"] for item in of_flooding}, "the newest are kept"
        assert [item["records"] for item in counts if item["appId"] == app["appId"]] == [1]
        assert server.metric("engagement_refused_records_crowded_out_total") >= 2 * bodies - 2


def test_more_requests_at_once_than_may_be_are_told_to_come_again(tmp_path: Path) -> None:
    with _two_turns_taken(tmp_path) as (server, key, end_one), server.http(key) as http:
        body = _batch("1", _log("x"))
        refused = http.post(PATH, content=body)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert refused.json()["error"]["code"] == "Overloaded"
        assert http.get("/healthz").is_success, "only devices are told so"
        assert server.metric(REFUSED_REQUESTS) > 0

        end_one()

        assert _post(server, key, body).status_code == 202


def test_who_comes_again_at_once_is_not_read_at_once(tmp_path: Path) -> None:
    """Read at once, it would be refused again: no turn is free when it is sent."""
    with _two_turns_taken(tmp_path) as (server, key, end_one), server.http(key) as other:
        body = _batch("1", _log("x"))
        with _connected(server) as impatient:
            request = _head(key, body) + body
            impatient.sendall(request)
            assert b" 503 " in impatient.recv(4_096)

            impatient.sendall(request)
            assert other.get("/healthz").is_success
            end_one()

            assert b" 202 " in impatient.recv(4_096)


@contextmanager
def _two_turns_taken(folder: Path) -> Iterator[tuple[RunningServer, str, Callable[[], None]]]:
    """A server with two turns, each taken by who does not end its body; and what ends one."""
    with running_server(
        folder / "home",
        ENGAGEMENT_COLLECT_CONCURRENT="2",
        ENGAGEMENT_ADDRESS_SHARE_PERCENT="100",
        ENGAGEMENT_NETWORK_SHARE_PERCENT="100",
    ) as server:
        key = server.app()["appKey"]
        body = _batch("slow", _log("x"))
        with ExitStack() as closing:
            for _ in range(2):
                slow = closing.enter_context(_connected(server))
                slow.sendall(_head(key, body) + body[:5])
            wait_for(
                lambda: _post(server, key, body).status_code == 503, "two turns that are taken"
            )

            def end_one() -> None:
                slow.sendall(body[5:])
                assert b" 202 " in slow.recv(4_096)

            yield server, key, end_one


def _connected(server: RunningServer) -> socket.socket:
    host, port = server.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=WAIT_SECONDS_MAX)


def _head(key: str, body: bytes) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode()
