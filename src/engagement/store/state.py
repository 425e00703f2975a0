"""Opens the state database: apps, inbox, refused records, commits and tasks.

SQLite in WAL mode with full synchronisation is the embedded default, PostgreSQL serves several
processes.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from engagement.exceptions import (
    BadInputError,
    NewerReleaseError,
    OlderSchemaError,
    StorageUnavailableError,
)
from engagement.storage_failures import name_failures, primary_code, storage_failure
from engagement.store.tables import metadata

StateEngine = sa.Engine
"""For whoever opens a state database and asks nothing of it."""
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_MILLISECONDS = 30_000
CHECKPOINT_PAGES = 8_000
"""Pages, 32 MiB of them, that wait in the log to be written to their places: many are written again
before that, as those of message ids and of the inbox are."""
OFTEN_SECONDS = 1.0
"""How long a transaction that writes is tried to begin every `RETRY_SECONDS`."""
RETRY_SECONDS = 0.001


MIGRATE_LOCK = 0x454E05
"""The class of the PostgreSQL advisory lock of whoever changes the schema."""


def open_state(url: str, *, upgrade: bool = True, session_name: str = "engagement") -> sa.Engine:
    """An engine on a database whose schema is current; commits survive power loss.

    Args:
        url: SQLAlchemy address, `sqlite:///…` or `postgresql+psycopg://…`.
        upgrade: Whether the schema of an older release is brought forward. An empty database
            always gets a schema, by one process where several start at once.
        session_name: What the server calls the sessions of this process.

    Raises:
        StorageFullError: By everything that is done with the engine: no space is left.
        StorageUnavailableError: Likewise: the database is busy, or its disk fails.
        DatabaseDamagedError: Likewise: the database's file is damaged.
        BadInputError: Likewise: a text has half of a character, which no database keeps.
        NewerReleaseError: The schema is of a newer release.
        OlderSchemaError: It is of an older one, and not to be brought forward here.
    """
    address = sa.make_url(url)
    named = {"application_name": session_name} if address.get_backend_name() == "postgresql" else {}
    # Parameters are hidden: they are texts of devices, and secrets.
    engine = sa.create_engine(address, hide_parameters=True, connect_args=named)
    sa.event.listen(engine, "handle_error", _name_failure)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_immediately)
    try:
        with name_failures(engine.url.database):
            _migrate(engine, upgrade=upgrade)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def hold_state(
    url: str, *, upgrade: bool = True, session_name: str = "engagement"
) -> Iterator[sa.Engine]:
    """An engine as `open_state` makes it, which is disposed of after the block."""
    engine = open_state(url, upgrade=upgrade, session_name=session_name)
    try:
        yield engine
    finally:
        engine.dispose()


def read_schema(engine: sa.Engine) -> str:
    """Return the number of the schema that a state database has."""
    with engine.connect() as connection:
        return _find_schema(connection) or ""


def _prepare_sqlite(connection: object, record: object) -> None:
    """WAL lets readers go on beside the one writer; FULL makes a commit survive power loss."""
    del record
    connection.isolation_level = None  # type: ignore[attr-defined] # we say BEGIN ourselves
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    cursor.execute("PRAGMA secure_delete=FAST")  # an erased credential leaves its page zeroed
    cursor.close()


def _begin_immediately(connection: sa.Connection) -> None:
    """A write lock taken late would fail with SQLITE_BUSY in the middle of a transaction."""
    if connection.get_execution_options().get("read_only", False):
        connection.exec_driver_sql("BEGIN")
    elif not _has_begun_soon(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _has_begun_soon(connection: sa.Connection) -> bool:
    """Try often for the write lock.

    SQLite itself tries ever less often, up to ten times a second, so that beside somebody who
    takes the lock again and again, as the collector does, it finds it free by chance only.
    """
    cursor = connection.connection.cursor()
    deadline = time.monotonic() + OFTEN_SECONDS
    cursor.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < deadline:
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY:
                    return False  # tried once more, it is named
                time.sleep(RETRY_SECONDS)
            else:
                return True
        return False
    finally:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")
        cursor.close()


def _name_failure(context: sa.engine.ExceptionContext) -> None:
    """Raise what the service calls a failure of the database's disk or server.

    A connection whose sync failed is given up: what the system holds of its file since then is
    not on the disk, and a later sync would not say so.
    """
    error = context.original_exception
    if isinstance(error, UnicodeEncodeError):
        raise BadInputError("A text must have whole characters, got an unpaired surrogate.")
    code = primary_code(error) if isinstance(error, sqlite3.Error) else None
    if code in _SQLITE_FAILURES:
        context.is_disconnect = code != sqlite3.SQLITE_BUSY
    database = context.engine.url.database if context.engine else None
    if (named := storage_failure(error, database=database)) is not None:
        raise named
    if code in _SQLITE_FAILURES:
        raise StorageUnavailableError(f"The state database cannot be used now ({error}).")
    if code is None and context.is_disconnect:
        raise StorageUnavailableError("The state database does not answer now.")
    is_refused = isinstance(context.sqlalchemy_exception, sa.exc.OperationalError)
    if context.dialect.name == "postgresql" and context.connection is None and is_refused:
        raise StorageUnavailableError(
            "The state database cannot be reached now, or refuses the connection."
        )


# SQLite opens a file for reading alone where it cannot be opened for writing, and says nothing.
_SQLITE_FAILURES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}


def _migrate(engine: sa.Engine, *, upgrade: bool) -> None:
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATE_LOCK, 0)))
        found = _find_schema(connection)
        if found == _schemas()[-1]:
            return
        if found is None:
            # The migrations would make the same, and take five times as long.
            metadata.create_all(connection, checkfirst=False)
            _version.create(connection)
            connection.execute(_version.insert(), {"version_num": _schemas()[-1]})
        else:
            _upgrade(connection, found, is_allowed=upgrade)


def _upgrade(connection: sa.Connection, found: str, *, is_allowed: bool) -> None:
    if found in _schemas() and not is_allowed:
        raise OlderSchemaError(
            f"The state database must have the schema of this release, got {found}. "
            "Run `engagement migrate` first."
        )
    # A tenth of what a command loads, which no other database needs.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script.revision import ResolutionError  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        raise NewerReleaseError(
            "The state database must be of this release or an older one, got one of a newer "
            f"release ({error}). Install that release again, or put back a backup."
        ) from error


def _find_schema(connection: sa.Connection) -> str | None:
    """Return the number of the schema; None if the database is empty."""
    if not sa.inspect(connection).has_table(_version.name):
        return None
    return connection.scalar(sa.select(_version.c.version_num))


@cache
def _schemas() -> list[str]:
    """The numbers of the schemas that this release knows, by the names of its migrations."""
    return sorted(file.name[1:5] for file in (MIGRATIONS / "versions").glob("v*.py"))


_version = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, where it looks for the number of the schema."""
