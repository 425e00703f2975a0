"""Makes files of a home folder survive power loss; those of the lake too, which delta-rs leaves."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

_PARQUET_MAGIC = b"PAR1"


def sync_files(table: Path, paths: Iterable[str]) -> None:
    """Return only when data files, and the folders that name them, are on disk.

    Without it what is staged would be only in the page cache, and a power loss takes that.
    """
    folders = {table}
    for path in paths:
        sync_path(table / path)
        folders.add((table / path).parent)
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        sync_path(folder)


def sync_commit(commit_file: Path) -> None:
    """Return only when a commit, its checkpoint and the folder that names them are on disk."""
    log = commit_file.parent
    for checkpoint in log.glob(f"{commit_file.stem}.checkpoint*"):
        sync_path(checkpoint)
    last_checkpoint = log / "_last_checkpoint"
    if last_checkpoint.exists():
        sync_path(last_checkpoint)
    sync_path(commit_file)
    sync_path(log)


def sync_tree_root(root: Path, table: Path) -> None:
    """Return only when a table's folder and those above it, the lake's root too, are on disk."""
    for folder in (table, *table.parents):
        sync_path(folder)
        if folder == root.parent:  # it holds the name of the root
            break


def write_synced(path: Path, content: bytes) -> None:
    """Return only when a file's content is on disk; only its owner can ever read it.

    That the folder names it is on disk after `sync_path` of the folder alone.
    """
    path.unlink(missing_ok=True)  # whoever can read a file that is there could read on
    with create_private(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def create_private(path: Path) -> BinaryIO:
    """A new file that its owner alone can read."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def sync_path(path: Path) -> None:
    """Return only when a file's content, or a folder's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parquet_bytes(path: Path) -> int | None:
    """The size of a Parquet file; None if it is missing or does not begin and end as one.

    A power loss may leave a file with its size but without its content.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_PARQUET_MAGIC))
            file.seek(-len(_PARQUET_MAGIC), os.SEEK_END)
            is_parquet = head == file.read() == _PARQUET_MAGIC
            return file.tell() if is_parquet else None
    except OSError:
        return None
