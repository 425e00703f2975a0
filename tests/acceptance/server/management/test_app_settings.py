"""Tests that how long an app's history is kept is set by each door, and shown by each."""

from collections.abc import Iterator

import pytest

from engagement import Client
from engagement.cli.exit_statuses import EXIT_BAD_INPUT
from engagement.exceptions import BadInputError, ForbiddenError
from support.command_line import Shell
from support.server_process import FIRST_APP, Credentials, RunningServer, running_server

PUBLISHED, CURRENT = "2014-12-01", "2026-11-01"
COLLECTION = FIRST_APP.rsplit("/", 1)[0]
RETENTION = f"{FIRST_APP}/retention"
TOO_MANY = 36_501


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(folder=tmp_path_factory.mktemp("apps"))


@pytest.fixture(scope="module")
def server(shell: Shell) -> Iterator[RunningServer]:
    with running_server(shell.folder / "home") as running:
        yield running


@pytest.fixture(scope="module")
def owner(server: RunningServer) -> Credentials:
    return server.client("owner")


def _client(server: RunningServer, credentials: Credentials) -> Client:
    return Client(
        server.address,
        tenant_id=credentials.tenant_id,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
    )


def test_each_door_sets_what_all_show(
    server: RunningServer, shell: Shell, owner: Credentials
) -> None:
    with server.http(server.token(owner)) as http, _client(server, owner) as client:

        def listed_days() -> set[int | None]:
            query = {"api-version": CURRENT}
            alone = http.get(FIRST_APP, params=query).json()
            (listed,) = http.get(COLLECTION, params=query).json()["value"]
            (of_client,) = client.apps()
            (of_command,) = shell.json("apps", "list")
            return {
                alone["properties"].get("retentionDays"),
                listed["properties"].get("retentionDays"),
                of_client.retention_days,
                of_command["retentionDays"],
            }

        app_id = client.app(FIRST_APP).app_id
        assert listed_days() == {None}
        changed = http.put(RETENTION, params={"api-version": CURRENT}, json={"days": 90})
        assert changed.json()["properties"]["retentionDays"] == 90
        assert listed_days() == {90}
        assert client.set_retention(FIRST_APP, 60).retention_days == 60
        assert client.app(FIRST_APP).retention_days == 60
        assert listed_days() == {60}
        changed_here = shell.json("apps", "retention", app_id, "--days", "30")
        assert changed_here == shell.json("apps", "retention", app_id)
        assert listed_days() == {30} == {changed_here["retentionDays"]}
        assert shell.json("apps", "retention", app_id, "--keep-all")
        assert client.set_retention(app_id, None).retention_days is None
        assert listed_days() == {None}


def test_the_published_version_knows_nothing_of_it(
    server: RunningServer, shell: Shell, owner: Credentials
) -> None:
    with server.http(server.token(owner)) as http, _client(server, owner) as client:
        client.set_retention(FIRST_APP, 90)
        query = {"api-version": PUBLISHED}

        (listed,) = http.get(COLLECTION, params=query).json()["value"]

        assert set(listed["properties"]) == {"backendId", "platform", "appState"}
        assert http.get(FIRST_APP, params=query).status_code == 404
        assert http.put(RETENTION, params=query, json={"days": 90}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"days": 0},
        {"days": TOO_MANY},
        {"days": True},
        {"days": "90"},
        {"days": 1.5},
        {"retentionDays": 90},
        {},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_its_name(
    server: RunningServer, owner: Credentials, body: dict[str, object]
) -> None:
    with server.http(server.token(owner)) as http:
        before = http.get(FIRST_APP, params={"api-version": CURRENT}).json()

        answer = http.put(RETENTION, params={"api-version": CURRENT}, json=body)

        assert answer.status_code == 400
        assert "days" in answer.text
        assert http.get(FIRST_APP, params={"api-version": CURRENT}).json() == before


def test_only_owners_set_it(server: RunningServer, owner: Credentials) -> None:
    with _client(server, server.client("exporter")) as client:
        assert client.app(FIRST_APP)
        with pytest.raises(ForbiddenError, match="owner"):
            client.set_retention(FIRST_APP, 30)
    with (
        _client(server, owner) as client,
        pytest.raises(BadInputError, match=f"1 to 36,500 days, got {TOO_MANY}"),
    ):
        client.set_retention(FIRST_APP, TOO_MANY)


def test_commands_say_what_cannot_be(server: RunningServer, shell: Shell) -> None:
    (app,) = shell.json("apps", "list")
    words = ("apps", "retention", app["appId"])

    for days in (0, TOO_MANY):
        code, message = shell.error(*words, "--days", str(days), status=EXIT_BAD_INPUT)
        assert (code, f"got {days}" in message) == ("BadInput", True)
    code, _ = shell.error(*words, "--days", "3", "--keep-all", status=EXIT_BAD_INPUT)
    assert code == "BadInput"
    code, _ = shell.error("apps", "retention", "f" * 32, status=EXIT_BAD_INPUT)
    assert code == "UnknownApp"
