"""Tests which files and folders are brought to disk, and what passes for a Parquet file."""

from pathlib import Path

import pytest

from engagement.store.durable import (
    parquet_bytes,
    sync_commit,
    sync_files,
    sync_tree_root,
    write_synced,
)


def test_files_are_brought_to_disk_before_the_folders_that_name_them(
    tmp_path: Path, synced: list[Path]
) -> None:
    table = tmp_path / "table"
    added = table / "date=2026-01-01" / "part.parquet"
    added.parent.mkdir(parents=True)
    added.write_bytes(b"rows")

    sync_files(table, ["date=2026-01-01/part.parquet"])

    assert synced == [added, added.parent, table]


def test_a_written_file_is_on_disk_and_its_owners_alone(tmp_path: Path, synced: list[Path]) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"longer than what follows")
    file.unlink()

    write_synced(file, b"secret")
    write_synced(file, b"new")

    assert synced == [file, file]
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)


def test_a_checkpoint_is_brought_to_disk_with_its_commit(
    tmp_path: Path, synced: list[Path]
) -> None:
    log = tmp_path / "_delta_log"
    log.mkdir()
    commit = log / "00000000000000000010.json"
    others = [log / "00000000000000000010.checkpoint.parquet", log / "_last_checkpoint"]
    for path in (commit, *others):
        path.write_bytes(b"")

    sync_commit(commit)

    assert synced == [*others, commit, log]


def test_the_folders_up_to_the_one_that_names_the_lake_are_brought_to_disk(
    tmp_path: Path, synced: list[Path]
) -> None:
    root = tmp_path / "lake"
    table = root / "app" / "event"
    table.mkdir(parents=True)

    sync_tree_root(root, table)

    assert synced == [table, root / "app", root, tmp_path]


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (b"PAR1 rows PAR1", 14),
        (b"PAR1PAR1", 8),
        (b"PAR1 rows PAR", None),
        (b"\0" * 14, None),
        (b"", None),
    ],
)
def test_a_file_has_a_size_only_if_it_begins_and_ends_as_parquet(
    tmp_path: Path, content: bytes, size: int | None
) -> None:
    file = tmp_path / "part.parquet"
    file.write_bytes(content)

    assert parquet_bytes(file) == size
    assert parquet_bytes(tmp_path / "missing") is None
