"""Tests what becomes of tokens and tasks when keys are exchanged, or one is lost."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import ErrorCode, VaultKeyLostError
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportState, ExportType
from engagement.model.keys import KeyState, KeyStatus, SigningKeys
from engagement.operations.keys import TOKEN_LIFE_MAX
from engagement.runtime.opening import Runtime, open_keyring, open_service
from engagement.settings import Settings
from engagement.store.keyring import KEY_FILE, Keyring
from engagement.store.queries.installation import VAULT_KEY_ID
from support.batches import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", local_roots=(tmp_path / "out",))


@contextmanager
def keyring_of(settings: Settings) -> Iterator[Keyring]:
    with open_keyring(settings, is_exclusive=True) as keyring:
        yield keyring


def signing_keys(settings: Settings) -> SigningKeys:
    with open_service(settings, run_tasks=False) as runtime:
        return operations.read_signing_keys(runtime)


def rotate(settings: Settings, *, hours: int = 0, end_tokens: bool = False) -> KeyStatus:
    with keyring_of(settings) as keyring:
        return operations.rotate_keys(keyring, now=NOW + hours * HOUR, end_tokens=end_tokens)


def reset(settings: Settings) -> KeyStatus:
    with keyring_of(settings) as keyring:
        return operations.reset_keys(keyring, now=NOW)


def queue_export(runtime: Runtime, folder: Path) -> str:
    app = operations.create_app(
        runtime, name="app", collection="c", resource_group="g", subscription="s"
    ).app
    request = ExportRequest(
        app_id=app.app_id,
        export_type=ExportType.DEVICE,
        export_format=ExportFormat.NDJSON,
        container_url=folder.as_uri(),
    )
    return operations.create_export(runtime, request).task_id


def lose_key(settings: Settings) -> None:
    (settings.home / "keys" / KEY_FILE).unlink()


def test_a_home_that_nobody_used_has_no_keys(settings: Settings) -> None:
    with open_keyring(settings, is_exclusive=False) as keyring:
        found = operations.read_key_status(keyring, now=NOW)

    assert (found.vault_key, found.signing_key) == (KeyState.NONE, KeyState.NONE)
    assert not (settings.home / "keys").exists()


def test_a_rotation_exchanges_both_keys_and_keeps_the_former_for_a_while(
    settings: Settings,
) -> None:
    first = signing_keys(settings)
    assert first == signing_keys(settings)
    assert "PRIVATE KEY" not in repr(first)
    with keyring_of(settings) as keyring:
        before = operations.read_key_status(keyring, now=NOW)

    rotated = rotate(settings)
    second = signing_keys(settings)
    rotate(settings, hours=1)
    third = signing_keys(settings)
    late = rotate(settings, hours=3)

    assert (rotated.vault_key, rotated.signing_key) == (KeyState.PRESENT, KeyState.PRESENT)
    assert rotated.vault_key_id != before.vault_key_id
    assert rotated.former_keys_end_at == (NOW + TOKEN_LIFE_MAX,)
    assert len({keys.private_key_pem for keys in (first, second, third)}) == 3
    assert third.former[: len(second.former)] == second.former
    assert [len(keys.former) for keys in (first, second, third)] == [0, 1, 2]
    assert late.former_keys_end_at == (NOW + 3 * HOUR + TOKEN_LIFE_MAX,)


def test_a_rotation_may_end_the_tokens(settings: Settings) -> None:
    first = signing_keys(settings)
    rotate(settings)

    assert rotate(settings, end_tokens=True).former_keys_end_at == ()
    assert signing_keys(settings).former == ()
    assert signing_keys(settings) != first


def test_a_task_goes_on_after_a_rotation(settings: Settings, tmp_path: Path) -> None:
    with open_service(settings, run_tasks=False) as runtime:
        task_id = queue_export(runtime, tmp_path / "out")

    assert rotate(settings).sealed == 2

    with open_service(settings) as runtime:
        assert operations.wait_export(runtime, task_id).state is ExportState.SUCCEEDED


def test_without_its_key_a_service_says_so_and_makes_no_other(settings: Settings) -> None:
    signing_keys(settings)
    lose_key(settings)

    for _ in range(2):
        with pytest.raises(VaultKeyLostError, match="engagement keys reset"):
            signing_keys(settings)
    with pytest.raises(VaultKeyLostError):
        rotate(settings)
    with open_keyring(settings, is_exclusive=False) as keyring:
        found = operations.read_key_status(keyring, now=NOW)
    assert (found.vault_key, found.signing_key) == (KeyState.LOST, KeyState.LOST)
    assert not (settings.home / "keys" / KEY_FILE).exists()


def test_after_a_reset_tasks_fail_by_name_and_can_be_retried(
    settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with open_service(settings, run_tasks=False) as runtime:
        task_id = queue_export(runtime, out)
        before = operations.read_signing_keys(runtime)
    rotate(settings)
    lose_key(settings)

    status = reset(settings)

    assert (status.vault_key, status.signing_key) == (KeyState.PRESENT, KeyState.PRESENT)
    assert (status.sealed, status.sealed_lost) == (1, 1)
    assert rotate(settings, end_tokens=True).sealed_lost == 1
    with open_service(settings) as runtime:
        assert operations.read_signing_keys(runtime) != before
        assert operations.read_signing_keys(runtime).former == ()
        failed = operations.wait_export(runtime, task_id)
        assert (failed.state, failed.error_code) == (ExportState.FAILED, ErrorCode.VAULT_KEY_LOST)
        operations.retry_export(runtime, task_id, container_url=out.as_uri())
        assert operations.wait_export(runtime, task_id).state is ExportState.SUCCEEDED


def test_a_reset_changes_nothing_while_nothing_is_lost(settings: Settings) -> None:
    before = signing_keys(settings)
    rotate(settings)
    rotated = signing_keys(settings)

    assert reset(settings).vault_key is KeyState.PRESENT

    assert signing_keys(settings) == rotated != before


def test_a_signing_key_of_a_lost_vault_is_made_anew(settings: Settings) -> None:
    """As in a home whose key was lost before the state database named it."""
    before = signing_keys(settings)
    lose_key(settings)
    with closing(sqlite3.connect(settings.home / "state.db")) as database, database:
        database.execute("DELETE FROM installation WHERE name = ?", (VAULT_KEY_ID,))

    with pytest.raises(VaultKeyLostError):
        signing_keys(settings)
    status = reset(settings)

    assert (status.vault_key, status.signing_key) == (KeyState.PRESENT, KeyState.PRESENT)
    assert signing_keys(settings) != before
