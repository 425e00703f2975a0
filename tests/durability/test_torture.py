"""Kills the process at random moments, over and over, delivering into Azurite."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from collector import note
from scene import VICTIM, Scene, new_scene, queue_export

from support.servers import AzureContainer, Azurite
from support.waiting import WAIT_SECONDS_MAX

KILLS_A_ROUND_MAX = 5
"""After so many a run is left alone, or a slow machine would never come to its end."""
TRIES_A_KILL_MAX = 3
"""A moment may come when a run has ended already; no more than so many are tried for a kill."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process came to its end."""

    was_killed: bool
    """Whether it was killed before its export had ended."""
    seconds: float
    """How long it ran."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An app with its sample in the lake."""
    scene = new_scene(tmp_path_factory.mktemp("torture"))
    assert scene.import_sample().returncode == 0
    return scene


def test_exports_killed_at_random_are_as_if_undisturbed(
    base: Scene, tmp_path: Path, azurite: Azurite, kills: int, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    container = azurite.container("torture")
    golden = base.copy(tmp_path / "golden")
    length = run(golden, queue_export(golden, container_url=container.write_url)).seconds
    undisturbed = objects(container)
    killed = tried = rounds = 0

    while killed < kills and tried < kills * TRIES_A_KILL_MAX:
        rounds += 1
        other = azurite.container("torture")
        scene = base.copy(tmp_path / "home")
        task_id = queue_export(scene, container_url=other.write_url)
        for _ in range(min(KILLS_A_ROUND_MAX, kills - killed)):
            tried += 1
            ended = run(scene, task_id, kill_after=dice.uniform(0, length))
            if not ended.was_killed:  # the machine is quicker than it was
                length = min(length, ended.seconds)
                break
            killed += 1
        else:
            run(scene, task_id)
        delivered = objects(other)
        assert parts(delivered) == parts(undisturbed), f"round {rounds}"
        assert sum(name.endswith("manifest.json") for name in delivered) == 1, f"round {rounds}"

    note(f"{killed} kills in {tried} tries and {rounds} rounds; a run takes {length:.1f} s")
    assert killed > 0, f"one of {tried} moments must come before the end of a run"


def run(scene: Scene, task_id: str, *, kill_after: float | None = None) -> Ended:
    """Let a process wait for an export, to its end or for some seconds.

    Args:
        scene: Whose home the process works on.
        task_id: The export.
        kill_after: Seconds until the process is killed; None lets it come to its end, which must
            be a good one.
    """
    command = [sys.executable, str(VICTIM), str(scene.home), str(scene.out), "wait", task_id]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        patience = 2 * WAIT_SECONDS_MAX if kill_after is None else kill_after
        try:
            out, _ = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate(timeout=WAIT_SECONDS_MAX)
            if kill_after is None:
                pytest.fail(f"An export that nobody disturbed must end, but it said {out!r}.")
        except BaseException:
            process.kill()
            raise
    seconds = time.monotonic() - started
    if kill_after is not None and process.returncode == -signal.SIGKILL:
        return Ended(was_killed=True, seconds=seconds)
    assert (process.returncode, out.split()) == (0, ["Succeeded"])
    return Ended(was_killed=False, seconds=seconds)


def objects(container: AzureContainer) -> dict[str, bytes]:
    """Every object of a container."""
    return {name: container.admin.read(name) for name in container.admin.list()}


def parts(delivered: dict[str, bytes]) -> dict[str, bytes]:
    """The parts by their own names, since every task has a folder of its own."""
    return {Path(name).name: data for name, data in delivered.items() if "/part-" in name}
