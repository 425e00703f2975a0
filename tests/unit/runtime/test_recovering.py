"""Tests that a lost state database is refused, and rebuilt from the lake as it was."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from engagement import operations
from engagement.exceptions import BadInputError, StateLostError
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime
from engagement.runtime.recovering import RecoveredApp, recover_state
from engagement.settings import Settings
from engagement.store.app_files import APP_FILE
from engagement.store.data_files import DataFile
from support.batches import DAY, DEVICES, at, batch, everything, log
from support.home import lose_state
from support.whole_service import BATCHES, LATER, export_all, fill_service, running, take


@pytest.fixture(scope="module")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an app that has records of every kind, of several flushes, some compacted."""
    home = tmp_path_factory.mktemp("filled") / "home"
    with running(home) as runtime:
        fill_service(runtime)
    return home


@pytest.fixture
def home(filled_home: Path, tmp_path: Path) -> Path:
    """A copy of the filled home, for a test to lose things of."""
    return Path(shutil.copytree(filled_home, tmp_path / "home"))


def recover(home: Path) -> RecoveredApp:
    (app,) = recover_state(Settings(home=home, batch_dedup_days=30), clock=lambda: LATER)
    return app


def test_a_lost_state_is_refused_and_nothing_changed(home: Path) -> None:
    lose_state(home)
    before = {file: file.read_bytes() for file in (home / "lake").rglob("*") if file.is_file()}

    with pytest.raises(StateLostError, match="engagement recover"), running(home):
        pass

    assert before == {
        file: file.read_bytes() for file in (home / "lake").rglob("*") if file.is_file()
    }


def test_exports_counts_and_repeats_are_the_same_after_a_recovery(home: Path) -> None:
    with running(home) as runtime:
        (app,) = operations.list_apps(runtime)
        app = operations.set_retention(runtime, app.app_id, 400)
        expected = export_all(runtime, app.app_id)
    lose_state(home)

    recovered = recover(home)

    assert (recovered.app, recovered.app_key) == (app, None)
    assert recovered.rebuilt.damaged == ()
    with running(home) as runtime:
        assert export_all(runtime, app.app_id) == expected
        assert take(runtime, app.app_id, *BATCHES) == [False] * len(BATCHES)
        assert export_all(runtime, app.app_id) == expected


def test_what_comes_later_goes_on_as_if_nothing_had_been_lost(home: Path, tmp_path: Path) -> None:
    """A job, a session without an id, a user, a token and information, told again a day later."""
    more = [
        batch(
            log("job", 50, jobId="long", end=at(90)),
            log("activity", 60),
            log("token", 61, token="other", tokenType="GCM"),  # noqa: S106 - of a device
            device=DEVICES[5],
            batch_id="later",
            userId="somebody",
        ),
        everything(4, device=DEVICES[1], day=DAY + timedelta(days=1)),
    ]
    whole = tmp_path / "whole"
    shutil.copytree(home, whole)
    with running(whole) as runtime:
        (app,) = operations.list_apps(runtime)
        take(runtime, app.app_id, *more)
        expected = export_all(runtime, app.app_id)
    lose_state(home)
    recover(home)

    with running(home) as runtime:
        take(runtime, app.app_id, *more)
        assert export_all(runtime, app.app_id) == expected


def test_a_recovery_that_was_cut_off_is_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(home) as runtime:
        (app,) = operations.list_apps(runtime)
        expected = export_all(runtime, app.app_id)
    lose_state(home)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as failing:
        failing.setattr("engagement.runtime.recovering._register", fail)
        with pytest.raises(OSError, match="No space"):
            recover(home)
    with pytest.raises(StateLostError), running(home):
        pass

    recover(home)

    with running(home) as runtime:
        assert export_all(runtime, app.app_id) == expected


def test_without_its_file_an_app_gets_a_name_and_a_key(home: Path) -> None:
    (file,) = (home / "lake").glob(f"*/{APP_FILE}")
    file.unlink()
    lose_state(home)

    recovered = recover(home)

    assert recovered.app.app_id == file.parent.name
    assert recovered.app_key is not None
    with running(home) as runtime:
        assert operations.app_of_key(runtime, recovered.app_key) == recovered.app


def test_a_damaged_table_is_refused_and_the_others_recovered(home: Path) -> None:
    (table_folder,) = (home / "lake").glob("*/event")
    file = Path(DeltaTable(table_folder).file_uris()[0])
    file.write_bytes(b"PAR1" + bytes(file.stat().st_size - 8) + b"PAR1")
    lose_state(home)

    recovered = recover(home)

    (damage,) = recovered.rebuilt.damaged
    assert str(file) in damage
    with running(home) as runtime:
        (table,) = operations.list_damaged_tables(runtime)
        assert str(file) in table.damage


def test_a_table_with_a_damaged_older_commit_is_refused_and_the_others_recovered(
    home: Path,
) -> None:
    (table_folder,) = (home / "lake").glob("*/event")
    DeltaTable(table_folder).create_checkpoint()  # from which the table opens all the same
    oldest = min(table_folder.glob("_delta_log/*.json"))
    oldest.write_bytes(oldest.read_bytes()[:-9])
    lose_state(home)

    recovered = recover(home)

    (damage,) = recovered.rebuilt.damaged
    assert str(oldest) in damage


def test_a_round_that_was_staged_and_not_committed_is_named(home: Path) -> None:
    with running(home) as runtime:
        (app,) = operations.list_apps(runtime)
        rows = runtime.lake.scan(
            app.app_id, Kind.TAG, [file.path for file in tags_of(runtime, app.app_id)]
        ).collect()
        (left,) = runtime.lake.write_rows(app.app_id, Kind.TAG, rows).added
    lose_state(home)

    recovered = recover(home)

    assert recovered.rebuilt.unnamed == (f"{app.app_id}/tag/{left.path}",)
    with running(home) as runtime:
        operations.vacuum(runtime, app.app_id)
    assert (home / "lake" / app.app_id / "tag" / left.path).is_file()


def tags_of(runtime: Runtime, app_id: str) -> list[DataFile]:
    version = runtime.inbox.last_commits(app_id)[Kind.TAG].version
    return runtime.lake.files(app_id, Kind.TAG, version)


def test_a_state_that_knows_every_app_is_not_recovered(home: Path) -> None:
    with pytest.raises(BadInputError, match="knows all of them"):
        recover(home)
