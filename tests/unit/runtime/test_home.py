"""Tests that one owner at a time has a home folder, and that its files are its own."""

import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from engagement.exceptions import BadInputError, HomeBusyError
from engagement.runtime import home


def test_a_home_folder_has_one_owner_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "LOCK_SECONDS_MAX", 0)
    with home.lock_home(tmp_path), pytest.raises(HomeBusyError), home.lock_home(tmp_path):
        pass

    with home.lock_home(tmp_path) as descriptor:
        assert os.fstat(descriptor).st_ino == (tmp_path / "lock").stat().st_ino


def test_the_lock_lasts_as_long_as_a_process_holds_its_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "LOCK_SECONDS_MAX", 0)
    with home.lock_home(tmp_path) as descriptor:
        inherited = os.dup(descriptor)

    with pytest.raises(HomeBusyError), home.lock_home(tmp_path):
        pass
    os.close(inherited)
    with home.lock_home(tmp_path):
        pass


def test_a_private_file_is_its_owners_alone_and_keeps_its_content(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = home.private_file(tmp_path / "secret")
    finally:
        os.umask(before)
    file.write_text("content")

    assert home.private_file(file).read_text() == "content"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_home_that_others_could_read_is_closed_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder, outside = tmp_path / "home", tmp_path / "outside"
    (folder / "lake").mkdir(parents=True)
    for file in (folder / "state.db", folder / "lake" / "part", outside):
        file.touch()
        file.chmod(0o644)
    (folder / "link").symlink_to(outside)
    for path in (folder, folder / "lake"):
        path.chmod(0o755)

    home.make_home(folder)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert modes == {"lake": 0o700, "part": 0o600, "state.db": 0o600, "link": 0o644}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(("mode", "is_taken"), [(0o770, True), (0o775, False)])
def test_a_home_of_another_user_must_be_closed_to_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, *, is_taken: bool
) -> None:
    tmp_path.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)

    with nullcontext() if is_taken else pytest.raises(BadInputError, match="everybody may enter"):
        home.make_home(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == mode
