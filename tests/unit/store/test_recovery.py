"""Tests that a start refuses a lake that the state database does not know, and changes nothing."""

import hashlib
import shutil
from pathlib import Path

import pytest
from deltalake import CommitProperties, DeltaTable, Transaction

from engagement.exceptions import LakeDamagedError
from engagement.model.records import Kind
from engagement.store.inspection import LakeInspection
from engagement.store.recovery import LakeRecovery
from support.batches import batch, everything, log
from support.home import Home, open_home


def recovery(home: Home) -> LakeRecovery:
    return LakeRecovery(home.inbox, home.staging, home.lake)


def all_files(folder: Path) -> dict[str, str]:
    """What every file of the lake holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def flushed(tmp_path: Path) -> Path:
    """A home with two flushes, whose state database is the one from before the second."""
    with open_home(tmp_path / "home") as home:
        home.take(everything(0))
    shutil.copytree(tmp_path / "home", tmp_path / "yesterday")
    with open_home(tmp_path / "home") as home:
        home.take(everything(1))
    for file in (tmp_path / "home").glob("state.db*"):
        file.unlink()
    shutil.copy(tmp_path / "yesterday/state.db", tmp_path / "home/state.db")
    return tmp_path / "home"


def test_a_state_older_than_the_lake_is_refused(flushed: Path) -> None:
    before = all_files(flushed / "lake")

    with open_home(flushed) as home:
        with pytest.raises(LakeDamagedError, match=r"activity table.* versions 1 to 1 ") as refused:
            recovery(home).recover(home.app_id)
        assert LakeInspection(home.inbox, home.staging, home.lake).apps() == [home.app_id]

    assert "Nothing was changed" in str(refused.value)
    assert all_files(flushed / "lake") == before


def test_an_empty_state_under_a_full_lake_is_refused(flushed: Path) -> None:
    for file in flushed.glob("state.db*"):
        file.unlink()
    before = all_files(flushed / "lake")

    with open_home(flushed) as home:
        (app_id,) = LakeInspection(home.inbox, home.staging, home.lake).apps()
        with pytest.raises(LakeDamagedError, match="does not know"):
            recovery(home).recover(app_id)

    assert all_files(flushed / "lake") == before


def test_a_commit_that_changes_no_row_is_left_alone(tmp_path: Path) -> None:
    """Earlier releases let delta-rs say in the log that it vacuumed."""
    with open_home(tmp_path / "home") as home:
        home.take(everything(0))
        table = DeltaTable(tmp_path / "home/lake" / home.app_id / "event")
        table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        rows = home.all_rows()

        moved = home.recover()
        home.take(everything(1))

        assert moved == []
        assert home.rows(Kind.EVENT).height == 2 * len(rows[Kind.EVENT])


@pytest.mark.parametrize("waits", [True, False])
def test_an_interrupted_flush_of_an_earlier_release_is_undone_while_its_batches_wait(
    tmp_path: Path, *, waits: bool
) -> None:
    with open_home(tmp_path / "home") as home:
        home.take(everything(0))
        before = home.all_rows()
        if waits:
            home.accept(batch(log("event", 1, name="waits")))
        position = home.inbox.newest_position(home.app_id)
        table = DeltaTable(tmp_path / "home/lake" / home.app_id / "event")
        table.delete(
            "device_id = 'none'",
            commit_properties=CommitProperties(app_transactions=[Transaction("inbox", position)]),
        )
        table.create_write_transaction(
            [],
            mode="append",
            schema=table.schema(),
            partition_by=["date"],
            commit_properties=CommitProperties(app_transactions=[Transaction("inbox", position)]),
        )

        if not waits:
            with pytest.raises(LakeDamagedError, match="does not know"):
                home.recover()
            return
        moved = home.recover()

        assert moved
        assert home.all_rows() == before
