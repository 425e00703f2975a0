"""Seals the secret of a task with a key of its own, which is destroyed when the task has ended.

A database keeps what was deleted in free pages, in its log and in backups. Without the task's key
nothing of that can be opened, although the vault's key stays.
"""

import base64
import secrets
from collections.abc import Collection, Mapping
from typing import Protocol

from engagement.exceptions import VaultKeyLostError
from engagement.store.task_keys import TaskKeys
from engagement.store.vault import KEY_BYTES, Vault

_MARK = "key "
"""What a sealed text begins with that needs a key beside the vault's; a URL never does."""


class EndedAttempts(Protocol):
    """Knows tasks."""

    def find_ended(self, task_ids: Collection[str]) -> Mapping[str, int]:
        """For each of these tasks that there is, the last of its attempts that has ended."""


class TaskVault:
    """Seals with the vault's key and with one that lasts as long as an attempt of a task."""

    def __init__(self, vault: Vault, keys: TaskKeys) -> None:
        self._vault = vault
        self._keys = keys

    def seal(self, plaintext: str, *, context: str, attempt: int = 1) -> bytes:
        """Return only when the key of a task's attempt is kept; the text, sealed with it.

        Args:
            plaintext: The secret.
            context: The id of the task.
            attempt: Which attempt of it.
        """
        name = f"{context}-{attempt}-{secrets.token_hex(8)}"
        key = secrets.token_bytes(KEY_BYTES)
        self._keys.keep(name, key)
        inner = base64.b64encode(Vault(key).seal(plaintext, context=context)).decode()
        return self._vault.seal(f"{_MARK}{name} {inner}", context=context)

    def open(self, sealed: bytes, *, context: str) -> str:
        """The text that was sealed for a task.

        Raises:
            VaultKeyLostError: The task has ended, so that its key is destroyed, or a backup left
                the key out; or the vault's key is lost.
            EngagementError: It was sealed for another task, or altered.
        """
        text = self._vault.open(sealed, context=context)
        if not text.startswith(_MARK):
            return text  # a release before there were keys of tasks sealed it
        name, inner = text.removeprefix(_MARK).split(" ")
        try:
            key = self._keys.read(name)
        except FileNotFoundError as error:
            raise VaultKeyLostError(
                "The key of the task is destroyed: the task has ended, or a backup left it out."
            ) from error
        return Vault(key).open(base64.b64decode(inner), context=context)

    def destroy_ended(self, *tasks: EndedAttempts) -> None:
        """Destroy the keys of all attempts that have ended.

        A key whose task is not known is left alone: the task is about to be created.
        """
        keys = {name: name.split("-") for name in self._keys.list_names()}
        ended: dict[str, int] = {}
        for known in tasks:
            ended.update(known.find_ended({parts[0] for parts in keys.values()}))
        gone = [name for name, parts in keys.items() if int(parts[1]) <= ended.get(parts[0], 0)]
        self._keys.destroy(gone)
