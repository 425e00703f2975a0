"""Tests that files are copied whole and for good, on a local disk and on object storage alike."""

import hashlib
from pathlib import Path

import pytest

from engagement.store.file_trees import FileTree, open_file_tree


@pytest.fixture
def location(tmp_path: Path) -> str:
    """Where nothing is yet; tests/integration gives a bucket in its place."""
    return str(tmp_path / "not" / "there yet")


@pytest.fixture
def tree(location: str) -> FileTree:
    return open_file_tree(location)


def test_where_nothing_is_nothing_is_listed(tree: FileTree) -> None:
    assert tree.list() == {}
    assert tree.list("folder") == {}


def test_what_is_written_is_listed_and_read(tree: FileTree) -> None:
    tree.write("a/b/first", b"123")
    tree.write("a.json", b"")
    tree.write("a/b/first", b"1234")

    assert tree.list() == {"a/b/first": 4, "a.json": 0}
    assert tree.list("a") == {"a/b/first": 4}
    assert tree.read("a/b/first") == b"1234"
    assert tree.read("a.json") == b""


def test_large_files_come_and_go_in_blocks(tree: FileTree, tmp_path: Path) -> None:
    data = bytes(range(251)) * 80_000
    (tmp_path / "large").write_bytes(data)

    sent = tree.upload("deep/large", tmp_path / "large")
    received = tree.download("deep/large", tmp_path / "again")

    assert sent == received == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "again").read_bytes() == data
    assert tree.list("deep") == {"deep/large": len(data)}


def test_what_is_not_there_is_said(tree: FileTree, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tree.read("nothing")
    with pytest.raises(FileNotFoundError):
        tree.download("nothing", tmp_path / "file")


def test_what_is_deleted_is_gone_and_what_was_not_there_is_left_aside(tree: FileTree) -> None:
    tree.write("first", b"1")
    tree.write("second", b"2")

    tree.delete(["first", "nothing"])

    assert tree.list() == {"second": 1}


def test_a_file_and_the_folders_that_name_it_are_brought_to_disk(
    tmp_path: Path, synced: list[Path]
) -> None:
    tree = open_file_tree(str(tmp_path / "root"))

    tree.write("folder/file", b"1")

    folder = tmp_path / "root" / "folder"
    assert synced[-2:] == [folder / "file.unfinished", folder]
    assert {tmp_path, tmp_path / "root"} <= set(synced)


def test_a_file_that_was_not_written_to_its_end_is_none(tmp_path: Path) -> None:
    tree = open_file_tree(str(tmp_path))
    (tmp_path / "file.unfinished").write_bytes(b"1")

    assert tree.list() == {}
    tree.write("file", b"12")
    assert tree.list() == {"file": 2}
    (tmp_path / "other.unfinished").write_bytes(b"1")
    tree.delete_unfinished()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
