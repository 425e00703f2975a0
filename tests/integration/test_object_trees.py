"""Runs the tests of tests/unit/store/test_file_trees.py that are about any place with a bucket."""

import pytest

from engagement.exceptions import StorageUnavailableError
from engagement.store.file_trees import open_file_tree
from support.bucket_lake import name_bucket_lake
from support.servers import S3
from unit.store.test_file_trees import (
    test_large_files_come_and_go_in_blocks,
    test_what_is_deleted_is_gone_and_what_was_not_there_is_left_aside,
    test_what_is_not_there_is_said,
    test_what_is_written_is_listed_and_read,
    test_where_nothing_is_nothing_is_listed,
    tree,
)

__all__ = [
    "test_large_files_come_and_go_in_blocks",
    "test_what_is_deleted_is_gone_and_what_was_not_there_is_left_aside",
    "test_what_is_not_there_is_said",
    "test_what_is_written_is_listed_and_read",
    "test_where_nothing_is_nothing_is_listed",
    "tree",
]


@pytest.fixture
def location(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    return name_bucket_lake(s3, monkeypatch)


def test_a_bucket_that_is_not_there_is_said_without_its_address(location: str, s3: S3) -> None:
    tree = open_file_tree(location.replace("s3://c-", "s3://other-"))

    with pytest.raises(StorageUnavailableError) as refused:
        tree.write("file", b"1")

    assert s3.endpoint not in str(refused.value)
