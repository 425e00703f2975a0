"""Keeps the keys of tasks apart from the state database: in a folder, or where the lake is."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from engagement.store.durable import sync_path, write_synced
from engagement.store.object_files import list_files, open_files

LAKE_FOLDER = "_task_keys"
"""Beside the folders of apps, which are called by their ids."""


class TaskKeys(Protocol):
    """Keys by their names; every name is written once."""

    def keep(self, name: str, key: bytes) -> None:
        """Return only when a key is kept for good."""

    def read(self, name: str) -> bytes:
        """The key.

        Raises:
            FileNotFoundError: It was destroyed.
        """

    def list_names(self) -> list[str]:
        """The names of all keys that there are."""

    def destroy(self, names: Collection[str]) -> None:
        """Return only when these keys are gone."""


class FolderKeys:
    """Keys in files that only their owner can read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, name: str, key: bytes) -> None:
        """Return only when a key is on disk."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_synced(self._folder / name, key)
        sync_path(self._folder)

    def read(self, name: str) -> bytes:
        """The key.

        Raises:
            FileNotFoundError: It was destroyed.
        """
        return (self._folder / name).read_bytes()

    def list_names(self) -> list[str]:
        """The names of all keys that there are."""
        return [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []

    def destroy(self, names: Collection[str]) -> None:
        """Return only when these keys are gone."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)
        if names:
            sync_path(self._folder)


class LakeKeys:
    """Keys in objects beside the lake's tables, where every machine finds them.

    Not in the state database, whose backups hold what the keys are for.
    """

    def __init__(self, lake_url: str) -> None:
        self._files = open_files(f"{lake_url.rstrip('/')}/{LAKE_FOLDER}")

    def keep(self, name: str, key: bytes) -> None:
        """Return only when the storage has acknowledged a key."""
        # The buffer takes it whole: what is below it takes nothing but bytes.
        with self._files.open_output_stream(name, buffer_size=len(key) + 1) as stream:
            stream.write(key)

    def read(self, name: str) -> bytes:
        """The key.

        Raises:
            FileNotFoundError: It was destroyed.
        """
        with self._files.open_input_file(name) as stream:
            content: bytes = stream.read()
        return content

    def list_names(self) -> list[str]:
        """The names of all keys that there are."""
        return list(list_files(self._files))

    def destroy(self, names: Collection[str]) -> None:
        """Return only when these keys are gone."""
        for name in names:
            with suppress(FileNotFoundError):
                self._files.delete_file(name)
