"""This module runs a server under load, and judges what it kept."""

import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from checker import Verdict, judge

from engagement import Client, operations
from engagement.model.access import NewClient, Role, Scope
from engagement.model.exports import ExportState
from engagement.runtime import open_runtime
from engagement.settings import Settings
from serving import RunningServer, running_server

HERE = Path(__file__).parent
APPS = 2
EXPORT_SECONDS_MAX = 120
SETTLE_SECONDS_MAX = 150
WAIT_SECONDS_MAX = 60
POLL_SECONDS = 0.05
EXPORT_TYPES = ("Event", "Activity")
SPAN = {"start": date(2020, 1, 1), "end": date(2099, 12, 31)}


def free_port() -> int:
    """A port that nobody listens on, and from which no client's connection ever starts.

    While no server listens on an ephemeral port, a client that tries it can meet itself.
    """
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


def planting(bug: str | None) -> dict[str, str]:
    """What a server must see so that a bug of `planted` is in it."""
    return {} if bug is None else {"PYTHONPATH": str(HERE / "planting"), "PLANTED_BUG": bug}


@dataclass(slots=True, kw_only=True)
class Collector:
    """A home folder with apps, the port on which its servers listen, and the load's log."""

    home: Path
    """Of the servers; they may be killed and started anew as often as wanted."""
    out: Path
    """Where exports go."""
    log: Path
    """What the load wrote down."""
    seed: int
    """Of what the load posts."""
    settings: dict[str, str]
    """Environment variables of the servers."""
    client: NewClient
    """Who asks for exports."""
    keys: list[str]
    """Of the apps, in their order."""
    paths: list[str]
    """Resource paths of the apps."""
    port: int = field(default_factory=free_port)
    """The same for all servers, so that the load finds the next one."""

    @contextmanager
    def serving(self, *, plant: str | None = None) -> Iterator[RunningServer]:
        """A server, ready, with the bug of a name if one is planted."""
        self.out.mkdir(exist_ok=True)
        settings = {
            "ENGAGEMENT_LOCAL_ROOTS": str(self.out),
            "ENGAGEMENT_FLUSH_SECONDS": "1",
            **self.settings,
            **planting(plant),
        }
        with running_server(self.home, "--port", str(self.port), **settings) as server:
            yield server

    @contextmanager
    def load(self, *, drop: float = 0, pad: int = 10) -> Iterator["Load"]:
        """Devices that post to whatever server listens, until they settle or the test leaves.

        Args:
            drop: The share of answers that they do not wait for.
            pad: Characters to fill each log with.
        """
        apps = [f"--app={key}" for key in self.keys]  # one word, as a key may begin with a dash
        words = [*apps, "--drop", str(drop), "--pad", str(pad), "--seed", str(self.seed)]
        process = subprocess.Popen(
            [sys.executable, str(HERE / "load.py"), str(self.log), str(self.port), *words],
            stdin=subprocess.PIPE,
        )
        try:
            yield Load(process)
        finally:
            process.communicate()

    def statuses(self, *, since: float, until: float = float("inf")) -> Counter[int]:
        """What was answered between two instants of `time.monotonic`, and how often."""
        lines = [json.loads(line) for line in self.log.read_bytes().split(b"\n")[:-1]]
        answers = (line for line in lines if line[1] == "answered")
        return Counter(line[3] for line in answers if since < line[0] <= until)

    def verdict(self, server: RunningServer, *, until: float = float("inf")) -> Verdict:
        """What an export of every app says about what was acknowledged until an instant."""
        shutil.rmtree(self.out)
        self.out.mkdir()
        folders = [self.out / str(app) for app in range(len(self.paths))]
        with Client(
            server.address,
            tenant_id=self.client.tenant_id,
            client_id=self.client.client.client_id,
            client_secret=self.client.client_secret,
        ) as client:
            tasks = []
            for folder, path in zip(folders, self.paths, strict=True):
                folder.mkdir()
                tasks += [
                    client.create_export(
                        path, kind, folder.as_uri(), export_format="NdjsonBlob", **SPAN
                    )
                    for kind in EXPORT_TYPES
                ]
            for task in tasks:
                assert task.result(EXPORT_SECONDS_MAX).state is ExportState.SUCCEEDED
        return judge(self.log, folders, until=until)


class Load:
    """Devices that post, in a process of their own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def settle(self) -> None:
        """Return only when every batch is acknowledged, and no more come."""
        self._process.communicate(b"settle\n", SETTLE_SECONDS_MAX)
        assert self._process.returncode == 0, "every batch must be acknowledged"


def new_collector(
    folder: Path, *, seed: int, home: Path | None = None, **settings: str
) -> Collector:
    """A collector in a folder, its home elsewhere if wanted, with apps and without a server yet."""
    places = {"collection": "apps", "resource_group": "group", "subscription": "default"}
    home = home or folder / "home"
    with open_runtime(Settings(home=home), workers=False) as runtime:
        made = [operations.create_app(runtime, name=f"app {n}", **places) for n in range(APPS)]
        client = operations.create_client(runtime, name="owner", role=Role.OWNER, scope=Scope())
    return Collector(
        home=home,
        out=folder / "out",
        log=folder / "load.log",
        seed=seed,
        settings=settings,
        client=client,
        keys=[one.app_key for one in made],
        paths=[one.app.resource_path for one in made],
    )


def wait_until(holds: Callable[[], object], what: str) -> float:
    """Return only when something holds; after how many seconds."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() < started + WAIT_SECONDS_MAX, what
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started


def note(text: str) -> None:
    """Leave a measurement beside the test's result; `pytest -rP` shows it."""
    sys.stdout.write(f"{text}\n")
