"""Tests that a backup of a running service is whole, and is that service where it is restored."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import (
    BadInputError,
    IllegalStateError,
    StateLostError,
    VerificationError,
)
from engagement.failpoints import Failpoint, FailpointHook
from engagement.model.exports import ExportType
from engagement.model.records import Kind
from engagement.runtime import backups, copying
from engagement.runtime.backups import MANIFEST
from engagement.runtime.opening import Runtime
from engagement.store.lake_copy import CopiedFile
from engagement.store.state_copy import copy_state
from support.backup_place import BackupFolders
from support.batches import DEVICES, everything
from support.home import StoppedError, stop_at
from support.whole_service import (
    BATCHES,
    WAITING,
    app_id_of,
    export_all,
    running,
    take,
)

LATE = [everything(number, device=DEVICES[number % 3]) for number in range(30, 33)]
"""Batches that come while it is written."""
SOME_TYPES = (ExportType.EVENT, ExportType.JOB, ExportType.TAG)
BUSY_AT = [Failpoint.COPY_STATE_READ, Failpoint.COPY_FILE_WRITTEN]
POINTS = [
    Failpoint.COPY_FILE_WRITTEN,
    Failpoint.COPY_FILES_WRITTEN,
    Failpoint.COPY_STATE_WRITTEN,
    Failpoint.COPY_FINISHED,
]


def export_some(runtime: Runtime) -> dict[ExportType, list[bytes]]:
    """What exports of some types deliver: of instants, of spans and of changes."""
    return export_all(runtime, app_id_of(runtime), SOME_TYPES)


def some_of(files: dict[ExportType, list[bytes]]) -> dict[ExportType, list[bytes]]:
    return {export_type: files[export_type] for export_type in SOME_TYPES}


def busy_with(runtime: Runtime, at: Failpoint) -> FailpointHook:
    """A hook that lets the service take batches, and rewrite its tables, at a failpoint."""
    left = list(LATE)
    lock = threading.Lock()  # files are copied by several threads

    def on_failpoint(reached: Failpoint) -> None:
        with lock:
            if reached is at and left:
                take(runtime, app_id_of(runtime), left.pop())
                operations.compact(runtime, app_id_of(runtime))

    return on_failpoint


def test_all_is_there_again_after_all_else_was_lost(
    place: BackupFolders, expected: dict[ExportType, list[bytes]]
) -> None:
    backup = place.back_up()
    place.lose_everything_else()

    assert place.restore() == backup

    with running(place.restored) as runtime:
        app_id = app_id_of(runtime)
        assert export_all(runtime, app_id) == expected
        assert not any(take(runtime, app_id, *BATCHES, *WAITING))
        assert export_all(runtime, app_id) == expected
        assert operations.check_lake(runtime).damaged == ()


@pytest.mark.parametrize("point", BUSY_AT)
def test_what_was_acknowledged_before_is_in_it_and_once_whatever_comes_meanwhile(
    place: BackupFolders, expected: dict[ExportType, list[bytes]], point: Failpoint
) -> None:
    """What comes after the copy of the state is no part of it, whenever it reaches the lake."""
    with running(place.home) as runtime:
        place.back_up(busy_with(runtime, point))
    place.lose_everything_else()
    place.restore()

    with running(place.restored) as runtime:
        app_id = app_id_of(runtime)
        assert not any(take(runtime, app_id, *WAITING))
        if point is not Failpoint.COPY_STATE_READ:
            assert export_some(runtime) == some_of(expected)
        take(runtime, app_id, *LATE)
        assert operations.check_lake(runtime).damaged == ()


@pytest.mark.parametrize("point", POINTS)
def test_a_backup_that_was_cut_off_is_gone_on_with(
    place: BackupFolders, runtime: Runtime, point: Failpoint
) -> None:
    with pytest.raises(StoppedError):
        place.back_up(stop_at(point))
    if point is not Failpoint.COPY_FINISHED:
        with pytest.raises(BadInputError, match="finished backup"):
            place.restore()
        operations.compact(runtime, app_id_of(runtime))  # other files are needed now
        place.back_up()

    place.restore()

    exported = export_some(runtime)
    with running(place.restored) as restored:
        assert export_some(restored) == exported
    listed = {line.split()[1] for line in (place.target / "SHA256SUMS").read_text().splitlines()}
    there = {str(file.relative_to(place.target)) for file in place.target.rglob("*.*")}
    assert {name for name in there if (place.target / name).is_file()} == {
        *listed,
        MANIFEST,
    }


@pytest.mark.parametrize("point", POINTS)
def test_a_restore_that_was_cut_off_is_repeated_and_nothing_runs_before(
    backed_up: BackupFolders, expected: dict[ExportType, list[bytes]], point: Failpoint
) -> None:
    with pytest.raises(StoppedError):
        backed_up.restore(stop_at(point))
    if point is not Failpoint.COPY_FINISHED:
        with pytest.raises(StateLostError, match="cut off"), running(backed_up.restored):
            pass

        backed_up.restore()

    with running(backed_up.restored) as runtime:
        assert export_some(runtime) == some_of(expected)


def lake_first(on_lake: Callable[[], object]) -> Callable[..., tuple[Path, list[CopiedFile]]]:
    """A planted bug: the state of the backup is newer than the lake's files."""

    def copy_service(*given: str | Path, **named: FailpointHook) -> tuple[Path, list[CopiedFile]]:
        state_url, _, _, folder = given
        _, copied = copying.copy_service(*given, **named)  # type: ignore[arg-type]
        on_lake()
        file = Path(folder) / "newer.db"
        copy_state(str(state_url), file)
        return file, copied

    return copy_service


def test_a_lake_that_is_copied_before_the_state_is_found_out(
    place: BackupFolders, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = lake_first(lambda: take(runtime, app_id_of(runtime), *LATE))
    monkeypatch.setattr(backups, "copy_service", planted)

    with pytest.raises(VerificationError, match="must be at version"):
        place.back_up()


def test_what_the_copy_proves_is_what_a_restored_service_would_lack(
    place: BackupFolders, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bug again, where the backup does not look at what it copied."""
    planted = lake_first(lambda: take(runtime, app_id_of(runtime), *LATE))
    monkeypatch.setattr(backups, "copy_service", planted)
    monkeypatch.setattr(copying, "check_tables", lambda *_: [])
    place.back_up()
    place.restore()

    with running(place.restored) as restored:
        assert operations.list_damaged_tables(restored)


def test_a_file_that_goes_while_it_is_copied_makes_the_copy_begin_anew(
    place: BackupFolders, runtime: Runtime
) -> None:
    app_id = app_id_of(runtime)
    reached = []

    def rewrite(point: Failpoint) -> None:
        reached.append(point)
        if reached == [Failpoint.COPY_STATE_READ]:
            operations.compact(runtime, app_id)
            for kind in Kind:
                commit = runtime.inbox.last_commits(app_id)[kind]
                live = {file.path for file in runtime.lake.files(app_id, kind, commit.version)}
                folder = place.home / "lake" / app_id / kind.value
                for file in folder.rglob("part-*"):
                    if file.relative_to(folder).as_posix() not in live:
                        file.unlink()

    place.back_up(rewrite)
    place.restore()

    assert reached.count(Failpoint.COPY_STATE_READ) > 1
    exported = export_some(runtime)
    with running(place.restored) as restored:
        assert export_some(restored) == exported


def test_of_two_runs_into_one_place_the_later_one_is_the_backup(place: BackupFolders) -> None:
    def begin_another(point: Failpoint) -> None:
        if point is Failpoint.COPY_FILES_WRITTEN:
            place.back_up()

    with pytest.raises(IllegalStateError, match="another one was begun"):
        place.back_up(begin_another)

    place.restore()
