"""Tests that commands rule the keys of an app beside a server, which goes by it at once."""

from pathlib import Path

from engagement.server.collection.native import PATH
from support.batches import everything
from support.server_process import FIRST_APP, RunningServer, running_server


def post(server: RunningServer, key: str) -> int:
    """The status of what a device posts with a key."""
    with server.http(key) as http:
        return http.post(PATH, content=everything(1)).status_code


def test_a_command_rotates_a_key_beside_the_server(tmp_path: Path) -> None:
    with running_server(tmp_path / "home") as server:
        rule(server)


def rule(server: RunningServer) -> None:
    """Make, exchange and revoke keys."""
    made = server.command("apps", "keys", "create", "first", "ios", "--days", "9")
    again = server.command("apps", "keys", "rotate", "FIRST", "ios", "--keep-days", "0")

    assert post(server, again["appKey"]) == 202
    assert post(server, made["appKey"]) == 401
    listed = {key["keyId"]: key for key in server.command("apps", "keys", "list", FIRST_APP)}
    assert listed[made["keyId"]]["isLive"] is False
    assert listed[again["keyId"]]["isLive"] is True
    server.command("apps", "keys", "revoke", "first", "nothing", status=2)
