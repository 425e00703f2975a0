"""Tests that what is wrong with a table is found, named, and told from a failing disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement.exceptions import LakeDamagedError, StorageUnavailableError
from engagement.model.records import Kind
from engagement.store.inspection import LakeInspection
from support.batches import everything
from support.home import Home, open_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with open_home(tmp_path / "home") as made:
        made.take(everything(0))
        yield made


def inspection(home: Home) -> LakeInspection:
    return LakeInspection(home.inbox, home.staging, home.lake)


def data_file(home: Home, kind: Kind) -> Path:
    version = home.inbox.last_commits(home.app_id)[kind].version
    (file,) = home.lake.files(home.app_id, kind, version)
    return home.folder / "lake" / home.app_id / kind.value / file.path


def test_a_sound_lake_is_found_sound(home: Home) -> None:
    for kind in Kind:
        inspection(home).check(home.app_id, kind, digests=True)
    assert inspection(home).apps() == [home.app_id]


def test_a_flipped_bit_is_found_where_files_are_read(home: Home) -> None:
    file = data_file(home, Kind.EVENT)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    inspection(home).check(home.app_id, Kind.EVENT, digests=False)
    with pytest.raises(LakeDamagedError, match=str(file)):
        inspection(home).check(home.app_id, Kind.EVENT, digests=True)
    inspection(home).check(home.app_id, Kind.TAG, digests=True)


def test_a_disk_that_fails_is_no_damage(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    data_file(home, Kind.EVENT).unlink()
    open_path = Path.open

    def fail(path: Path, *given: object, **named: object) -> object:
        if path.suffix == ".json":
            raise OSError(5, "Input/output error")
        return open_path(path, *given, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", fail)

    with pytest.raises(StorageUnavailableError, match="Input/output error"):
        inspection(home).check(home.app_id, Kind.EVENT, digests=False)
