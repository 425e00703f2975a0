"""Runs the published Node SDK of the API of 2014-12-01, unmodified, against a server.

It is what users of Azure Mobile Engagement have in their own programs today: `npm install
azure-arm-mobileengagement@1.0.0-preview`, a bearer token and our address.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.checkout import TESTS
from support.server_process import RunningServer, import_batches, running_server
from support.servers import AzureContainer, Azurite, install_node_packages, required_program
from support.waiting import WAIT_SECONDS_MAX, wait_for

FOLDER = TESTS / "sdk"
GROUP = "default"
APP = (GROUP, "default", "first")
DAYS = {"startDate": "2026-01-01", "endDate": "2026-01-03"}
WINDOW = {
    "campaignType": "Poll",
    "campaignWindowStart": "2026-01-01T00:00:00Z",
    "campaignWindowEnd": "2026-02-01T00:00:00Z",
}
CREATES = {
    "Activity": ("createActivitiesTask", DAYS),
    "Crash": ("createCrashesTask", DAYS),
    "Error": ("createErrorsTask", DAYS),
    "Event": ("createEventsTask", DAYS),
    "Job": ("createJobsTask", DAYS),
    "Session": ("createSessionsTask", DAYS),
    "Tag": ("createTagsTask", {}),
    "Token": ("createTokensTask", {}),
}
DEVICE_ID = "d" * 32


@dataclass(frozen=True, slots=True)
class Sdk:
    """The SDK with a token of ours."""

    server: RunningServer
    token: str

    def run(self, *calls: tuple[str, list[Any]]) -> list[dict[str, Any]]:
        """What each call came to."""
        body = {
            "baseUri": self.server.address,
            "token": self.token,
            "subscription": "default",
            "calls": [{"operation": name, "arguments": given} for name, given in calls],
        }
        done = subprocess.run(
            [required_program("node"), "run.js"],
            cwd=FOLDER,
            input=json.dumps(body),
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS_MAX,
        )
        assert done.returncode == 0, done.stderr
        outcomes: list[dict[str, Any]] = json.loads(done.stdout)
        return outcomes

    def results(self, *calls: tuple[str, list[Any]]) -> list[Any]:
        """The results of calls that succeed."""
        outcomes = self.run(*calls)
        assert [outcome["error"] for outcome in outcomes if "error" in outcome] == []
        return [outcome["result"] for outcome in outcomes]


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    """A server with one app, whose data is in the lake, and the SDK with an owner's token."""
    install_node_packages(FOLDER, "azure-arm-mobileengagement")
    folder = tmp_path_factory.mktemp("sdk")
    batches = folder / "batches.ndjson"
    batches.write_bytes(_batch())
    import_batches(folder / "home", batches)
    with running_server(folder / "home", ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS="1") as server:
        yield Sdk(server, server.token(server.client("owner")))


def _batch() -> bytes:
    at = "2026-01-02T10:00:00.000Z"
    logs = [
        {"type": "activity", "timestamp": at, "name": "Start", "sessionId": "s1"},
        {"type": "event", "timestamp": at, "name": "tap", "sessionId": "s1"},
        {"type": "error", "timestamp": at, "name": "oops"},
        {"type": "crash", "timestamp": at, "name": "NullPointer", "stack": "at main"},
        {"type": "job", "timestamp": at, "name": "load", "jobId": "j1"},
        {"type": "tags", "timestamp": at, "tags": {"level": 7}},
        {"type": "token", "timestamp": at, "token": "abc", "tokenType": "GCM"},
        {
            "type": "feedback",
            "timestamp": at,
            "campaignType": "Poll",
            "campaignId": 3,
            "status": "Queued",
        },
    ]
    body = {
        "batchId": "b1",
        "sentAt": at,
        "deviceId": DEVICE_ID,
        "userId": "ada",
        "info": {"phoneModel": "one"},
        "logs": logs,
    }
    return json.dumps(body).encode() + b"\n"


def _wait(sdk: Sdk, ids: list[str]) -> list[dict[str, Any]]:
    """The tasks when all of them have ended."""

    def find_ended() -> list[dict[str, Any]]:
        tasks = sdk.results(*(("exportTasks.get", [*APP, task_id]) for task_id in ids))
        return tasks if all(task["state"] in {"Succeeded", "Failed"} for task in tasks) else []

    return wait_for(find_ended, "the end of exports")


def _delivered(container: AzureContainer, task: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    folder = f"{task['exportType']}/{task['id']}"
    manifest = json.loads(container.admin.read(f"{folder}/manifest.json"))
    parts = b"".join(container.admin.read(f"{folder}/{part['name']}") for part in manifest["parts"])
    return manifest, parts


def test_it_creates_every_export_and_all_arrive(sdk: Sdk, azurite: Azurite) -> None:
    container = azurite.container()
    common = {"containerUrl": container.write_url, "exportFormat": "JsonBlob", "description": "d"}
    calls = [
        (f"exportTasks.{method}", [*APP, {**common, **given}]) for method, given in CREATES.values()
    ]
    calls.append(
        ("exportTasks.createFeedbackTaskByDateRange", [*APP, {**common, **WINDOW}]),
    )
    campaigns = {"campaignType": "Poll", "campaignIds": [3]}
    calls.append(
        ("exportTasks.createFeedbackTaskByCampaign", [*APP, {**common, **campaigns}]),
    )

    created = sdk.results(*calls)
    ended = _wait(sdk, [item["id"] for item in created])

    assert [item["exportType"] for item in ended] == [*CREATES, "Push", "Push"]
    assert {item["state"] for item in ended} == {"Succeeded"}
    assert {item["description"] for item in ended} == {"d"}
    for task in ended:
        manifest, parts = _delivered(container, task)
        assert sum(part["rows"] for part in manifest["parts"]) == 1, task
        assert DEVICE_ID.encode() in parts


def test_it_exports_csv(sdk: Sdk, azurite: Azurite) -> None:
    container = azurite.container()
    body = {"containerUrl": container.write_url, "exportFormat": "CsvBlob", **DAYS}

    created = sdk.results(("exportTasks.createEventsTask", [*APP, body]))
    ended = _wait(sdk, [created[0]["id"]])

    assert ended[0]["state"] == "Succeeded"
    assert b"tap" in _delivered(container, ended[0])[1]


def test_it_pages_through_the_tasks(sdk: Sdk, azurite: Azurite) -> None:
    body = {"containerUrl": azurite.container().write_url, "exportFormat": "JsonBlob"}
    sdk.results(*[("exportTasks.createTagsTask", [*APP, body])] * 3)

    first = sdk.results(("exportTasks.list", [*APP, {"top": 2, "orderby": "dateCreated desc"}]))[0]
    ids = []
    outcome = sdk.results(("exportTasks.list", [*APP, {"skip": 0}]))[0]
    ids += [item["id"] for item in outcome]

    assert len(first) == 2
    assert first[0]["dateCreated"] >= first[1]["dateCreated"]
    assert ids == sorted(ids)


def test_it_meets_our_errors_as_the_contract_has_them(sdk: Sdk) -> None:
    bad = {"containerUrl": "https://example.org/c?sig=x", "exportFormat": "JsonBlob"}

    outcomes = sdk.run(
        ("exportTasks.get", [*APP, "0" * 32]),
        ("exportTasks.list", [GROUP, "default", "other"]),
        ("exportTasks.createTagsTask", [*APP, bad]),
    )

    errors = [outcome["error"] for outcome in outcomes]
    assert [error["statusCode"] for error in errors] == [404, 404, 400]
    assert [error["code"] for error in errors] == ["UnknownTask", "UnknownApp", "EgressDenied"]


def test_it_finds_its_way(sdk: Sdk) -> None:
    collections, available, taken, apps, platforms = sdk.results(
        ("appCollections.list", []),
        ("appCollections.checkNameAvailability", [{"name": "new"}]),
        ("appCollections.checkNameAvailability", [{"name": "Default"}]),
        ("apps.list", [GROUP, "default"]),
        ("supportedPlatforms.list", []),
    )

    assert [collection["name"] for collection in collections] == ["default"]
    assert available["available"] is True
    assert taken["available"] is False
    assert [app["name"] for app in apps] == ["first"]
    assert "Android" in platforms["platforms"]


def test_it_reads_and_tags_devices(sdk: Sdk) -> None:
    listed, device, user = sdk.results(
        ("devices.list", [*APP]),
        ("devices.getByDeviceId", [*APP, DEVICE_ID]),
        ("devices.getByUserId", [*APP, "ada"]),
    )
    tagged, by_user = sdk.results(
        ("devices.tagByDeviceId", [*APP, {"tags": {DEVICE_ID: {"team": "red"}, "no": {}}}]),
        ("devices.tagByUserId", [*APP, {"tags": {"ada": {"plan": "pro"}, "eve": {"x": "y"}}}]),
    )
    after = sdk.results(("devices.getByDeviceId", [*APP, DEVICE_ID]))[0]

    assert [entry["deviceId"] for entry in listed] == [DEVICE_ID]
    assert device["appInfo"]["level"] == "7"
    assert device["info"]["phoneModel"] == "one"
    assert user["deviceId"] == DEVICE_ID
    assert tagged["invalidIds"] == ["no"]
    assert by_user["invalidIds"] == ["eve"]
    assert (after["appInfo"]["team"], after["appInfo"]["plan"]) == ("red", "pro")


def test_it_imports_tags(sdk: Sdk, azurite: Azurite) -> None:
    container = azurite.container()
    with azurite.client as client:
        blob = client.get_blob_client(container.name, "tags.json")
        blob.upload_blob(json.dumps({DEVICE_ID: {"imported": "yes"}}).encode())
    path, _, query = container.read_url.partition("?")

    created = sdk.results(
        ("importTasks.create", [*APP, {"storageUrl": f"{path}/tags.json?{query}"}])
    )[0]

    def find_ended() -> dict[str, Any] | None:
        (found,) = sdk.results(("importTasks.get", [created["id"], *APP]))
        return found if found["state"] in {"Succeeded", "Failed"} else None

    task = wait_for(find_ended, "the end of an import")
    listed = sdk.results(("importTasks.list", [*APP]))[0]
    device = sdk.results(("devices.getByDeviceId", [*APP, DEVICE_ID]))[0]

    assert task["state"] == "Succeeded", task
    assert "sig=" not in json.dumps(task)
    assert created["id"] in [entry["id"] for entry in listed]
    assert device["appInfo"]["imported"] == "yes"
