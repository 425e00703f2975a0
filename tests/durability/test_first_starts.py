"""Starts several processes at once on a database that is empty, again and again.

A usual run does so once, where `tests/acceptance/worker/test_machine.py` starts its four.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from support.cluster import cluster_on
from support.postgres import PostgresServer, running_postgres
from support.servers import S3

pytestmark = pytest.mark.slow

STARTS = 50
KILLS_OF_STARTS = 10
"""A usual run asks for fewer kills."""
PROCESSES = (["serve", "--port", "0"], ["worker"], ["worker"])


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with running_postgres(is_durable=True) as server:
        yield server


def test_processes_that_start_at_once_on_an_empty_database_all_come_up(
    database: PostgresServer, s3: S3, tmp_path: Path, kills: int
) -> None:
    if kills < KILLS_OF_STARTS:
        pytest.skip("`make torture` starts them")
    for number in range(STARTS):
        state_url = database.new_database()
        with cluster_on(database, state_url, tmp_path / str(number), s3) as cluster:
            cluster.folder.mkdir()
            begun = [cluster.begin(words, {}) for words in PROCESSES]
            came_up = [cluster.await_hello(each) for each in begun]

            with psycopg.connect(state_url.replace("+psycopg", "")) as connection:
                apps = connection.execute("SELECT count(*) FROM apps").fetchone()
                executors = connection.execute("SELECT count(*) FROM executors").fetchone()
            assert len(came_up) == len(PROCESSES)
            assert (apps, executors) == ((1,), (len(PROCESSES),)), f"start {number}"
