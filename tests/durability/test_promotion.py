"""Loses the primary database server of a cluster, and promotes the one that follows it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from cluster_load import Posters

from support.cluster import cluster_on
from support.postgres import PostgresServer, running_postgres, running_standby
from support.servers import S3
from support.waiting import wait_for

pytestmark = pytest.mark.slow

BATCHES_BEFORE = 60
BATCHES_AFTER = 20


@contextmanager
def primary_and_standby() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    with running_postgres(is_durable=True) as primary, running_standby(primary) as standby:
        yield primary, standby


def promote(standby: PostgresServer) -> None:
    """Return only when a server that followed takes what is written."""
    with standby.connected() as connection:
        connection.execute("SELECT pg_promote()")
        wait_for(
            lambda: not connection.execute("SELECT pg_is_in_recovery()").fetchone()[0],  # type: ignore[index]
            "the standby to be promoted",
        )


def follow_synchronously(primary: PostgresServer) -> None:
    """Return only when the primary acknowledges nothing that its standby does not have."""
    with primary.connected() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
        query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_for(lambda: connection.execute(query).fetchone()[0], "a synchronous standby")  # type: ignore[index]


def kept_batches(server: PostgresServer) -> set[str]:
    """The ids of the batches in the inbox; nothing flushes them here."""
    with server.connected() as connection:
        return {row[0] for row in connection.execute("SELECT batch_id FROM inbox")}


def test_a_promoted_synchronous_standby_has_all_that_was_acknowledged(
    s3: S3, tmp_path: Path
) -> None:
    """The server finds it by itself: it is given both addresses."""
    with primary_and_standby() as (primary, standby):
        follow_synchronously(primary)
        url = f"{primary.url}&host={standby.folder}&target_session_attrs=read-write"
        with cluster_on(primary, url, tmp_path, s3) as cluster:
            server = cluster.serve("--roles", "collect")
            posters = Posters([server], str(server.first_key))
            with posters.posting():
                posters.wait_for_more(BATCHES_BEFORE)
                primary.lose()
                acknowledged_before = len(posters.acknowledged)
                promote(standby)
                posters.wait_for_more(BATCHES_AFTER)
            kept = kept_batches(standby)

    names = {name.replace("event ", "batch-") for name in posters.acknowledged}
    assert acknowledged_before >= BATCHES_BEFORE
    assert names - kept == set()


def test_without_a_synchronous_standby_acknowledged_batches_may_be_lost(
    s3: S3, tmp_path: Path
) -> None:
    """The standby is behind when the primary is lost: what it lacks was acknowledged."""
    with primary_and_standby() as (primary, standby):
        with cluster_on(primary, primary.url, tmp_path, s3) as cluster:
            server = cluster.serve("--roles", "collect")
            posters = Posters([server], str(server.first_key))
            with standby.connected() as connection:
                query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'"
                receiver = wait_for(lambda: connection.execute(query).fetchone(), "the receiver")
            os.kill(receiver[0], signal.SIGSTOP)
            with posters.posting():
                posters.wait_for_more(BATCHES_BEFORE)
            primary.lose()
            os.kill(receiver[0], signal.SIGKILL)  # what is still on the way to it is lost
        wait_for(lambda: _answers(standby), "the standby to be back")
        promote(standby)
        kept = kept_batches(standby)

    assert len(kept) < len(posters.acknowledged)


def _answers(server: PostgresServer) -> bool:
    try:
        with server.connected():
            return True
    except psycopg.OperationalError:
        return False
