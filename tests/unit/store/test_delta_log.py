"""Tests that a table's log takes a numbered commit, and tells which groups came too late."""

from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from engagement.model.records import Kind
from engagement.store.commits import FileChange, OpenCommit, TableChange
from engagement.store.delta_log import add_commit, find_newest_number, find_outdated_groups


def file(path: str) -> FileChange:
    statistics = '{"numRecords":1,"minValues":{},"maxValues":{},"nullCount":{}}'
    return FileChange(path=path, bytes=1, rows=1, day=None, statistics=statistics)


def pending(number: int, **changes: TableChange) -> OpenCommit:
    return OpenCommit(
        kind=Kind.TAG, commit_id=number, recorded_version=None, recorded_rows=0, changes=changes
    )


@pytest.fixture
def table(tmp_path: Path) -> DeltaTable:
    """A table with one file, which the commit of number 1 added."""
    change = TableChange(added=(file("first"),))
    return add_commit(str(tmp_path / "tag"), None, pending(1), change)


def test_a_commit_is_found_by_its_number(table: DeltaTable) -> None:
    assert find_newest_number(table) == 1

    changed = add_commit(table.table_uri, table, pending(2), TableChange(added=(file("second"),)))

    assert find_newest_number(changed) == 2
    assert [Path(uri).name for uri in sorted(changed.file_uris())] == ["first", "second"]


def test_who_saw_an_older_version_adds_nothing(table: DeltaTable) -> None:
    late = DeltaTable(table.table_uri)
    add_commit(table.table_uri, table, pending(2), TableChange(added=(file("second"),)))

    with pytest.raises(CommitFailedError):
        add_commit(table.table_uri, late, pending(2), TableChange(added=(file("third"),)))


def test_who_saw_no_table_yet_adds_nothing_to_one_that_another_made(table: DeltaTable) -> None:
    with pytest.raises(CommitFailedError):
        add_commit(table.table_uri, None, pending(1), TableChange(added=(file("second"),)))

    assert [Path(uri).name for uri in DeltaTable(table.table_uri).file_uris()] == ["first"]


def test_a_group_is_outdated_if_a_file_that_it_replaces_is_gone(table: DeltaTable) -> None:
    changes = {
        "adds": TableChange(added=(file("second"),)),
        "replaces": TableChange(added=(file("third"),), removed=(file("first"),)),
        "late": TableChange(added=(file("fourth"),), removed=(file("zeroth"),)),
    }

    assert find_outdated_groups(table, pending(2, **changes)) == {"late"}
    assert find_outdated_groups(None, pending(2, adds=changes["adds"])) == set()
