"""Takes out of the state database's files what was deleted from its tables."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from engagement.exceptions import StorageUnavailableError
from engagement.storage_failures import name_failures, primary_code
from engagement.store.tables import (
    export_plan_parts,
    inbox,
    open_sessions,
    refused,
    staged_files,
)

SCRUB_SECONDS_MAX = 60.0
"""How long others may keep it from its beginning."""
RETRY_SECONDS = 0.01
BUSY_MILLISECONDS = 1_000
_WITH_TEXTS_OF_DEVICES = (inbox, refused, open_sessions, staged_files, export_plan_parts)


def scrub_state(engine: sa.Engine) -> None:
    """Return only when the database's files hold nothing that was deleted.

    SQLite leaves old content in free pages, in gaps of pages and in its write-ahead log; so the
    database is written anew, and the log is emptied. Nothing else is written meanwhile.
    A server of PostgreSQL writes the tables anew that hold what devices told; what its own log
    and backups keep is not ours.

    Raises:
        StorageUnavailableError: Others use the database for too long.
        StorageFullError: There is no room for a second copy of the database.
    """
    with name_failures(engine.url.database):
        if engine.dialect.name != "sqlite":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as server:
                for table in _WITH_TEXTS_OF_DEVICES:
                    server.exec_driver_sql(f"VACUUM FULL {table.name}")
            return
        with closing(engine.raw_connection()) as pooled:
            connection: Any = pooled.driver_connection
            connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")  # tried again here
            _try_often(lambda: _vacuum(connection))
            _try_often(lambda: _empty_log(connection))
            pooled.invalidate()  # it waits for others less long than it should


def _vacuum(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("VACUUM")
    except sqlite3.Error as error:
        if primary_code(error) not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise
        return False
    return True


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Whether all of the log is in the database and its file is empty; readers keep it from it."""
    is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy


def _try_often(attempt: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SCRUB_SECONDS_MAX
    while not attempt():
        if time.monotonic() >= deadline:
            raise StorageUnavailableError(
                "The state database is used by others for too long to be written anew; try again."
            )
        time.sleep(RETRY_SECONDS)
