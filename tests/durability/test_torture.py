"""This module kills the process at random moments, over and over, delivering into Azurite."""

import contextlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scene import SECONDS_MAX, VICTIM, Scene, new_scene, queue_export

from servers import AzureContainer, Azurite

MOMENT_SECONDS_MAX = 2.0
"""A run that is left alone takes about this long, so that kills come in every phase of it."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An app with its sample in the lake."""
    scene = new_scene(tmp_path_factory.mktemp("torture"))
    assert scene.import_sample().returncode == 0
    return scene


def test_exports_killed_at_random_are_as_if_undisturbed(
    base: Scene, tmp_path: Path, azurite: Azurite, pytestconfig: pytest.Config
) -> None:
    container = azurite.container("torture")
    seed = random.SystemRandom().randrange(2**32)
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    queued = base.copy(tmp_path / "queued")
    task_id = queue_export(queued, container_url=container.write_url)
    golden = queued.copy(tmp_path / "golden")
    assert golden.run("wait", task_id).stdout.split() == ["Succeeded"]
    undisturbed = objects(container)
    kills, rounds = 0, 0

    while kills < pytestconfig.getoption("--kills"):
        rounds += 1
        other = azurite.container("torture")
        scene = base.copy(tmp_path / "home")
        own_task = queue_export(scene, container_url=other.write_url)
        while killed_at_random(scene, own_task, dice):
            kills += 1
        delivered = objects(other)
        assert parts(delivered) == parts(undisturbed), f"seed {seed}, round {rounds}"
        assert sum(name.endswith("manifest.json") for name in delivered) == 1, f"seed {seed}"


def killed_at_random(scene: Scene, task_id: str, dice: random.Random) -> bool:
    """Whether the process was killed before it came to the end."""
    command = [sys.executable, str(VICTIM), str(scene.home), str(scene.out), "wait", task_id]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        out, _ = process.communicate(timeout=dice.uniform(0.2, MOMENT_SECONDS_MAX))
        assert out.split() == ["Succeeded"]
        return False
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=SECONDS_MAX)
    return True


def objects(container: AzureContainer) -> dict[str, bytes]:
    """Every object of a container."""
    return {name: container.admin.read(name) for name in container.admin.list()}


def parts(delivered: dict[str, bytes]) -> dict[str, bytes]:
    """The parts by their own names, since every task has a folder of its own."""
    return {Path(name).name: data for name, data in delivered.items() if "/part-" in name}
