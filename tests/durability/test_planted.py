"""Plants a bug a promise and demands that the promise's check notices."""

import re
from pathlib import Path

import pytest
from scene import Scene, exported_rows, new_scene, queue_export, visible, was_killed

from engagement.exceptions import ErrorCode
from engagement.failpoints import Failpoint
from engagement.model.exports import ExportState


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An app with its sample in the lake."""
    made = new_scene(tmp_path_factory.mktemp("planted"))
    assert made.import_sample().returncode == 0
    return made


def test_objects_written_in_place_are_seen_half(scene: Scene, tmp_path: Path) -> None:
    own, golden = scene.copy(tmp_path / "home"), tmp_path / "golden"
    task_id = queue_export(own)
    whole = own.copy(golden)
    assert whole.run("wait", task_id).returncode == 0
    undisturbed = whole.tree()
    again = own.copy(tmp_path / "again")

    died = again.run("wait", task_id, kill_at=Failpoint.PART_CHUNK, nth=2, plant="partial_objects")

    assert was_killed(died)
    assert not visible(again.tree()).items() <= undisturbed.items()


def test_names_from_the_clock_leave_a_part_twice(scene: Scene, tmp_path: Path) -> None:
    own = scene.copy(tmp_path / "home")
    task_id = queue_export(own)

    own.run("wait", task_id, kill_at=Failpoint.PART_DELIVERED, plant="names_from_the_clock")
    own.run("wait", task_id, plant="names_from_the_clock")

    parts = [name for name in own.tree() if "/part-" in name]
    assert len(parts) > own.task(task_id).progress.parts_total


def test_ignored_receipts_write_finished_parts_again(scene: Scene, tmp_path: Path) -> None:
    own = scene.copy(tmp_path / "home")
    task_id = queue_export(own)

    own.run("wait", task_id, kill_at=Failpoint.PART_RECORDED, plant="receipts_ignored")
    before, receipts = own.inodes(), own.task(task_id).progress.parts_done
    own.run("wait", task_id, plant="receipts_ignored")

    kept = [name for name, inode in own.inodes().items() if before.get(name) == inode]
    assert len(kept) < receipts


@pytest.mark.parametrize("bug", ["a_row_dropped", "a_row_nulled"])
def test_a_lost_row_never_succeeds(scene: Scene, tmp_path: Path, bug: str) -> None:
    own = scene.copy(tmp_path / "home")
    task_id = queue_export(own)

    own.run("wait", task_id, plant=bug)

    task = own.task(task_id)
    assert (task.state, task.error_code) == (ExportState.FAILED, ErrorCode.INCOMPLETE_EXPORT)
    assert not [name for name in own.tree() if name.endswith("manifest.json")]


def test_an_inbox_emptied_first_loses_rows(scene: Scene, tmp_path: Path) -> None:
    whole = exported_rows(scene.copy(tmp_path / "golden"))
    own = new_scene(tmp_path / "own")

    own.import_sample(kill_at=Failpoint.FLUSH_FILES_WRITTEN, plant="inbox_emptied_first")
    own.import_sample(plant="inbox_emptied_first")

    assert len(exported_rows(own)) < len(whole)


def test_a_round_that_is_cut_and_forgets_its_second_half_loses_rows(
    scene: Scene, tmp_path: Path
) -> None:
    whole = exported_rows(scene.copy(tmp_path / "golden"))
    cut, forgetful = new_scene(tmp_path / "cut"), new_scene(tmp_path / "forgetful")

    cut.import_sample(plant="rounds_of_few_files")
    forgetful.import_sample(plant="second_half_forgotten")

    assert exported_rows(cut) == whole
    assert len(exported_rows(forgetful)) < len(whole)


def test_commits_without_a_number_repeat_rows(tmp_path: Path) -> None:
    own = new_scene(tmp_path / "own")

    own.import_sample(kill_at=Failpoint.COMMIT_IN_LAKE, nth=2, plant="numbers_ignored")  # events
    own.import_sample(plant="numbers_ignored")

    task_id = queue_export(own)
    own.run("wait", task_id)

    task = own.task(task_id)
    assert task.error_code is ErrorCode.LAKE_DAMAGED
    assert re.search(r"counts \d+ rows where \d+", task.error_details or "")


def test_a_key_that_is_replaced_first_is_lost(scene: Scene, tmp_path: Path) -> None:
    own = scene.copy(tmp_path / "home")
    task_id = queue_export(own)

    died = own.run("rotate-keys", kill_at=Failpoint.KEYS_WRITTEN, plant="key_replaced_first")
    left = own.run("wait", task_id)

    assert was_killed(died), died.stderr
    assert "VaultKeyLostError" in left.stderr


def test_what_is_sealed_anew_before_its_key_is_named_is_lost(scene: Scene, tmp_path: Path) -> None:
    own = scene.copy(tmp_path / "home")
    task_id = queue_export(own)

    died = own.run("rotate-keys", kill_at=Failpoint.KEYS_SEALED, plant="seals_anew_one_by_one")
    left = own.run("wait", task_id)

    assert was_killed(died), died.stderr
    assert left.stdout.split() == ["Failed", "VaultKeyLost"]
