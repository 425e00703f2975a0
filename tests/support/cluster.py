"""Starts a cluster: collectors and workers on a PostgreSQL server and a lake in a bucket."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from support.bucket_lake import lake_environment
from support.postgres import PostgresServer, running_postgres
from support.servers import S3
from support.waiting import WAIT_SECONDS_MAX, waiting_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A process of the cluster."""

    process: subprocess.Popen[bytes]
    """The process."""
    hello: Mapping[str, Any]
    """What it said when it was ready."""
    log: Path
    """Its standard error."""

    @property
    def address(self) -> str:
        """Where a server listens."""
        return str(self.hello["address"])

    @property
    def executor_id(self) -> str:
        """What the cluster calls a worker."""
        return str(self.hello["executorId"])

    @property
    def first_key(self) -> str | None:
        """The key of the first app, if this server registered it."""
        path = self.hello.get("firstAppKeyFile")
        return None if path is None else Path(path).read_text(encoding="ascii").strip()

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS_MAX)

    def pause(self) -> None:
        """Stop it in its tracks, as a machine that hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


@dataclass
class Cluster:
    """A cluster of this machine; every process has a home folder of its own."""

    folder: Path
    """Where the home folders are."""
    database: PostgresServer
    """The database server."""
    environment: dict[str, str]
    """What every process sees."""
    machines: list[Machine] = field(default_factory=list)
    """All that were started."""

    def serve(self, *words: str, **settings: str) -> Machine:
        """A server that listens."""
        return self._start(["serve", "--port", "0", *words], settings)

    def work(self, *words: str, **settings: str) -> Machine:
        """A worker that works."""
        return self._start(["worker", *words], settings)

    def command(self, *words: str, status: int = 0, **settings: str) -> Any:
        """The JSON that a command prints."""
        done = subprocess.run(
            [sys.executable, "-m", "engagement", *words, "--json"],
            env=self._environment("commands", settings),
            capture_output=True,
            check=False,
            timeout=WAIT_SECONDS_MAX,
        )
        assert done.returncode == status, done.stderr.decode()
        # Warnings come before an error, each on a line of its own.
        output = done.stdout if status == 0 else b"".join(done.stderr.splitlines()[-1:])
        return json.loads(output or b"null")

    def begin(self, words: Sequence[str], settings: Mapping[str, str]) -> Machine:
        """Start a process without waiting for it."""
        name = f"machine-{len(self.machines)}"
        log = self.folder / f"{name}.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "engagement", *words, "--json"],
                env=self._environment(name, settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        machine = Machine(process=process, hello={}, log=log)
        self.machines.append(machine)
        return machine

    def await_hello(self, begun: Machine) -> Machine:
        """The same, when it is ready."""
        assert begun.process.stdout is not None
        with waiting_for("a process of the cluster"):
            hello = begun.process.stdout.readline()
        if not hello:
            pytest.fail(f"It must start, but it said: {begun.log.read_text()[-2_000:]}")
        return Machine(process=begun.process, hello=json.loads(hello), log=begun.log)

    def stop(self) -> None:
        """End everything."""
        for machine in self.machines:
            machine.process.kill()
            machine.process.wait(WAIT_SECONDS_MAX)
            if machine.process.stdout is not None:
                machine.process.stdout.close()

    def _start(self, words: Sequence[str], settings: Mapping[str, str]) -> Machine:
        return self.await_hello(self.begin(words, settings))

    def _environment(self, name: str, settings: Mapping[str, str]) -> dict[str, str]:
        home = {"ENGAGEMENT_HOME": str(self.folder / name)}
        return {**self.environment, **home, **settings}


@contextmanager
def running_cluster(folder: Path, s3: S3, **settings: str) -> Iterator[Cluster]:
    """A cluster without processes yet; all of them are killed at the end."""
    with (
        running_postgres(is_durable=True) as database,
        cluster_on(database, database.url, folder, s3, **settings) as cluster,
    ):
        yield cluster


@contextmanager
def cluster_on(
    database: PostgresServer, state_url: str, folder: Path, s3: S3, **settings: str
) -> Iterator[Cluster]:
    """Likewise, on a database of a server that others use too."""
    environment = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "ENGAGEMENT_STATE_URL": state_url,
        "ENGAGEMENT_VAULT_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "ENGAGEMENT_FLUSH_SECONDS": "1",
        **lake_environment(s3),
        **settings,
    }
    cluster = Cluster(folder=folder, database=database, environment=environment)
    try:
        yield cluster
    finally:
        cluster.stop()


def post_batch(
    address: str, app_key: str, batch: bytes, *, seconds_max: float = WAIT_SECONDS_MAX
) -> httpx.Response:
    """Send a native batch as a device does."""
    return httpx.post(
        f"{address}/collect/v1/batch",
        content=batch,
        headers={"Authorization": f"Bearer {app_key}"},
        timeout=seconds_max,
        trust_env=False,
    )


@contextmanager
def open_beside(cluster: Cluster) -> Iterator[Runtime]:
    """The service in this process, beside the cluster's own."""
    given = cluster.environment
    settings = Settings(
        home=cluster.folder / "here",
        state_url=given["ENGAGEMENT_STATE_URL"],
        lake_url=given["ENGAGEMENT_LAKE_URL"],
        vault_key=given["ENGAGEMENT_VAULT_KEY"],
    )
    with open_service(settings, run_tasks=False) as runtime:
        yield runtime
