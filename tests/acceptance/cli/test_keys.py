"""Tests the commands about keys, beside a server and after it, and what becomes of its tokens."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engagement import operations
from engagement.cli.exit_statuses import EXIT_FAILURE, EXIT_HOME_BUSY
from engagement.exceptions import NotAuthenticatedError
from engagement.runtime.opening import open_service
from engagement.server.auth.authentication import Authentication
from engagement.settings import Settings
from support.server_process import Credentials, RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX

PUBLIC_URL = "https://exports.example"


def fails_as(server: RunningServer, *words: str, status: int) -> str:
    """The code of the error with which a command on the server's home fails."""
    done = subprocess.run(
        [sys.executable, "-m", "engagement", *words, "--json"],
        env=dict(server.environment),
        capture_output=True,
        check=False,
        timeout=WAIT_SECONDS_MAX,
    )
    assert done.returncode == status, done.stderr.decode()
    code: str = json.loads(done.stderr.splitlines()[-1])["error"]["code"]
    return code


def is_accepted(home: Path, token: str) -> bool:
    with open_service(Settings(home=home), run_tasks=False) as runtime:
        authentication = Authentication(runtime, public_url=PUBLIC_URL)
        try:
            asyncio.run(authentication.caller(f"Bearer {token}"))
        except NotAuthenticatedError:
            return False
        return True


def gets_in(home: Path, client: Credentials) -> bool:
    with open_service(Settings(home=home), run_tasks=False) as runtime:
        found = operations.authenticate_client(runtime, client.client_id, client.client_secret)
        return found is not None


def test_keys_are_exchanged_and_a_loss_is_survived(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_server(home, ENGAGEMENT_PUBLIC_URL=PUBLIC_URL) as server:
        client = server.client("reader")
        token = server.token(client)
        before = server.command("keys", "status")
        for command in ("rotate", "reset"):
            assert fails_as(server, "keys", command, status=EXIT_HOME_BUSY) == "HomeBusy"

    rotated = server.command("keys", "rotate")
    assert is_accepted(home, token)
    (home / "keys" / "vault.key").unlink()
    assert fails_as(server, "serve", "--port", "0", status=EXIT_FAILURE) == "VaultKeyLost"
    assert fails_as(server, "keys", "rotate", status=EXIT_FAILURE) == "VaultKeyLost"
    lost = server.command("keys", "status")
    reset = server.command("keys", "reset")

    assert (before["vaultKey"], before["signingKey"], before["formerKeysEndAt"]) == (
        *("present", "present"),
        [],
    )
    assert rotated["vaultKeyId"] != before["vaultKeyId"]
    assert len(rotated["formerKeysEndAt"]) == 1
    assert (lost["vaultKey"], lost["vaultKeyId"]) == ("lost", rotated["vaultKeyId"])
    assert (reset["vaultKey"], reset["signingKey"]) == ("present", "present")
    assert not is_accepted(home, token)
    assert gets_in(home, client)


@pytest.mark.parametrize("words", [("status",), ("rotate", "--end-tokens"), ("reset",)])
def test_people_are_told_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engagement", "keys", *words],
        env={"ENGAGEMENT_HOME": str(tmp_path / "home")},
        capture_output=True,
        check=False,
        text=True,
        timeout=WAIT_SECONDS_MAX,
    )

    assert done.returncode == 0, done.stderr
    assert "vault key" in done.stdout
    assert "former signing keys end" in done.stdout
