"""Tests that a backup goes to object storage, and from one kind of service to the other."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement import operations
from engagement.model.exports import ExportType
from engagement.runtime.backups import back_up, restore
from engagement.settings import Settings
from support.bucket_lake import name_bucket_lake
from support.postgres import open_postgres
from support.servers import S3
from support.whole_service import BATCHES, WAITING, app_id_of, export_all, running, take


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    return name_bucket_lake(s3, monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an empty database."""
    with open_postgres(is_durable=True) as url:
        yield url


def test_a_backup_is_restored_on_many_machines_and_theirs_on_one(
    whole: Path,
    expected: dict[ExportType, list[bytes]],
    bucket: str,
    server: str,
    tmp_path: Path,
) -> None:
    """From a folder to a bucket, to PostgreSQL and a bucket, to a bucket, and to a folder."""
    key = tmp_path / "vault.key"
    cluster = Settings(home=tmp_path / "cluster", state_url=server, lake_url=f"{bucket}/lake")
    shutil.copy(whole / "keys" / "vault.key", key)

    first = back_up(Settings(home=whole), f"{bucket}/first")
    restore(cluster, f"{bucket}/first")
    with running(
        cluster.home, state_url=server, lake_url=cluster.lake_url, vault_key=key.read_text()
    ) as runtime:
        app_id = app_id_of(runtime)
        assert export_all(runtime, app_id) == expected
        second = back_up(cluster, f"{bucket}/second")
    restore(Settings(home=tmp_path / "home"), f"{bucket}/second", key_file=key)

    assert second.state["apps"] == first.state["apps"]
    assert second.state["accepted"] == first.state["accepted"]
    with running(tmp_path / "home") as runtime:
        assert export_all(runtime, app_id) == expected
        assert not any(take(runtime, app_id, *BATCHES, *WAITING))
        assert operations.check_lake(runtime).damaged == ()
