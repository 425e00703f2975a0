"""Gives tests a service with records of every kind, and a backup of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement.model.exports import ExportType
from engagement.runtime.opening import Runtime
from support.backup_place import BackupFolders
from support.whole_service import (
    WAITING,
    accept_batches,
    app_id_of,
    export_all,
    fill_service,
    running,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with records of every kind in the lake, and batches that wait."""
    home = tmp_path_factory.mktemp("whole") / "home"
    with running(home) as runtime:
        app_id = fill_service(runtime)
        accept_batches(runtime, app_id, *WAITING)
    return home


@pytest.fixture(scope="module")
def expected(
    whole: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[ExportType, list[bytes]]:
    """What exports of it deliver."""
    copy = shutil.copytree(whole, tmp_path_factory.mktemp("expected") / "home")
    with running(copy) as runtime:
        return export_all(runtime, app_id_of(runtime))


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> BackupFolders:
    place = BackupFolders(folder=tmp_path)
    shutil.copytree(whole, place.home)
    return place


@pytest.fixture(scope="module")
def finished(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> BackupFolders:
    """A finished backup of it."""
    place = BackupFolders(folder=tmp_path_factory.mktemp("finished"))
    shutil.copytree(whole, place.home)
    place.back_up()
    return place


@pytest.fixture
def backed_up(finished: BackupFolders, tmp_path: Path) -> BackupFolders:
    """A copy of that backup, from which a test restores."""
    place = BackupFolders(folder=tmp_path)
    shutil.copytree(finished.target, place.target)
    shutil.copy(finished.key, place.key)
    return place


@pytest.fixture
def runtime(place: BackupFolders) -> Iterator[Runtime]:
    """The service, running."""
    with running(place.home) as runtime:
        yield runtime
