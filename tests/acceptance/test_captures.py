"""Sends a server, twice, what real tracking SDKs once sent, and exports it once."""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engagement.model.exports import ExportType
from support.captures import CLIENTS, needs_captures, requests
from support.exporting import exported
from support.sdk_messages import derived_id
from support.server_process import RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX

pytestmark = needs_captures

PHONE = "b5372db0c21e11e48dfcaa07a5b093db"
ANON, AN1, D, OLD, U1 = (
    derived_id("device", text) for text in ("anon", "an1", "D", "old", "u1")
)  # fmt: skip
EXPECTED: dict[str, dict[str, list[tuple[Any, ...]]]] = {
    "segment-analytics-python": {
        "Activity": [(PHONE, "Home", {"x": 1}), (U1, "P", {})],
        "Event": [
            (PHONE, "Order Completed", {"total": 10, "items": '[{"sku":"a"}]'}),
            (ANON, "Gz", {"when": "2020-01-01"}),
        ],
        "Tag": [
            (PHONE, "plan", "pro"),
            (PHONE, "age", 3),
            (U1, "group_id", "g1"),
            (U1, "group_n", 1),
        ],
        "Token": [(PHONE, "APNS")],
        "Device": [(PHONE, "u1"), (U1, "u1"), (ANON, None), (OLD, "u1")],
    },
    "@segment/analytics-node": {
        "Activity": [(U1, "Home", {"a": 1}), (U1, "Pg", {"category": "c"})],
        "Event": [(D, "Ev", {"a": 1})],
        "Tag": [(U1, "plan", "pro"), (U1, "group_id", "g")],
        "Token": [(D, "GCM")],
        "Device": [(U1, "u1"), (D, None), (OLD, "u1")],
    },
    "@rudderstack/rudder-sdk-node": {
        "Activity": [(U1, "Home", None), (U1, "Pg", None)],
        "Event": [(AN1, "Ev", {"a": 1})],
        "Tag": [(U1, "plan", "pro"), (U1, "group_id", "g")],
        "Device": [(U1, "u1"), (AN1, None), (OLD, "u1")],
    },
    "rudder-sdk-python": {
        "Activity": [(U1, "Home", {"a": 1})],
        "Event": [(U1, "Ev", {"a": 1})],
        "Tag": [(U1, "plan", "pro")],
        "Device": [(U1, "u1")],
    },
}
"""What is exported of each client's messages: the fields named below, of every record."""
FIELDS = {
    "Activity": ("deviceId", "name", "extras"),
    "Event": ("deviceId", "name", "extras"),
    "Tag": ("deviceId", "key", "value"),
    "Token": ("deviceId", "type"),
    "Device": ("deviceId", "userId"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("captures")
    roots = str(tmp_path_factory.getbasetemp())
    with running_server(folder / "home", ENGAGEMENT_LOCAL_ROOTS=roots) as running:
        yield running


def _replayed(address: str, request: dict[str, Any], key: str) -> httpx.Response:
    """The answer to a request as it was made, but for the address and the key."""
    headers = {name.lower(): value for name, value in request["headers"]}
    del headers["host"], headers["content-length"]
    headers["authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    text = request["body"]
    if (recorded_key := json.loads(text).get("writeKey")) is not None:
        text = text.replace(f'"{recorded_key}"', f'"{key}"')
    body = text.encode()
    if headers.get("content-encoding") == "gzip":
        body = gzip.compress(body)
    return httpx.request(
        request["method"],
        address + request["path"],
        headers=headers,
        content=body,
        trust_env=False,
        timeout=WAIT_SECONDS_MAX,
    )


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_what_was_sent_twice_is_exported_once(
    server: RunningServer, client: str, tmp_path: Path
) -> None:
    app = server.app()
    recorded = [request for name, request in requests() if name == client]

    answers = [_replayed(server.address, item, app["appKey"]) for item in recorded * 2]

    types = [ExportType(name) for name in FIELDS]
    found = exported(server, server.client("owner"), app["appId"], tmp_path, types)
    assert [(answer.status_code, answer.text) for answer in answers] == [
        (200, '{"success":true}')
    ] * 2 * CLIENTS[client]
    content = {
        name: sorted(
            (tuple(record.get(field) for field in FIELDS[name]) for record in records), key=str
        )
        for name, records in found.items()
    }
    assert content == {name: sorted(rows, key=str) for name, rows in EXPECTED[client].items()}
    assert server.command("refused", "list", "--app", app["appId"]) == []
