"""Tests that the vault's key is the one that everything is sealed with, or that it is missed."""

import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from engagement.exceptions import BadInputError, VaultKeyLostError
from engagement.failpoints import Failpoint
from engagement.store.keyring import KEY_FILE, NEXT_KEY_FILE, Keyring
from engagement.store.queries.installation import SIGNING_KEY, VAULT_KEY_ID, InstallationQueries
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.state import open_state
from engagement.store.vault import KEY_BYTES, Vault, write_new_key
from support.home import StoppedError, queued_task, stop_at

POINTS = [point for point in Failpoint if point.value.startswith("keys_")]


@pytest.fixture
def installation(tmp_path: Path) -> InstallationQueries:
    return InstallationQueries(open_state(f"sqlite:///{tmp_path / 'state.db'}"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def keyring_of(folder: Path, installation: InstallationQueries) -> Keyring:
    return Keyring(folder.parent, installation, is_owner=True)


def test_a_key_is_made_once(folder: Path, installation: InstallationQueries) -> None:
    first, second = (keyring_of(folder, installation).open_vault() for _ in range(2))

    assert first.key_id == second.key_id == installation.find_value(VAULT_KEY_ID)


@pytest.mark.parametrize("left", [None, b"", b"garbage", b"another"])
def test_a_lost_key_is_missed_and_no_other_is_taken(
    folder: Path, installation: InstallationQueries, left: bytes | None
) -> None:
    key_id = keyring_of(folder, installation).open_vault().key_id
    file = folder / KEY_FILE
    kept = file.read_bytes()
    file.unlink()
    if left == b"another":
        write_new_key(file)
    elif left is not None:
        file.write_bytes(left)
    before = sorted((item.name, item.read_bytes()) for item in folder.iterdir())

    with pytest.raises(VaultKeyLostError, match=key_id.hex()):
        keyring_of(folder, installation).open_vault()
    assert sorted((item.name, item.read_bytes()) for item in folder.iterdir()) == before
    file.write_bytes(kept)

    assert keyring_of(folder, installation).open_vault().key_id == key_id


def test_a_new_installation_does_not_take_a_file_for_a_key(
    folder: Path, installation: InstallationQueries
) -> None:
    folder.mkdir()
    (folder / KEY_FILE).write_bytes(b"garbage")

    with pytest.raises(BadInputError, match=KEY_FILE):
        keyring_of(folder, installation).open_vault()


@pytest.mark.parametrize("point", POINTS)
def test_an_exchange_that_ends_anywhere_leaves_the_key_that_is_needed(
    tmp_path: Path, folder: Path, point: Failpoint
) -> None:
    engine: sa.Engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    installation = InstallationQueries(engine)
    old = keyring_of(folder, installation).open_vault()
    TaskQueries(engine).add(queued_task("1"), sealed_container_url=old.seal("url", context="1"))

    def open_url() -> str:
        sealed = PlanQueries(engine).read_export("1").sealed_container_url
        assert sealed is not None
        return keyring_of(folder, installation).open_vault().open(sealed, context="1")

    with pytest.raises(StoppedError):
        Keyring(folder.parent, installation, is_owner=True, on_failpoint=stop_at(point)).exchange(
            old, {}, "key"
        )

    assert open_url() == "url"
    again = keyring_of(folder, installation)
    new = again.exchange(again.open_vault(), {}, "key")
    assert open_url() == "url"
    assert new.key_id not in {old.key_id, b""}
    sealed_key = installation.find_value(SIGNING_KEY)
    assert sealed_key is not None
    assert new.open(sealed_key, context=SIGNING_KEY) == "key"
    assert [item.name for item in folder.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600


def test_only_the_owner_of_the_home_completes_an_exchange(
    folder: Path, installation: InstallationQueries
) -> None:
    """Another process, held up between two looks, would put the next new key in the old's place."""
    old = keyring_of(folder, installation).open_vault()
    cut_off = Keyring(
        folder.parent, installation, is_owner=True, on_failpoint=stop_at(Failpoint.KEYS_COMMITTED)
    )
    with pytest.raises(StoppedError):
        cut_off.exchange(old, {}, "key")
    files = sorted(folder.iterdir())

    seen = Keyring(folder.parent, installation, is_owner=False).open_vault()

    assert seen.key_id == installation.find_value(VAULT_KEY_ID) != old.key_id
    assert sorted(folder.iterdir()) == files == [folder / KEY_FILE, folder / NEXT_KEY_FILE]
    assert keyring_of(folder, installation).open_vault().key_id == seen.key_id
    assert list(folder.iterdir()) == [folder / KEY_FILE]


def test_a_new_key_is_on_disk_before_anything_is_sealed_with_it(
    folder: Path, installation: InstallationQueries, synced: list[Path]
) -> None:
    seen: dict[Failpoint, list[str]] = {}
    keyring = Keyring(
        folder.parent,
        installation,
        is_owner=True,
        on_failpoint=lambda point: seen.update({point: [path.name for path in synced]}),
    )
    vault = keyring.open_vault()
    synced.clear()

    keyring.exchange(vault, {}, "key")

    written, folder_synced = seen[Failpoint.KEYS_WRITTEN]
    assert written.startswith(NEXT_KEY_FILE)
    assert folder_synced == folder.name
    assert seen[Failpoint.KEYS_EXCHANGED][-1] == folder.name
    assert len(seen[Failpoint.KEYS_EXCHANGED]) == 3


def test_what_opens_with_no_key_is_left_as_it_is(tmp_path: Path, folder: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    keyring = keyring_of(folder, InstallationQueries(engine))
    lost = Vault(bytes(KEY_BYTES)).seal("url", context="1")
    TaskQueries(engine).add(queued_task("1"), sealed_container_url=lost)

    new = keyring.exchange(keyring.open_vault(), {}, "key")

    assert PlanQueries(engine).read_export("1").sealed_container_url == lost
    with pytest.raises(VaultKeyLostError):
        new.open(lost, context="1")
