"""Tests that what is no backup, no place for one, or damaged is refused, and by its name."""

import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable

from engagement import operations
from engagement.exceptions import (
    BadInputError,
    EngagementError,
    IllegalStateError,
    LakeDamagedError,
    VaultKeyLostError,
)
from engagement.model.records import Kind
from engagement.runtime.backups import MANIFEST, back_up, restore
from engagement.settings import Settings
from support.backup_place import BackupFolders
from support.whole_service import register_app, running


def test_a_backup_needs_an_empty_place_of_its_own(place: BackupFolders) -> None:
    place.target.mkdir()
    (place.target / "letter.txt").write_text("dear")
    with pytest.raises(BadInputError, match=r"holds 1 files, such as letter\.txt"):
        place.back_up()
    (place.target / "letter.txt").unlink()
    place.back_up()

    with pytest.raises(BadInputError, match="needs an empty place"):
        place.back_up()


def test_the_place_of_a_restore_must_be_empty(backed_up: BackupFolders) -> None:
    with running(backed_up.restored) as runtime:
        register_app(runtime)

    with pytest.raises(BadInputError, match="must be no state database yet"):
        backed_up.restore()

    shutil.rmtree(backed_up.restored)
    (backed_up.restored / "lake").mkdir(parents=True)
    (backed_up.restored / "lake" / "letter.txt").write_text("dear")
    with pytest.raises(BadInputError, match=r"holds 1 files, such as letter\.txt"):
        backed_up.restore()


@pytest.mark.parametrize("damaged", ["state.db", "SHA256SUMS", MANIFEST, "part-*", "*.json"])
@pytest.mark.parametrize("how", ["missing", "altered"])
def test_a_damaged_backup_is_refused_by_name(
    backed_up: BackupFolders, damaged: str, how: str
) -> None:
    file = max(
        (
            file
            for file in backed_up.target.rglob(damaged)
            if damaged != "*.json" or "lake" in str(file)
        ),
        key=lambda file: file.stat().st_size,
    )
    if how == "missing":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0x10
        file.write_bytes(data)

    with pytest.raises(EngagementError) as refused:
        backed_up.restore()

    assert file.name in str(refused.value)
    assert not (backed_up.restored / "state.db").exists()


def find_event_file(place: BackupFolders) -> Path:
    """A file that the table of events needs."""
    (table,) = (place.home / "lake").glob("*/event")
    return Path(DeltaTable(table).file_uris()[0])


def test_a_damaged_lake_is_not_backed_up_as_if_it_were_whole(place: BackupFolders) -> None:
    file = find_event_file(place)
    file.write_bytes(b"PAR1" + bytes(file.stat().st_size - 8) + b"PAR1")

    with pytest.raises(LakeDamagedError, match=file.name):
        place.back_up()


def test_a_table_that_is_known_to_be_damaged_does_not_keep_the_others(place: BackupFolders) -> None:
    file = find_event_file(place)
    file.unlink()
    with running(place.home) as runtime:
        assert operations.list_damaged_tables(runtime)

    backup = place.back_up()

    assert Kind.EVENT not in {table.kind for table in backup.tables}
    assert Kind.JOB in {table.kind for table in backup.tables}
    place.restore()
    with running(place.restored) as runtime:
        (damaged,) = operations.list_damaged_tables(runtime)
        assert damaged.kind is Kind.EVENT


def test_without_the_key_a_restored_service_says_which_one_it_needs(place: BackupFolders) -> None:
    backup = back_up(Settings(home=place.home), str(place.target))
    restore(Settings(home=place.restored), str(place.target))

    with pytest.raises(VaultKeyLostError, match=backup.vault_key_id), running(place.restored):
        pass

    assert not list(place.target.rglob("*.key"))


def test_the_key_is_never_copied_into_the_backup(place: BackupFolders) -> None:
    with pytest.raises(BadInputError, match="must be kept apart"):
        back_up(
            Settings(home=place.home), str(place.target), key_file=place.target / "keys" / "key"
        )


def test_a_clusters_key_is_kept_by_whoever_gives_it_to_machines(place: BackupFolders) -> None:
    """It is said before anything is copied, or looked for."""
    settings = Settings(home=place.home, state_url="postgresql+psycopg://nobody@nowhere/state")
    for copying in (back_up, restore):
        with pytest.raises(BadInputError, match="leave out --key-file"):
            copying(settings, str(place.target), key_file=place.key)

    assert not place.target.exists()


def test_another_services_key_is_refused(backed_up: BackupFolders) -> None:
    with running(backed_up.folder / "other"):
        pass
    shutil.copy(backed_up.folder / "other" / "keys" / "vault.key", backed_up.key)

    with pytest.raises(IllegalStateError, match="another service's"):
        backed_up.restore()


def test_nobody_else_can_read_what_was_copied(place: BackupFolders) -> None:
    place.back_up()
    place.restore()

    for file in [*place.target.rglob("*"), *place.restored.rglob("*"), place.key]:
        assert file.stat().st_mode & 0o077 == 0, file


def test_where_no_service_is_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="must be a state database"):
        back_up(Settings(home=tmp_path / "none"), str(tmp_path / "backup"))

    assert not (tmp_path / "none").exists()
