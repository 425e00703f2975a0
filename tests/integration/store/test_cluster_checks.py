"""Tests that a cluster does not start where what it acknowledges would be lost."""

import base64
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from engagement.exceptions import (
    EngagementError,
    ErrorCode,
    OlderSchemaError,
    UnsafeStorageError,
    VaultKeyLostError,
)
from engagement.runtime.migrating import migrate_state
from engagement.runtime.opening import open_service
from engagement.settings import Settings
from engagement.store.cluster_checks import check_database, check_lake
from engagement.store.state import MIGRATIONS, open_state, read_schema
from support.bucket_lake import name_bucket_lake
from support.http_servers import Relay, RelayHandler, serve
from support.postgres import open_postgres
from support.servers import S3

STARTS = 3


@pytest.fixture
def lake_url(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    return name_bucket_lake(s3, monkeypatch)


def settings(folder: Path, url: str, lake_url: str, key: bytes) -> Settings:
    return Settings(
        home=folder / secrets.token_hex(4),
        state_url=url,
        lake_url=lake_url,
        vault_key=base64.b64encode(key).decode(),
    )


class _Careless(RelayHandler):
    """A storage that writes what it is told, whatever is there."""

    def relay(self, body: bytes) -> None:
        del self.headers["if-none-match"]
        if (answer := self.pass_on(body)) is not None:
            self.answer(answer)


def test_a_storage_that_refuses_a_second_writer_is_taken(s3: S3, lake_url: str) -> None:
    check_lake(lake_url)

    bucket = lake_url.split("/")[2]
    assert s3.client.list_objects_v2(Bucket=bucket).get("KeyCount") == 0


def test_a_storage_that_takes_a_second_writer_is_refused(
    s3: S3, lake_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(Relay(s3.endpoint, _Careless)) as careless:
        monkeypatch.setenv("AWS_ENDPOINT_URL", careless.endpoint)

        with pytest.raises(UnsafeStorageError, match="If-None-Match"):
            check_lake(lake_url)


def test_a_server_that_answers_before_the_disk_does_is_refused(engine: sa.Engine) -> None:
    with pytest.raises(UnsafeStorageError, match="fsync on, got off"):
        check_database(engine)


def test_many_first_starts_at_once_come_up_and_another_key_is_refused(
    tmp_path: Path, lake_url: str
) -> None:
    key = secrets.token_bytes(32)
    with open_postgres(is_durable=True) as url:
        # The schema of an empty database is made by one of them, and the others wait for it.
        with ThreadPoolExecutor(STARTS) as threads:
            engines = list(threads.map(open_state, [url] * STARTS))
        schemas = {read_schema(engine) for engine in engines}
        for engine in engines:
            engine.dispose()
        assert len(schemas) == 1
        with open_service(settings(tmp_path, url, lake_url, key), run_tasks=False):
            pass

        other = settings(tmp_path, url, lake_url, secrets.token_bytes(32))
        with (
            pytest.raises(VaultKeyLostError, match="Give every machine the same one"),
            open_service(other, run_tasks=False),
        ):
            pass


def test_an_older_schema_is_refused_until_it_is_migrated(tmp_path: Path, lake_url: str) -> None:
    key = secrets.token_bytes(32)
    with open_postgres(is_durable=True) as url:
        newest = make_older_state(url)

        with pytest.raises(OlderSchemaError, match="engagement migrate"):
            open_state(url, upgrade=False)
        migrated = migrate_state(settings(tmp_path, url, lake_url, key))
        open_state(url, upgrade=False).dispose()

    assert migrated == newest


def make_older_state(url: str) -> str:
    """Make a state database of the schema before the newest, and return the newest."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    newest, older = list(ScriptDirectory.from_config(config).walk_revisions())[:2]
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older.revision)
    engine.dispose()
    return newest.revision


def test_a_folder_is_refused_as_the_lake_of_a_cluster(tmp_path: Path) -> None:
    wrong = settings(tmp_path, "postgresql+psycopg://nobody@/nothing", str(tmp_path), b"k" * 32)
    with pytest.raises(EngagementError) as raised, open_service(wrong):
        pass

    assert raised.value.code is ErrorCode.BAD_INPUT
