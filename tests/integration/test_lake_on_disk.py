"""Tests that all of a flush is on disk before a batch leaves the inbox."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engagement.failpoints import Failpoint
from engagement.store.lake import Lake
from support.checkout import TESTS
from support.waiting import WAIT_SECONDS_MAX


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


_CHILD = """
import os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from support.batches import everything
from support.home import open_home
from engagement.store import lake

folder = Path(sys.argv[1])
if sys.argv[2] == "unsynced":
    lake.sync_commit = lambda commit_file: None
    lake.sync_files = lambda table, paths: None


def on_failpoint(point):
    os.close(os.open(folder / f"point-{point}", os.O_CREAT | os.O_WRONLY))


with open_home(folder) as home:
    home.on_failpoint = on_failpoint
    for number in range(2):
        home.take(everything(number))
    upkeep = home.upkeep()
    upkeep.compact(home.app_id)
    upkeep.vacuum(home.app_id, before=datetime.now(UTC) + timedelta(days=1))
    home.take(everything(2))
"""
_CALL = re.compile(r"^\d+ +(?P<call>\w+)\((?P<arguments>.*)$")
_SYNCS = {"fsync", "fdatasync"}


@dataclass
class Traced:
    """What a process did to files, in order; each as its place in that order."""

    made: list[tuple[int, Path]] = field(default_factory=list)
    """Files and folders that got their name."""
    synced: list[tuple[int, Path]] = field(default_factory=list)
    """Files and folders that were brought to disk."""
    points: list[tuple[int, str]] = field(default_factory=list)
    """Points that were reached."""


def trace_of(folder: Path, mode: str) -> Traced:
    """What a process that flushes, compacts, vacuums and flushes again does to files."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace, to see what is brought to disk and when")
    out = folder / "trace"
    calls = "fsync,fdatasync,openat,rename,renameat,renameat2,link,linkat,mkdir,mkdirat"
    command = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={calls}", "-o", str(out)]
    child = [sys.executable, "-c", _CHILD, str(folder / "home"), mode]
    (folder / "home").mkdir()
    done = subprocess.run(
        [*command, *child],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )
    if "PTRACE" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return _parsed(out.read_text().splitlines())


def _parsed(lines: list[str]) -> Traced:
    traced = Traced()
    for place, line in enumerate(lines):
        call = _CALL.match(line)
        if call is None or " = -1 " in line:
            continue
        if call["call"] in _SYNCS:
            traced.synced.append((place, Path(call["arguments"].split("<", 1)[1].split(">", 1)[0])))
            continue
        *_, name = re.findall(r'"((?:[^"\\]|\\.)*)"', call["arguments"])
        if Path(name).name.startswith("point-"):
            traced.points.append((place, Path(name).name.removeprefix("point-")))
        elif call["call"] != "openat" or "O_CREAT" in call["arguments"]:
            traced.made.append((place, Path(name)))
    return traced


def not_on_disk(traced: Traced, lake: Path) -> Iterator[Path]:
    """Lake files and folders that a power loss just before some record could take away."""
    for record, point in traced.points:
        if point not in {Failpoint.FLUSH_FILES_WRITTEN, Failpoint.COMMIT_IN_LAKE}:
            continue
        for made, path in traced.made:
            # A name with # is a file that is being written; it is made again under its own name.
            if made > record or not path.is_relative_to(lake) or "#" in path.name:
                continue
            yield from {path, path.parent} - {
                item for place, item in traced.synced if made < place < record
            }


def test_everything_is_on_disk_before_it_is_recorded(tmp_path: Path) -> None:
    traced = trace_of(tmp_path, "as it is")

    made = {path.suffix for _, path in traced.made if path.is_relative_to(tmp_path / "home/lake")}
    assert {".json", ".parquet"} <= made
    assert set(not_on_disk(traced, tmp_path / "home/lake")) == set()
    for begin, end in (
        (Failpoint.FLUSH_FILES_WRITTEN, Failpoint.FLUSH_STAGED),
        (Failpoint.COMMIT_IN_LAKE, Failpoint.COMMIT_RECORDED),
    ):
        ends = [place for place, point in traced.points if point == end]
        assert len(ends) >= 3
        for place in ends:
            start = max(at for at, point in traced.points if point == begin and at < place)
            recorded = {path.name for at, path in traced.synced if start < at < place}
            assert "state.db-wal" in recorded


def test_a_flush_that_forgets_to_sync_is_found_out(tmp_path: Path) -> None:
    traced = trace_of(tmp_path, "unsynced")

    lost = {path.suffix for path in not_on_disk(traced, tmp_path / "home/lake")}
    assert {".json", ".parquet"} <= lost
