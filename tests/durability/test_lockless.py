"""Shows that flushes and commits need no lock: processes do them side by side and are killed.

Two collectors, three flushers and two committers work on one app; some of them are killed or
stopped at random moments and started anew. What was acknowledged is in the lake once.
"""

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engagement.failpoints import Failpoint, no_failpoint
from engagement.model.records import Kind, new_guid
from engagement.store import lake as lake_module
from engagement.store.committing import Committer
from engagement.store.lake import Lake
from support.batches import NOW, batch, log
from support.home import Home, StoppedError, open_home, stop_at
from support.postgres import open_postgres
from support.waiting import join_threads, wait_for, wait_for_event

PROGRAM = Path(__file__).with_name("lockless.py")
ROLES = ("collect", "collect", "flush", "flush", "flush", "commit", "commit")
BATCHES_BETWEEN = 15
"""Acknowledged batches from one kill to the next."""
STOPS_SHARE = 0.5
"""Processes that are stopped for a while, not killed."""


class Processes:
    """The processes of a run, each started anew when it is killed."""

    def __init__(self, home: Home, state_url: str, plant: str | None) -> None:
        self._folder = home.folder
        self._given = [str(home.folder), state_url, home.app_id]
        self._plant = [] if plant is None else ["--plant", plant]
        self._logs: list[Path] = []
        self.running = [self._start(role) for role in ROLES]

    def acknowledged(self) -> list[str]:
        """The ids of all batches that a collector was told are durable."""
        return [name for out in self._logs for name in out.read_text().split("\n")[:-1]]

    def wait_for_batches(self, count: int) -> None:
        """Return only when so many more are acknowledged."""
        wanted = len(self.acknowledged()) + count
        wait_for(lambda: len(self.acknowledged()) >= wanted, f"{count} more batches")

    def kill(self, place: int) -> None:
        """End a process as a crash does, and start another in its place."""
        self.running[place].kill()
        self.running[place].wait()
        self.running[place] = self._start(ROLES[place])

    def end(self) -> None:
        """Kill all."""
        for process in self.running:
            process.kill()
            process.wait()

    def _start(self, role: str) -> subprocess.Popen[bytes]:
        out = self._folder / f"{role}-{len(self._logs)}.out"
        self._logs.append(out)
        command = [sys.executable, str(PROGRAM), role, *self._given]
        with out.open("wb") as stdout:
            return subprocess.Popen(
                [*command, *self._plant],
                stdout=stdout,
                env={"PYTHONPATH": str(PROGRAM.parents[1])},
            )


@contextmanager
def processes(home: Home, state_url: str, plant: str | None = None) -> Iterator[Processes]:
    started = Processes(home, state_url, plant)
    try:
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def state_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('state') / 'state.db'}"
        return
    with open_postgres() as url:
        yield url


def differences(home: Home, acknowledged: list[str]) -> dict[str, int]:
    """How many of the acknowledged batches are lost, and how many rows are doubled."""
    home.flush()
    found = Counter(home.rows(Kind.EVENT)["batch_id"])
    lost = set(acknowledged) - found.keys()
    return {"lost": len(lost), "doubled": sum(found.values()) - len(found)}


@pytest.mark.slow
def test_nothing_is_lost_or_doubled(state_url: str, tmp_path: Path, kills: int) -> None:
    seed = random.randrange(2**32)  # noqa: S311 - moments, not secrets
    dice = random.Random(seed)  # noqa: S311
    may_stop = state_url.startswith("postgresql")
    with open_home(tmp_path, state_url=state_url) as home:
        home.app_id = new_guid()
        with processes(home, state_url) as running:
            running.wait_for_batches(BATCHES_BETWEEN)
            for _ in range(kills):
                place = dice.randrange(len(ROLES))
                # SQLite has one writer: whoever is stopped while it writes would stop all others.
                if may_stop and ROLES[place] != "collect" and dice.random() < STOPS_SHARE:
                    running.running[place].send_signal(signal.SIGSTOP)
                    running.wait_for_batches(BATCHES_BETWEEN)
                    running.running[place].send_signal(signal.SIGCONT)
                else:
                    running.kill(place)
                    running.wait_for_batches(BATCHES_BETWEEN)
            acknowledged = running.acknowledged()

        assert differences(home, acknowledged) == {"lost": 0, "doubled": 0}, f"seed {seed}"


@pytest.mark.slow
def test_flushes_that_do_not_count_what_they_take_double_rows(
    state_url: str, tmp_path: Path
) -> None:
    with open_home(tmp_path, state_url=state_url) as home:
        home.app_id = new_guid()
        with processes(home, state_url, plant="count_ignored") as running:

            def doubled() -> bool:
                found = home.inbox.last_commits(home.app_id).get(Kind.EVENT)
                return found is not None and home.rows(Kind.EVENT)["batch_id"].is_duplicated().any()

            wait_for(doubled, "a batch that two flushes staged")
            running.end()


@pytest.mark.parametrize("is_planted", [False, True])
def test_a_committer_that_was_stopped_comes_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_planted: bool
) -> None:
    """Meanwhile another has done its commit, and a rewrite has replaced the files."""
    if is_planted:
        monkeypatch.setattr(lake_module, "find_newest_number", lambda _: 0)
    with open_home(tmp_path) as home:
        home.take(batch(log("event", 0, name="first"), batch_id="0"))
        home.accept(batch(log("event", 1, name="second"), batch_id="1"))
        home.on_failpoint = stop_at(Failpoint.FLUSH_STAGED)
        with pytest.raises(StoppedError):
            home.flush()
        home.on_failpoint = no_failpoint
        late = Lake(str(tmp_path / "lake"))
        is_frozen, goes_on = threading.Event(), threading.Event()

        def pause(point: Failpoint) -> None:
            if point is Failpoint.COMMIT_FROZEN and not is_frozen.is_set():
                is_frozen.set()
                wait_for_event(goes_on, "the other committer and the rewrite")

        stopped = Committer(home.inbox, home.staging, late, clock=lambda: NOW, on_failpoint=pause)
        thread = threading.Thread(target=stopped.commit, args=[home.app_id])
        thread.start()
        wait_for_event(is_frozen, "the commit to be frozen")
        Committer(home.inbox, home.staging, home.lake, clock=lambda: NOW).commit(home.app_id)
        home.upkeep().compact(home.app_id)
        goes_on.set()
        join_threads([thread], "the committer that was stopped")

        version = home.lake.require(home.app_id, Kind.EVENT).version()
        files = home.lake.files(home.app_id, Kind.EVENT, version)
        assert sum(file.rows for file in files) == (3 if is_planted else 2)
