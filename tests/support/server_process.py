"""Starts the real server, `engagement serve`, and gets tokens for it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from engagement import operations
from engagement.model.access import Role, Scope
from engagement.runtime.opening import Runtime, open_service
from engagement.sample.population import generate
from engagement.settings import Settings
from support.waiting import WAIT_SECONDS_MAX, wait_for, waiting_for

RECORD_AGE_DAYS = "36500"
"""What tests post names days of its own, however late they run."""
FIRST_APP = (
    "/subscriptions/default/resourceGroups/default/providers/Microsoft.MobileEngagement"
    "/appcollections/default/apps/first"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What `engagement clients create` shows once."""

    tenant_id: str
    """A part of the token address."""
    client_id: str
    """Who."""
    client_secret: str = field(repr=False)
    """The proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server process on a home folder of its own."""

    address: str
    """Scheme, host and port."""
    process: subprocess.Popen[bytes]
    """The process."""
    environment: Mapping[str, str]
    """What it and the commands beside it see."""
    log: Path
    """Its standard error."""

    @property
    def worker_pid(self) -> int | None:
        """The process that flushes and exports for the server; None while there is none."""
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # the thread has just ended
                if children := (thread / "children").read_text().split():
                    return int(children[0])
        return None

    def kill(self) -> None:
        """End it as a crash does, without a chance to stop gently."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS_MAX)

    def command(self, *words: str, status: int = 0) -> Any:
        """The JSON that a command beside the server prints."""
        done = subprocess.run(
            [sys.executable, "-m", "engagement", *words, "--json"],
            env=dict(self.environment),
            capture_output=True,
            check=False,
            timeout=WAIT_SECONDS_MAX,
        )
        assert done.returncode == status, done.stderr.decode()
        return json.loads(done.stdout or b"null")

    def app(self) -> dict[str, str]:
        """A new app, with its id and key."""
        place = {"collection": "default", "resource_group": "default", "subscription": "default"}
        with self._beside() as runtime:
            made = operations.create_app(runtime, name=f"app {time.monotonic_ns()}", **place)
        return {
            "appId": made.app.app_id,
            "appKey": made.app_key,
            "name": made.app.name,
            "resourcePath": made.app.resource_path,
        }

    def client(self, role: str, *, scope: str = "/", name: str | None = None) -> Credentials:
        """A new client."""
        with self._beside() as runtime:
            made = operations.create_client(
                runtime,
                name=name or f"{role} {time.monotonic_ns()}",
                role=Role(role),
                scope=Scope.parse(scope),
            )
        return Credentials(
            tenant_id=made.tenant_id,
            client_id=made.client.client_id,
            client_secret=made.client_secret,
        )

    def _beside(self) -> AbstractContextManager[Runtime]:
        """What a command beside the server opens; a process for each would cost a second."""
        return open_service(Settings.from_environment(self.environment), run_tasks=False)

    def token(self, credentials: Credentials) -> str:
        """An access token of a client."""
        address, form = self.token_request(credentials)
        answer = httpx.post(address, data=form, trust_env=False, timeout=WAIT_SECONDS_MAX)
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    def token_request(self, credentials: Credentials) -> tuple[str, dict[str, str]]:
        """Where a client gets its access tokens, and the form to post there."""
        return f"{self.address}/{credentials.tenant_id}/oauth2/v2.0/token", {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "scope": "https://management.azure.com/.default",
        }

    def metric(self, name: str) -> float:
        """The value of a metric, 0 while there is none."""
        with self.http() as http:
            lines = http.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0)

    def http(self, token: str | None = None) -> httpx.Client:
        """A client of the API, with a token if one is given."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(
            base_url=self.address, headers=headers, timeout=WAIT_SECONDS_MAX, trust_env=False
        )


def import_batches(home: Path, batches: Path, **settings: str) -> None:
    """Take a file of batches into a new home's first app, before a server runs on it."""
    place = {"collection": "default", "resource_group": "default", "subscription": "default"}
    # In this process: two of the command line would cost three seconds.
    with open_service(Settings.from_environment(_environment(home, settings))) as runtime:
        app = operations.create_app(runtime, name="first", **place).app
        lines = batches.read_bytes().splitlines(keepends=True)
        operations.import_batches(runtime, app_id=app.app_id, lines=lines)


def import_sample(home: Path, *, devices: int, days: int, seed: int) -> None:
    """Take a generated sample into a new home's first app, before a server runs on it."""
    batches = home.parent / "batches.ndjson"
    batches.write_bytes(b"\n".join(generate(devices=devices, days=days, seed=seed)))
    import_batches(home, batches)


@contextmanager
def running_server(home: Path, *arguments: str, **settings: str) -> Iterator[RunningServer]:
    """`engagement serve` on a free loopback port; unless killed it must stop gently at the end.

    Args:
        home: Its home folder.
        arguments: Further words of the command.
        settings: Environment variables.
    """
    environment = _environment(home, settings)
    home.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"{home.name}.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "engagement", "serve", "--port", "0", "--json", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert process.stdout is not None
        with waiting_for("the address of a server"):
            hello = process.stdout.readline()
        if not hello:
            pytest.fail(f"The server must start, but it said: {log.read_text()[-2_000:]}")
        server = RunningServer(
            address=json.loads(hello)["address"],
            process=process,
            environment=environment,
            log=log,
        )
        _wait_until_ready(server)
        yield server
    finally:
        expected = process.poll() or 0
        process.terminate()
        try:
            status = process.wait(WAIT_SECONDS_MAX)
        finally:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()
    assert status == expected in {0, -signal.SIGKILL}, log.read_text()[-2_000:]


def _environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "ENGAGEMENT_HOME": str(home),
        "ENGAGEMENT_RECORD_AGE_DAYS": RECORD_AGE_DAYS,
        **settings,
    }


def _wait_until_ready(server: RunningServer) -> None:
    def is_ready() -> bool:
        if server.process.poll() is not None:
            pytest.fail(f"The server must be ready, but it said: {server.log.read_text()[-2_000:]}")
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{server.address}/readyz", trust_env=False).is_success
        return False

    wait_for(is_ready, "a server that is ready")
