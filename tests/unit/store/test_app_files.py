"""Tests that what is kept of an app beside its tables is read as it was written."""

from datetime import timedelta
from pathlib import Path

import pytest

from engagement.exceptions import LakeDamagedError
from engagement.model.apps import App
from engagement.store.app_files import (
    APP_FILE,
    RegisteredApp,
    RegisteredKey,
    read_app_file,
    write_app_file,
)
from support.batches import NOW

APP = App(app_id="a", name="n", collection="c", resource_group="g", subscription="s")
KEYS = (
    RegisteredKey(name="first", key_sha256="0" * 64, created_at=NOW),
    RegisteredKey(name="x", key_sha256="1" * 64, created_at=NOW, ends_at=NOW + timedelta(1)),
)


@pytest.mark.parametrize("keys", [(), KEYS[:1], KEYS])
def test_an_app_file_holds_what_was_written(
    tmp_path: Path, keys: tuple[RegisteredKey, ...]
) -> None:
    registered = RegisteredApp(app=APP, keys=keys, created_at=NOW)

    write_app_file(tmp_path, registered)

    assert read_app_file(tmp_path, "a") == registered


def test_an_app_file_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "a"
    folder.mkdir(parents=True)
    app = '{"app_id":"a","name":"n","collection":"c","resource_group":"g","subscription":"s"}'
    (folder / APP_FILE).write_text(
        f'{{"app":{app},"key_sha256":"{"0" * 64}","created_at":"2026-11-01T00:00:00Z"}}'
    )

    found = read_app_file(tmp_path / "lake", "a")

    assert found is not None
    assert [key.key_sha256 for key in found.keys] == ["0" * 64]


def test_a_file_that_holds_no_app_is_damage_and_none_is_none(tmp_path: Path) -> None:
    assert read_app_file(tmp_path, "a") is None
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / APP_FILE).write_text("{}")
    with pytest.raises(LakeDamagedError):
        read_app_file(tmp_path, "a")
