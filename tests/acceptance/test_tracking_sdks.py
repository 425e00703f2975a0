"""Runs the published tracking SDKs, unmodified, against a server, and exports all.

Each runs in a process of its own that knows our address and a key of ours, and nothing else. What
the exports must hold is written down by hand.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engagement.model.exports import ExportType
from support.checkout import TESTS
from support.exporting import exported
from support.sdk_messages import MESSAGES, VISITOR, Json, expected_exports, from_phone
from support.server_process import Credentials, RunningServer, running_server
from support.servers import install_node_packages, required_program
from support.trouble import Trouble, troubled
from support.waiting import WAIT_SECONDS_MAX

FOLDER = TESTS / "sdk"
SDKS = {
    "segment-python": "analytics-python/2.4.0",
    "rudderstack-python": "analytics-python/2.1.9",
    "segment-node": "@segment/analytics-node/3.1.0",
    "rudderstack-node": "analytics-node/3.0.13",
}
"""What each SDK calls itself in its messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server, and who may export from it."""

    server: RunningServer
    owner: Credentials


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    install_node_packages(FOLDER, "@segment/analytics-node")
    folder = tmp_path_factory.mktemp("sdks")
    roots = str(tmp_path_factory.getbasetemp())
    with running_server(folder / "home", ENGAGEMENT_LOCAL_ROOTS=roots) as server:
        yield Place(server=server, owner=server.client("owner"))


def _send(sdk: str, address: str, key: str, messages: list[Json]) -> list[str | None]:
    """What an SDK in a process of its own says of each message: an error, or that it is there."""
    name, language = sdk.split("-")
    program = {
        "python": [sys.executable, "track.py"],
        "node": [required_program("node"), "track.js"],
    }
    order = {"sdk": name, "address": address, "key": key, "messages": messages}
    done = subprocess.run(
        program[language],
        cwd=FOLDER,
        env={},
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr
    outcomes: list[str | None] = json.loads(done.stdout)
    return outcomes


TIMES = ("timestamp", "start", "end", "firstSeen", "lastSeen", "lastInfo", "lastLocation")
"""Fields that hold times."""
UNTOLD = ("infoId", "locationId", "jobId", "recordId", "receivedAt")
"""What the service adds, which the SDKs know nothing of."""


def _check(records: list[Json], expected: list[Json], *, late_max: timedelta) -> None:
    """Records are what was expected, in any order, no more and no less.

    A device's clock is corrected by as long as the message was under way, so a time may be later
    than it was told, by no more than the SDK took in all.
    """
    assert len(records) == len(expected)
    for record, wanted in zip(_in_order(records), _in_order(expected), strict=True):
        for name in set(TIMES) & wanted.keys():
            lateness = _instant(record[name]) - _instant(wanted[name])
            assert timedelta(0) <= lateness <= late_max, (name, record)
        assert _without(record, *TIMES, *UNTOLD) == _without(wanted, *TIMES)


def _in_order(records: list[Json]) -> list[Json]:
    return sorted(records, key=lambda item: (item["deviceId"], item.get("key", "")))


def _instant(time: str | int) -> datetime:
    if isinstance(time, int):
        return datetime.fromtimestamp(time / 1000, UTC)
    return datetime.fromisoformat(time)


def _without(record: Json, *names: str) -> Json:
    return {name: value for name, value in record.items() if name not in names}


@pytest.mark.slow
@pytest.mark.parametrize("sdk", SDKS)
def test_everything_that_an_sdk_says_is_exported(place: Place, sdk: str, tmp_path: Path) -> None:
    app = place.server.app()
    began = time.monotonic()

    result = _send(sdk, place.server.address, app["appKey"], MESSAGES)

    took = timedelta(seconds=time.monotonic() - began)
    found = exported(place.server, place.owner, app["appId"], tmp_path)
    assert result == [None] * len(MESSAGES)
    assert set(found) == {item.value for item in ExportType}
    visit = next(item["sessionId"] for item in found["Session"] if item["deviceId"] == VISITOR)
    for name, expected in expected_exports(SDKS[sdk], visit=visit).items():
        _check(found[name], expected, late_max=took)
    records = [record for name in ("Event", "Error", "Crash", "Job") for record in found[name]]
    assert len({record["infoId"] for record in records}) == 1
    assert place.server.command("refused", "list", "--app", app["appId"]) == []


def test_digits_that_no_double_holds_are_kept(place: Place, tmp_path: Path) -> None:
    """Of Python's SDKs; JavaScript has no such numbers."""
    app = place.server.app()
    numbers = {"id": 12345678901234567890123, "least": -(2**63)}
    sdks = [item for item in SDKS if item.endswith("python")]

    for sdk in sdks:
        message = from_phone(1, "track", event=sdk, properties=numbers)
        assert _send(sdk, place.server.address, app["appKey"], [message]) == [None]

    found = exported(place.server, place.owner, app["appId"], tmp_path, [ExportType.EVENT])
    assert {item["name"]: item["extras"] for item in found["Event"]} == dict.fromkeys(sdks, numbers)


@pytest.mark.parametrize("sdk", [item for item in SDKS if item.endswith("python")])
def test_what_python_writes_and_json_lacks_costs_only_its_values(
    place: Place, sdk: str, tmp_path: Path
) -> None:
    """NaN, Infinity, halves of characters and old times; JavaScript's SDKs write null for them."""
    app = place.server.app()
    odd = {
        "nan": math.nan,
        "list": [1, -math.inf],
        "half": "a\ud83d",
        "in": {"x": math.inf},
        "n": 1,
    }
    messages = [
        from_phone(1, "track", event="before"),
        from_phone(2, "track", event="odd \udc00", properties=odd),
        from_phone(3, "track", event="old") | {"timestamp": "1999-12-31T23:59:59.999+00:00"},
        from_phone(4, "track", event="offset") | {"timestamp": "2025-06-01T15:30:04+05:30"},
        from_phone(5, "track", event="after"),
    ]

    assert _send(sdk, place.server.address, app["appKey"], messages) == [None] * len(messages)

    found = exported(place.server, place.owner, app["appId"], tmp_path, [ExportType.EVENT])
    events = {item["name"]: item for item in found["Event"]}
    assert set(events) == {"before", "odd \ufffd", "old", "offset", "after"}
    assert events["odd \ufffd"]["extras"] == {
        "list": "[1,null]",
        "half": "a\ufffd",
        "in": "{}",
        "n": 1,
    }
    assert events["old"]["timestamp"] == "1999-12-31T23:59:59.999Z"
    assert events["offset"]["timestamp"] == "2025-06-01T10:00:04.000Z"
    assert place.server.command("refused", "list", "--app", app["appId"]) == []


@pytest.mark.parametrize("sdk", SDKS)
def test_a_wrong_key_is_reported_as_a_failure(place: Place, sdk: str) -> None:
    result = _send(sdk, place.server.address, "wrong", MESSAGES[:3])

    assert len(result) == 3
    assert all(item is not None and ("401" in item or "Unauthorized" in item) for item in result)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", Trouble)
def test_every_message_arrives_once_in_spite_of_trouble(
    place: Place, trouble: Trouble, tmp_path: Path
) -> None:
    app = place.server.app()

    for sdk in SDKS:
        messages = [
            from_phone(second, "track", event=sdk, properties={"second": second})
            for second in range(12)
        ]
        with troubled(place.server.address, trouble) as passage:
            result = _send(sdk, passage.address, app["appKey"], messages)
        assert result == [None] * len(messages)
        assert len(passage.bodies) > 1

    found = exported(place.server, place.owner, app["appId"], tmp_path, [ExportType.EVENT])
    events = [(item["name"], item["extras"]["second"]) for item in found["Event"]]
    assert sorted(events) == sorted((sdk, second) for sdk in SDKS for second in range(12))
