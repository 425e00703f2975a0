"""Knocks at the door for tracking messages with whatever somebody might send."""

import gzip
import json
import math
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from engagement.model.exports import ExportType
from support.exporting import exported
from support.server_process import RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX, wait_for

TYPES = ("track", "screen", "page", "identify", "group", "alias")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("door")
    roots = str(tmp_path_factory.getbasetemp())
    with running_server(folder / "home", ENGAGEMENT_LOCAL_ROOTS=roots) as running:
        yield running


@pytest.fixture
def app(server: RunningServer) -> dict[str, str]:
    """A new app with its key."""
    return server.app()


def _post(
    server: RunningServer, path: str, body: Any, key: str = "", **headers: str
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    auth = (key, "") if key else None
    return httpx.post(
        server.address + path,
        content=content,
        auth=auth,
        headers=headers,
        trust_env=False,
        timeout=WAIT_SECONDS_MAX,
    )


def _counted(server: RunningServer, app: dict[str, str]) -> dict[str, int]:
    counted = server.command("refused", "count", "--app", app["appId"])
    return {item["code"]: item["records"] for item in counted}


def test_a_path_tells_what_a_message_is(
    server: RunningServer, app: dict[str, str], tmp_path: Path
) -> None:
    content = {"name": "n", "event": "e", "groupId": "g", "traits": {"t": 1}, "previousId": "p"}
    paths = [f"/v1/{item}" for name in TYPES for item in (name, name[0], f"{name}/")]

    for number, path in enumerate(paths):
        answer = _post(server, path, {**content, "userId": f"u{number}"}, app["appKey"])
        assert (answer.status_code, answer.text) == (200, '{"success":true}')

    types = [ExportType.EVENT, ExportType.ACTIVITY, ExportType.TAG]
    found = exported(server, server.client("owner"), app["appId"], tmp_path, types)
    assert [item["name"] for item in found["Event"]] == ["e"] * 3
    assert [item["name"] for item in found["Activity"]] == ["n"] * 6
    keys = sorted(item["key"] for item in found["Tag"])
    assert keys == ["group_id"] * 3 + ["group_t"] * 3 + ["t"] * 3


def test_slashes_of_a_path_do_not_matter(
    server: RunningServer, app: dict[str, str], tmp_path: Path
) -> None:
    paths = ["//v1/batch", "/v1//batch", "///v1//batch//", "//v1/track", "/v1///b"]
    for number, path in enumerate(paths):
        message = {"event": path, "messageId": f"s{number}", "userId": "u"}
        sent = message if path.endswith("track") else {"batch": [{"type": "track", **message}]}
        answer = _post(server, path, sent, app["appKey"])
        assert (answer.status_code, answer.text) == (200, '{"success":true}')
    assert _post(server, "//collect//v1/batch/", {}, app["appKey"]).status_code == 400
    for path in ("//v1//projects/key/settings", "//sourceConfig/"):
        assert httpx.get(server.address + path, trust_env=False).status_code == 200

    found = exported(server, server.client("owner"), app["appId"], tmp_path, [ExportType.EVENT])
    assert sorted(item["name"] for item in found["Event"]) == sorted(paths)


def test_what_is_repaired_or_left_out_is_counted(
    server: RunningServer, app: dict[str, str]
) -> None:
    def counted(name: str) -> float:
        return server.metric(f'engagement_{name}_total{{protocol="tracking"}}')

    first = {"type": "track", "event": "e", "userId": "u", "timestamp": "2026-01-01"}
    sent = json.dumps({"batch": [first | {"properties": {"a": math.nan, "b": [math.inf]}}]})
    body = gzip.compress(sent.encode()) + b"more"
    for _ in range(2):
        assert _post(server, "/v1/batch", body, app["appKey"]).status_code == 200

    wait_for(lambda: counted("bodies_with_trailing_bytes") == 2, "the bodies to be counted")
    assert counted("values_repaired") >= 4
    assert _counted(server, app) == {}


def test_a_key_in_the_header_counts_before_one_in_the_body(
    server: RunningServer, app: dict[str, str]
) -> None:
    message = {"type": "track", "event": "x", "userId": "u"}

    both = _post(server, "/v1/track", message | {"writeKey": "wrong"}, app["appKey"])
    wrong_header = _post(server, "/v1/track", message | {"writeKey": app["appKey"]}, "wrong")
    neither = _post(server, "/v1/track", message)

    assert both.status_code == 200
    assert [(item.status_code, item.text) for item in (wrong_header, neither)] == [
        (401, "invalid write key")
    ] * 2


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"not json", {}, "CorruptInput"),
        (b'{"batch":[]}', {}, "CorruptInput"),
        (b"\x1f\x8b broken", {"Content-Encoding": "gzip"}, "CorruptInput"),
        (b'{"batch":[{}]}', {"Content-Encoding": "br"}, "UnsupportedEncoding"),
        (gzip.compress(b" " * 20_000_000), {"Content-Encoding": "gzip"}, "RequestTooLarge"),
    ],
)
def test_a_body_that_cannot_be_read_is_kept_aside_and_the_sdk_goes_on(
    server: RunningServer,
    app: dict[str, str],
    body: bytes,
    headers: dict[str, str],
    code: str,
) -> None:
    for _ in range(2):
        answer = _post(server, "/v1/batch", body, app["appKey"], **headers)
        assert (answer.status_code, answer.text) == (200, '{"success":true}')

    assert _counted(server, app) == {code: 1}


def test_a_message_is_refused_alone(
    server: RunningServer, app: dict[str, str], tmp_path: Path
) -> None:
    known = {"userId": "u", "type": "track"}
    batch = [
        {**known, "messageId": "1", "event": "before"},
        {**known, "messageId": "2", "event": ""},
        {**known, "messageId": "3", "type": "dance"},
        {"messageId": "4", "type": "track", "event": "nobody's"},
        "no message",
        {**known, "messageId": "5", "event": "after"},
    ]

    answer = _post(server, "/v1/batch", {"batch": batch}, app["appKey"])

    types = [ExportType.EVENT]
    found = exported(server, server.client("owner"), app["appId"], tmp_path, types)
    assert answer.status_code == 200
    assert sorted(item["name"] for item in found["Event"]) == ["after", "before"]
    codes = {"bad_name": 1, "unknown_type": 1, "no_device": 1, "bad_field": 1}
    assert _counted(server, app) == codes


def test_who_comes_when_all_places_are_taken_is_told_to_come_again(tmp_path: Path) -> None:
    with running_server(tmp_path / "home", ENGAGEMENT_COLLECT_CONCURRENT="1") as server:
        key = server.app()["appKey"]
        message = {"type": "track", "event": "x", "userId": "u"}
        address = urlsplit(server.address)
        assert address.port is not None
        with closing(socket.create_connection((address.hostname, address.port))) as slow:
            slow.sendall(b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            refused = _answered(server, key, message, status=503)

        assert refused.json()["error"]["code"] == "Overloaded"
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Access-Control-Allow-Origin"] == "*"
        assert _answered(server, key, message, status=200).json() == {"success": True}


def _answered(server: RunningServer, key: str, message: Any, *, status: int) -> httpx.Response:
    """The first answer with this status."""

    def find_answer() -> httpx.Response | None:
        answer = _post(server, "/v1/track", message, key)
        return answer if answer.status_code == status else None

    return wait_for(find_answer, f"an answer with status {status}")
