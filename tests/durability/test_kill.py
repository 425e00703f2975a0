"""Kills the process at every named point and demands the undisturbed result."""

from dataclasses import replace
from pathlib import Path

import pytest
from scene import Scene, Tree, exported_rows, new_scene, queue_export, visible, was_killed

from engagement.failpoints import Failpoint

FLUSH_POINTS = [point for point in Failpoint if point.value.startswith(("flush_", "commit_"))]
KEY_POINTS = [point for point in Failpoint if point.value.startswith("keys_")]
COPY_POINTS = [point for point in Failpoint if point.value.startswith("copy_")]
"""A move passes all of them; backups and restores are ended at them where they are tested."""
SOME_COPY_POINTS = {Failpoint.COPY_FILE_WRITTEN, Failpoint.COPY_STATE_WRITTEN}
KILLS_OF_ALL = 10
"""A usual run asks for fewer kills, and kills at some of them."""
POINTS_ELSEWHERE = [point for point in Failpoint if point.value.startswith("app_")]
"""Tests of deletions end them at these."""
EXPORT_POINTS = [
    point for point in Failpoint if point.value.startswith(("export_", "part_", "manifest_"))
]
REPEATED_POINTS = [
    Failpoint.PART_STARTED,
    Failpoint.PART_CHUNK,
    Failpoint.PART_DELIVERED,
    Failpoint.PART_RECORDED,
]
LATER = [(point, nth) for point in REPEATED_POINTS for nth in (2, 3)]


@pytest.fixture(scope="module")
def unfilled(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An app whose sample is not imported yet."""
    return new_scene(tmp_path_factory.mktemp("unfilled"))


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, str]:
    """An app with its sample in the lake, and an export that waits."""
    scene = new_scene(tmp_path_factory.mktemp("queued"))
    assert scene.import_sample().returncode == 0
    return scene, queue_export(scene)


@pytest.fixture(scope="module")
def undisturbed(queued: tuple[Scene, str], tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """What the waiting export delivers if nothing happens to it."""
    scene, task_id = queued
    golden = scene.copy(tmp_path_factory.mktemp("golden") / "home")
    assert golden.run("wait", task_id).stdout.split() == ["Succeeded"]
    tree = golden.tree()
    assert sum("/part-" in name for name in tree) >= 3
    return tree


@pytest.mark.parametrize(("point", "nth"), [*((item, 1) for item in EXPORT_POINTS), *LATER])
def test_a_killed_export_ends_as_if_nothing_had_happened(
    queued: tuple[Scene, str], undisturbed: Tree, tmp_path: Path, point: Failpoint, nth: int
) -> None:
    base, task_id = queued
    scene = base.copy(tmp_path / "home")

    died = scene.run("wait", task_id, kill_at=point, nth=nth)
    delivered, left = scene.inodes(), visible(scene.tree())
    receipts = scene.task(task_id).progress.parts_done
    again = scene.run("wait", task_id)

    assert was_killed(died), died.stderr
    assert left.items() <= undisturbed.items()
    assert again.stdout.split() == ["Succeeded"], again.stderr
    assert scene.tree() == undisturbed
    kept = [name for name, inode in scene.inodes().items() if delivered.get(name) == inode]
    assert len(kept) >= receipts


def test_a_finished_export_is_left_alone(
    queued: tuple[Scene, str], undisturbed: Tree, tmp_path: Path
) -> None:
    base, task_id = queued
    scene = base.copy(tmp_path / "home")
    scene.run("wait", task_id)
    before = scene.inodes()

    again = scene.run("wait", task_id)

    assert again.stdout.split() == ["Succeeded"]
    assert scene.inodes() == before
    assert scene.tree() == undisturbed


@pytest.mark.parametrize(
    ("point", "nth"), [*((item, 1) for item in FLUSH_POINTS), (Failpoint.COMMIT_IN_LAKE, 6)]
)
def test_a_killed_flush_loses_and_repeats_nothing(
    unfilled: Scene, tmp_path: Path, point: Failpoint, nth: int
) -> None:
    scene = unfilled.copy(tmp_path / "home")

    died = scene.import_sample(kill_at=point, nth=nth)
    again = scene.import_sample()

    assert was_killed(died), died.stderr
    assert again.returncode == 0, again.stderr
    assert exported_rows(scene) == undisturbed_rows(unfilled, tmp_path)


@pytest.mark.parametrize("point", KEY_POINTS)
def test_a_killed_rotation_loses_no_key(
    queued: tuple[Scene, str], undisturbed: Tree, tmp_path: Path, point: Failpoint
) -> None:
    base, task_id = queued
    scene = base.copy(tmp_path / "home")

    died = scene.run("rotate-keys", kill_at=point)
    again = scene.run("rotate-keys")
    ended = scene.run("wait", task_id)

    assert was_killed(died), died.stderr
    assert again.returncode == 0, again.stderr
    assert ended.stdout.split() == ["Succeeded"], ended.stderr
    assert scene.tree() == undisturbed


@pytest.mark.parametrize("point", [Failpoint.KEYS_SEALED, Failpoint.KEYS_COMMITTED])
def test_a_killed_reset_can_be_repeated(
    queued: tuple[Scene, str], tmp_path: Path, point: Failpoint
) -> None:
    base, task_id = queued
    scene = base.copy(tmp_path / "home")
    (scene.home / "keys" / "vault.key").unlink()

    died = scene.run("reset-keys", kill_at=point)
    again = scene.run("reset-keys")
    ended = scene.run("wait", task_id)

    assert was_killed(died), died.stderr
    assert again.returncode == 0, again.stderr
    assert ended.stdout.split() == ["Failed", "VaultKeyLost"], ended.stderr
    assert (scene.home / "keys" / "vault.key").exists()
    assert not (scene.home / "keys" / "vault.key.next").exists()


@pytest.mark.parametrize("point", COPY_POINTS)
def test_a_killed_move_is_gone_on_with(
    queued: tuple[Scene, str], undisturbed: Tree, tmp_path: Path, point: Failpoint, kills: int
) -> None:
    """The export that waited is done in the new place."""
    if kills < KILLS_OF_ALL and point not in SOME_COPY_POINTS:
        pytest.skip("other tests stop moves here without ending the process")
    base, task_id = queued
    scene = base.copy(tmp_path / "home")
    moved = replace(scene, home=tmp_path / "moved")

    died = scene.run("move", str(moved.home), kill_at=point)
    left = scene.run("wait", task_id)
    again = scene.run("move", str(moved.home))
    ended = moved.run("wait", task_id)

    assert was_killed(died), died.stderr
    assert "ServiceMoved" in left.stderr
    assert again.returncode == 0, again.stderr
    assert ended.stdout.split() == ["Succeeded"], ended.stderr
    assert scene.tree() == undisturbed


def test_the_tests_kill_at_every_point() -> None:
    """A new effect needs a new point, and a new point is killed at without being listed here."""
    points = [*FLUSH_POINTS, *EXPORT_POINTS, *KEY_POINTS, *COPY_POINTS, *POINTS_ELSEWHERE]
    assert sorted(points) == sorted(Failpoint)
    assert FLUSH_POINTS
    assert KEY_POINTS
    assert EXPORT_POINTS


_UNDISTURBED: dict[str, list[str]] = {}


def undisturbed_rows(unfilled: Scene, tmp_path: Path) -> list[str]:
    """The events that an undisturbed import brings to an export."""
    if unfilled.app_id not in _UNDISTURBED:
        scene = unfilled.copy(tmp_path / "golden")
        assert scene.import_sample().returncode == 0
        _UNDISTURBED[unfilled.app_id] = exported_rows(scene)
    return _UNDISTURBED[unfilled.app_id]
