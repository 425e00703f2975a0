"""Lets a clock be wrong while a service forgets what is old, and looks for what that doubles."""

from pathlib import Path

import pytest
from scene import Scene, exported_rows, new_scene

DAYS_AHEAD = 9
"""More than the days for which batches are known."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = new_scene(tmp_path_factory.mktemp("clock"))
    assert made.import_sample().returncode == 0
    return made


def _rows_after_a_vacuum_ahead_of_time(scene: Scene, home: Path, plant: str | None) -> list[str]:
    """What is exported after a vacuum by a wrong clock, when everything was sent once more."""
    own = scene.copy(home)
    vacuum = own.run("vacuum", own.app_id, days_ahead=DAYS_AHEAD, plant=plant)
    assert vacuum.returncode == 0, vacuum.stderr
    assert own.import_sample().returncode == 0
    return exported_rows(own)


def test_a_clock_that_was_ahead_doubles_no_row(scene: Scene, tmp_path: Path) -> None:
    expected = exported_rows(scene.copy(tmp_path / "golden"))

    rows = _rows_after_a_vacuum_ahead_of_time(scene, tmp_path / "home", None)

    assert rows == expected


def test_a_believed_clock_doubles_rows(scene: Scene, tmp_path: Path) -> None:
    expected = exported_rows(scene.copy(tmp_path / "golden"))

    rows = _rows_after_a_vacuum_ahead_of_time(scene, tmp_path / "home", "clock_believed")

    assert len(rows) == 2 * len(expected)
