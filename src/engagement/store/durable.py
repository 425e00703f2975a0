"""Makes files of a local lake survive power loss, which delta-rs leaves to us."""

import json
import os
from pathlib import Path

_PARQUET_MAGIC = b"PAR1"


def sync_commit(table: Path, commit_file: Path) -> None:
    """Return only when a commit, the files it adds and the folders that name them are on disk.

    Without it an acknowledged commit is only in the page cache and a power loss takes it.
    """
    folders = {table, commit_file.parent}
    for line in commit_file.read_bytes().splitlines():
        added = json.loads(line).get("add")
        if added is not None:
            file = table / added["path"]
            sync_path(file)
            folders.add(file.parent)
    for checkpoint in commit_file.parent.glob(f"{commit_file.stem}.checkpoint*"):
        sync_path(checkpoint)
    last_checkpoint = commit_file.parent / "_last_checkpoint"
    if last_checkpoint.exists():
        sync_path(last_checkpoint)
    sync_path(commit_file)
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        sync_path(folder)


def sync_tree_root(root: Path, table: Path) -> None:
    """Return only when a table's folder and those above it, the lake's root too, are on disk."""
    for folder in (table, *table.parents):
        sync_path(folder)
        if folder == root.parent:  # it holds the name of the root
            break


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
