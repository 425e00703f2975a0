"""Runs a server under load, and judges what it kept."""

import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from checker import ACKNOWLEDGED, Verdict, judge

from engagement import Client, operations
from engagement.model.access import NewClient, Role, Scope
from engagement.model.exports import ExportState
from engagement.runtime.opening import open_service
from engagement.settings import Settings
from support.server_process import RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX, wait_for, waiting_for

HERE = Path(__file__).parent
APPS = 2
PORTS_TRIED_MAX = 1_000
EXPORT_TYPES = ("Event", "Activity")
SPAN = {"start": date(2020, 1, 1), "end": date(2099, 12, 31)}


def free_port() -> int:
    """A port that nobody listens on, and from which no client's connection ever starts.

    While no server listens on an ephemeral port, a client that tries it can meet itself.
    """
    for _ in range(PORTS_TRIED_MAX):
        port = random.randrange(20_000, 30_000)  # noqa: S311
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    pytest.fail("A port must be free between 20000 and 30000.")


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
    _bytes_read: int = field(default=0, init=False)
    _instants: list[float] = field(default_factory=list, init=False)
    _statuses: list[int] = field(default_factory=list, init=False)

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
            try:
                process.communicate(timeout=WAIT_SECONDS_MAX)  # the end of its input ends it
            finally:
                process.kill()

    def statuses(self, *, since: float, until: float = float("inf")) -> Counter[int]:
        """What was answered between two instants of `time.monotonic`, and how often."""
        self._read_answers()
        first, end = (bisect_right(self._instants, instant) for instant in (since, until))
        return Counter(self._statuses[first:end])

    def acknowledged(self, *, since: float) -> int:
        """How many batches were acknowledged after an instant."""
        statuses = self.statuses(since=since)
        return sum(statuses[status] for status in ACKNOWLEDGED)

    def _read_answers(self) -> None:
        """Take in what the load has written since; whoever polls must not read it all each time."""
        if not self.log.exists():
            return
        with self.log.open("rb") as log:
            log.seek(self._bytes_read)
            whole = log.read().rpartition(b"\n")[0]
        self._bytes_read += len(whole) + bool(whole)
        for instant, what, _, *more in map(json.loads, whole.splitlines()):
            if what == "answered":
                self._instants.append(instant)
                self._statuses.append(more[0])

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
                assert task.result(WAIT_SECONDS_MAX).state is ExportState.SUCCEEDED
        return judge(self.log, folders, until=until)


class Load:
    """Devices that post, in a process of their own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def settle(self) -> None:
        """Return only when every batch is acknowledged, and no more come."""
        with waiting_for("the acknowledgement of every batch"):
            self._process.communicate(b"settle\n", 2 * WAIT_SECONDS_MAX)  # it gives up before
        assert self._process.returncode == 0, "every batch must be acknowledged"


def new_collector(
    folder: Path, *, seed: int, home: Path | None = None, **settings: str
) -> Collector:
    """A collector in a folder, its home elsewhere if wanted, with apps and without a server yet."""
    places = {"collection": "apps", "resource_group": "group", "subscription": "default"}
    home = home or folder / "home"
    with open_service(Settings(home=home), run_tasks=False) as runtime:
        made = [operations.create_app(runtime, name=f"app {n}", **places) for n in range(APPS)]
        client = operations.create_client(runtime, name="owner", role=Role.OWNER, scope=Scope())
    return Collector(
        home=home,
        out=folder / "out",
        log=folder / "load.log",
        seed=seed,
        settings=settings,
        client=client,
        keys=[item.app_key for item in made],
        paths=[item.app.resource_path for item in made],
    )


def wait_until(holds: Callable[[], object], what: str) -> float:
    """Return only when something holds; after how many seconds."""
    started = time.monotonic()
    wait_for(holds, what)
    return time.monotonic() - started


def note(text: str) -> None:
    """Leave a measurement beside the test's result; `pytest -rP` shows it."""
    sys.stdout.write(f"{text}\n")
