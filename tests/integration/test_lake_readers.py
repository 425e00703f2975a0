"""Reads the lake with other engines as it is, while a cluster writes to it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from engagement import operations
from engagement.model.records import Kind
from support.batches import batch, log
from support.bucket_lake import name_lake_environment
from support.cluster import Cluster, open_beside, running_cluster
from support.servers import S3
from support.waiting import join_threads, wait_for
from support.whole_service import accept_batches, register_app

BATCHES_MAX = 400
VERSIONS = 4
"""So many different ones are read while others are written."""
COMPACTED_EVERY = 20


@pytest.fixture
def cluster(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with running_cluster(tmp_path, s3) as cluster:
        name_lake_environment(cluster.environment, monkeypatch)
        yield cluster


def names_by_duckdb(table: DeltaTable) -> list[str]:
    events = table.to_pyarrow_dataset()
    with duckdb.connect() as connection:
        connection.register("events", events)
        rows = connection.execute("SELECT name FROM events ORDER BY name").fetchall()
    return [name for (name,) in rows]


def names_by_polars(url: str, version: int) -> list[str]:
    events = pl.scan_delta(url, version=version)
    names: list[str] = events.select(pl.col("name").sort()).collect()["name"].to_list()
    return names


@pytest.mark.slow
def test_duckdb_and_polars_read_what_was_committed_while_the_cluster_writes(
    cluster: Cluster,
) -> None:
    """Whole batches in the order of their acceptance, each event once, at every version."""
    accepted: list[str] = []
    enough = threading.Event()
    with open_beside(cluster) as runtime:
        app_id = register_app(runtime).app_id
        url = f"{cluster.environment['ENGAGEMENT_LAKE_URL']}/{app_id}/{Kind.EVENT.value}"
        cluster.work("--roles", "flush,commit")

        def write() -> None:
            for number in range(BATCHES_MAX):
                if enough.is_set():
                    return
                name = f"event {number:04}"
                content = batch(log("event", name=name), batch_id=name)
                assert accept_batches(runtime, app_id, content) == [True]
                accepted.append(name)
                if number % COMPACTED_EVERY == COMPACTED_EVERY - 1:
                    runtime.flush(app_id)
                    operations.compact(runtime, app_id)

        writer = threading.Thread(target=write, name="writer")
        writer.start()
        try:
            wait_for(lambda: runtime.inbox.last_commits(app_id).get(Kind.EVENT), "a commit")
            versions: set[int] = set()

            def read() -> bool:
                table = DeltaTable(url)
                found = names_by_duckdb(table)
                assert found == names_by_polars(url, table.version())
                assert found == accepted[: len(found)]
                versions.add(table.version())
                return len(versions) >= VERSIONS

            wait_for(read, "several versions")
        finally:
            enough.set()
            join_threads([writer], "what is written")
        runtime.flush(app_id)
        last = DeltaTable(url)

        assert names_by_duckdb(last) == names_by_polars(url, last.version()) == accepted
