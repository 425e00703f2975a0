"""Tests that one owner at a time has a home folder, and that its files are its own."""

import os
import stat
from pathlib import Path

import pytest

from engagement.exceptions import HomeBusyError
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
