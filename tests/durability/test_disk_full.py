"""Fills the disk under a server; it must say so, lose nothing, and go on by itself."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from collector import Collector, new_collector, note, wait_until
from delivered import exported
from disks import MIB, filled, integrity, small_disk
from killing import run_victim
from scene import new_scene

from support.server_process import RunningServer

DISK_MIB = 256
LEFT_BYTES_MAX = 4 * MIB
PAD = 900
"""Characters of each log, so that the disk is soon full."""
REFUSALS_MIN = 100
"""So many take longer than it is from one flush to the next."""

ENOUGH_BYTES = 4 * MIB
"""What importing the sample, or upkeep of it, needs at most."""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("place", [".", "home"])
def test_a_full_disk_loses_nothing_and_is_left_behind(
    tmp_path: Path, kills: int, seed: int, place: str
) -> None:
    """In the second place the server's log is on the disk too, and cannot be written."""
    dice = random.Random(seed)  # noqa: S311 - a plan to be repeated, not a secret
    with small_disk(tmp_path / "disk", size=DISK_MIB) as disk:
        collector = new_collector(tmp_path, home=disk / place, seed=seed)
        with collector.load(pad=PAD) as load, collector.serving() as server:
            slowest = 0.0
            for _ in range(max(1, kills // 2)):
                with filled(disk, leave=dice.randrange(LEFT_BYTES_MAX)):
                    await_failures(collector, server, log_is_elsewhere=place == ".")
                freed = time.monotonic()
                slowest = max(
                    slowest,
                    wait_until(lambda since=freed: collector.statuses(since=since)[202], "a 202"),
                )
            load.settle()
            wait_until(lambda: server.metric("engagement_inbox_logs") == 0, "a flush by itself")
            verdict = collector.verdict(server)
        sound = [integrity(path) for path in sorted(collector.home.glob("*.db"))]

    note(f"slowest to acknowledge again {slowest:.1f} s, {verdict}")
    assert verdict.damage == {}
    assert verdict.statuses.keys() <= {200, 202, 503, 507}
    assert verdict.hasty == 0
    assert sound == ["ok", "ok"]


@pytest.mark.parametrize("action", ["import", "upkeep"])
def test_work_on_a_disk_with_little_room_says_so_and_loses_nothing(
    tmp_path: Path, kills: int, action: str
) -> None:
    """With ever more room: from none at all to enough; what was not done is done afterwards."""
    scene = new_scene(tmp_path)
    subjects, days_ahead = [str(scene.sample), scene.app_id], 0
    if action == "upkeep":
        assert scene.import_sample().returncode == 0
        subjects, days_ahead = [scene.app_id], 60
    words = [*subjects, "--days-ahead", str(days_ahead)]
    golden = scene.copy(tmp_path / "golden")
    run_victim(golden, action, *words)
    expected = exported(golden)
    ends = Counter[str]()

    rests = max(2, kills // 2)
    with small_disk(tmp_path / "disk", size=DISK_MIB) as disk:
        for number in range(rests):
            here = scene.copy(disk / "home")
            with filled(disk, leave=ENOUGH_BYTES * number // (rests - 1)):
                ended = here.run(action, *subjects, days_ahead=days_ahead)
            name = "done" if ended.returncode == 0 else ended.stderr.splitlines()[-1].split(":")[0]
            ends[name] += 1
            run_victim(here, action, *words)
            assert exported(here) == expected, f"rest {number} of {rests}: {name}"

    note(f"{action} at {rests} rests: {dict(ends)}")
    assert ends.keys() == {"done", "engagement.exceptions.StorageFullError"}


def await_failures(collector: Collector, server: RunningServer, *, log_is_elsewhere: bool) -> None:
    """Return only when the full disk was met by who answers, and by who flushes."""
    since, logged_bytes = time.monotonic(), server.log.stat().st_size
    wait_until(lambda: collector.statuses(since=since)[507] > REFUSALS_MIN, "refusals")
    if log_is_elsewhere:
        wait_until(
            lambda: b"repeated_work_failed" in server.log.read_bytes()[logged_bytes:], "a flush"
        )
