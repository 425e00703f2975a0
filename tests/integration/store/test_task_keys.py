"""Tests that keys of tasks are kept apart from the state database, and destroyed."""

from pathlib import Path

import pytest

from engagement.store.task_keys import FolderKeys, LakeKeys, TaskKeys
from support.bucket_lake import name_bucket_lake
from support.servers import S3


@pytest.fixture(params=["a folder", "a bucket"])
def keys(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TaskKeys:
    if request.param == "a folder":
        return FolderKeys(tmp_path / "keys")
    server: S3 = request.getfixturevalue("s3")
    return LakeKeys(name_bucket_lake(server, monkeypatch))


def test_a_key_is_there_until_it_is_destroyed(keys: TaskKeys) -> None:
    assert keys.list_names() == []
    keys.keep("one-1-aa", b"1" * 32)
    keys.keep("two-1-bb", b"2" * 32)

    keys.destroy(["one-1-aa", "never-1-cc"])

    assert keys.list_names() == ["two-1-bb"]
    assert keys.read("two-1-bb") == b"2" * 32
    with pytest.raises(FileNotFoundError):
        keys.read("one-1-aa")
