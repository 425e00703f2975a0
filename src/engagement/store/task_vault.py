"""Seals the secret of a task with a key of its own, which is destroyed when the task has ended.

A database keeps what was deleted in free pages, in its log and in backups. Without the task's key
nothing of that can be opened, although the vault's key stays.
"""

import base64
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from engagement.exceptions import VaultKeyLostError
from engagement.store.durable import sync_path, write_synced
from engagement.store.vault import KEY_BYTES, Vault

_MARK = "key "
"""What a sealed text begins with that needs a key beside the vault's; a URL never does."""


class EndedAttempts(Protocol):
    """Knows tasks."""

    def find_ended(self, task_ids: Collection[str]) -> Mapping[str, int]:
        """For each of these tasks that there is, the last of its attempts that has ended."""


class TaskVault:
    """Seals with the vault's key and with one that lasts as long as an attempt of a task."""

    def __init__(self, vault: Vault, folder: Path) -> None:
        self._vault = vault
        self._folder = folder

    def seal(self, plaintext: str, *, context: str, attempt: int = 1) -> bytes:
        """Return only when the key of a task's attempt is on disk; the text, sealed with it.

        Args:
            plaintext: The secret.
            context: The id of the task.
            attempt: Which attempt of it.
        """
        name = f"{context}-{attempt}-{secrets.token_hex(8)}"
        key = secrets.token_bytes(KEY_BYTES)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_synced(self._folder / name, key)
        sync_path(self._folder)
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
            key = (self._folder / name).read_bytes()
        except FileNotFoundError as error:
            raise VaultKeyLostError(
                "The key of the task is destroyed: the task has ended, or a backup left it out."
            ) from error
        return Vault(key).open(base64.b64decode(inner), context=context)

    def destroy_ended(self, *tasks: EndedAttempts) -> None:
        """Destroy the keys of all attempts that have ended.

        A key whose task is not known is left alone: the task is about to be created.
        """
        if not self._folder.is_dir():
            return
        keys = {path: path.name.split("-") for path in self._folder.iterdir()}
        ended: dict[str, int] = {}
        for known in tasks:
            ended.update(known.find_ended({parts[0] for parts in keys.values()}))
        gone = [path for path, parts in keys.items() if int(parts[1]) <= ended.get(parts[0], 0)]
        for path in gone:
            path.unlink(missing_ok=True)
        if gone:
            sync_path(self._folder)
