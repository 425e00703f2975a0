"""Tests by HTTP, clients and commands that an app's owner rules its keys, name and end."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator

import pytest

import engagement
from engagement.exceptions import BadInputError, UnknownAppError, UnknownAppKeyError
from engagement.server.collection.native import PATH
from support.batches import everything
from support.server_process import FIRST_APP, Credentials, RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX, wait_for

REVOKED_SECONDS_MAX = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("apps") / "home") as server:
        yield server


@pytest.fixture(scope="module")
def owner(server: RunningServer) -> Credentials:
    return server.client("owner", name="the owner")


def access(owner: Credentials) -> dict[str, str]:
    return {
        "tenant_id": owner.tenant_id,
        "client_id": owner.client_id,
        "client_secret": owner.client_secret,
    }


@pytest.fixture
def client(server: RunningServer, owner: Credentials) -> Iterator[engagement.Client]:
    with engagement.Client(server.address, **access(owner)) as client:
        yield client


def post(server: RunningServer, key: str, number: int = 1) -> int:
    """The status of what a device posts with a key."""
    with server.http(key) as http:
        return http.post(PATH, content=everything(number)).status_code


def test_a_key_that_is_revoked_is_refused_within_seconds(
    server: RunningServer, client: engagement.Client
) -> None:
    app = client.app(FIRST_APP)
    made = client.create_key(app, "android")
    assert post(server, made.app_key) == 202

    client.revoke_key(app, made.key.key_id)

    wait_for(
        lambda: post(server, made.app_key) == 401,
        "the end of a key",
        seconds_max=REVOKED_SECONDS_MAX + WAIT_SECONDS_MAX,
    )
    found = {key.key_id: key for key in client.list_keys(app)}[made.key.key_id]
    assert found.revoked_at is not None
    assert found.last_used_at is not None
    with pytest.raises(UnknownAppKeyError):
        client.revoke_key(app, "nothing")


def test_an_app_is_renamed_and_deleted_by_its_owner(
    server: RunningServer, client: engagement.Client
) -> None:
    made = server.app()
    assert post(server, made["appKey"]) == 202
    app = client.app(made["appId"])

    renamed = client.rename_app(app, "renamed")

    assert client.app("renamed") == renamed
    with pytest.raises(BadInputError, match="Nothing was deleted"):
        client.delete_app(renamed, confirm=app.name)
    assert client.delete_app(renamed, confirm="renamed") == 0
    with pytest.raises(UnknownAppError):
        client.app(made["appId"])
    assert made["appId"] not in {app["appId"] for app in server.command("apps", "list")}
    assert not (server.log.parent / "home" / "lake" / made["appId"]).exists()
    wait_for(lambda: post(server, made["appKey"]) == 401, "the end of a deleted app's key")


def test_a_command_deletes_an_app_only_by_its_name(server: RunningServer) -> None:
    made = server.app()

    server.command("apps", "delete", made["appId"], "--confirm", "another", status=2)
    report = server.command("apps", "delete", made["appId"], "--confirm", made["name"])

    assert report["unfinished"] == 0
    server.command("apps", "delete", made["appId"], "--confirm", made["name"], status=2)


def test_who_changed_what_is_told_as_json_and_as_csv(
    server: RunningServer, owner: Credentials, client: engagement.Client
) -> None:
    app = client.app(server.app()["appId"])
    key = client.create_key(app, 'of "us", all')

    changes = [entry.change for entry in client.list_changes(app)]

    assert [change.action.value for change in changes] == ["key.create", "app.create"]
    assert [change.actor for change in changes] == [owner.client_id, "this machine"]
    with server.http(server.token(owner)) as http:
        query = {"api-version": "2026-11-01", "format": "csv", "top": "1"}
        answer = http.get(f"{app.resource_path}/auditLog", params=query)
        (row,) = csv.DictReader(io.StringIO(answer.text))
        assert key.key.key_id in row["subject"]
        following = answer.headers["Link"].partition(">")[0].removeprefix("<")
        (older,) = csv.DictReader(io.StringIO(http.get(following).text))
        assert older["action"] == "app.create"
    audited = server.command("audit", "--app", app.name)
    assert [entry["action"] for entry in audited] == ["key.create", "app.create"]
    done = subprocess.run(
        [sys.executable, "-m", "engagement", "audit", "--csv", "--action", "key.create"],
        env=dict(server.environment),
        capture_output=True,
        check=True,
        timeout=WAIT_SECONDS_MAX,
    )
    assert key.key.key_id in done.stdout.decode()
    assert key.app_key not in done.stdout.decode() + repr(audited) + answer.text


def test_a_wrong_key_body_names_what_was_wanted(server: RunningServer, owner: Credentials) -> None:
    with server.http(server.token(owner)) as http:
        query = {"api-version": "2026-11-01"}
        for body in ({}, {"name": ""}, {"name": "x", "endsAt": "2001-01-01T00:00:00Z"}, {"x": 1}):
            answer = http.post(f"{FIRST_APP}/keys", params=query, json=body)
            assert answer.status_code == 400, body
            assert answer.json()["error"]["message"]
        assert http.delete(FIRST_APP, params=query).status_code == 400
        assert http.get(f"{FIRST_APP}/keys", params={"api-version": "2014-12-01"}).status_code in {
            404,
            405,
        }
