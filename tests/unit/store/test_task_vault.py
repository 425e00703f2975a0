"""Tests that a task's secret can be opened until the task has ended, and never afterwards."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from engagement.exceptions import EngagementError
from engagement.store.task_keys import FolderKeys
from engagement.store.task_vault import TaskVault
from engagement.store.vault import KEY_BYTES, Vault

PLAIN = Vault(bytes(range(KEY_BYTES)))
URL = "https://account.example/container?sig=canary"


class _Ended:
    def __init__(self, ended: Mapping[str, int]) -> None:
        self._ended = ended

    def find_ended(self, task_ids: Collection[str]) -> Mapping[str, int]:
        return {task: attempt for task, attempt in self._ended.items() if task in task_ids}


def test_a_secret_outlives_its_task_in_no_file(tmp_path: Path) -> None:
    vault = TaskVault(PLAIN, FolderKeys(tmp_path / "tasks"))
    sealed = vault.seal(URL, context="a")
    assert vault.open(sealed, context="a") == URL
    assert URL not in PLAIN.open(sealed, context="a"), "the vault's key alone is not enough"

    vault.destroy_ended(_Ended({"a": 1}))

    with pytest.raises(EngagementError, match="ended"):
        vault.open(sealed, context="a")
    assert list((tmp_path / "tasks").iterdir()) == []


def test_keys_of_what_goes_on_are_kept(tmp_path: Path) -> None:
    vault = TaskVault(PLAIN, FolderKeys(tmp_path / "tasks"))
    first, running, created = (vault.seal(URL, context=task) for task in ("a", "b", "c"))
    again = vault.seal(URL, context="a", attempt=2)

    vault.destroy_ended(_Ended({"a": 1}), _Ended({"b": 0}))

    assert [vault.open(each, context="a") for each in (again,)] == [URL]
    assert vault.open(running, context="b") == vault.open(created, context="c") == URL
    with pytest.raises(EngagementError):
        vault.open(first, context="a")


def test_what_an_earlier_release_sealed_can_be_opened(tmp_path: Path) -> None:
    vault = TaskVault(PLAIN, FolderKeys(tmp_path / "tasks"))

    assert vault.open(PLAIN.seal(URL, context="a"), context="a") == URL
    vault.destroy_ended()


def test_a_key_is_of_its_owner_alone(tmp_path: Path) -> None:
    TaskVault(PLAIN, FolderKeys(tmp_path / "tasks")).seal(URL, context="a")

    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tasks").iterdir()} == {0o600}
