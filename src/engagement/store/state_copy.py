"""Copies a whole state database between SQLite and PostgreSQL, and proves the copy.

A copy is of one moment of the original, which goes on meanwhile. It appears as a whole: the rows
of a server in one transaction, an SQLite file under its name when it is on disk.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
import xxhash

from engagement.exceptions import BadInputError, DatabaseDamagedError, VerificationError
from engagement.storage_failures import name_failures
from engagement.store.durable import sync_path
from engagement.store.state import BUSY_TIMEOUT_MILLISECONDS, hold_state
from engagement.store.tables import executors, metadata

ROWS_AT_ONCE = 5_000
"""Rows that are in memory at a time."""
_TABLES = [table for table in metadata.sorted_tables if table is not executors]
"""What is copied: all but the processes that run, which a copy has none of."""
_STREAMING = {"yield_per": ROWS_AT_ONCE}
_DIGEST_VALUES = 1 << 128


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContent:
    """What a table of a state database holds, told so that two can be compared."""

    rows: int
    """How many rows."""
    digest: str
    """The sum of its rows' digests, whatever their order: equal for equal rows."""
    newest_number: int
    """The newest number that the table gave to a row, which may be gone; 0 if it gives none."""


StateContent = Mapping[str, TableContent]
"""What each table holds, by its name."""


def copy_state(url: str, file: Path) -> None:
    """Return only when a state database is in an SQLite file, as it was at one moment.

    Nobody has to wait for it. What was deleted from the original is not in the file.

    Args:
        url: The state database.
        file: The file, which must not be there yet.

    Raises:
        BadInputError: There is no state database.
    """
    database = sa.make_url(url).database
    if is_missing_file(url):
        raise BadInputError(f"There must be a state database, got no file {database}.")
    if _is_file(url):
        _vacuum_into(str(database), file)
        return
    with hold_state(url) as engine, hold_state(f"sqlite:///{file}") as target:
        whole = engine.execution_options(isolation_level="REPEATABLE READ")
        with whole.connect() as reading, target.begin() as writing:
            _copy_rows(reading, writing)


def load_state(file: Path, url: str) -> StateContent:
    """Return only when a database holds what a copy does, and all of it was read there again.

    A copy of an older release is brought to this one.

    Args:
        file: The copy; it may be changed to this release's schema.
        url: Where the rows go. An SQLite file must not be there yet, a server's tables be empty.

    Returns:
        What the tables hold.

    Raises:
        BadInputError: There is something in the database already; nothing was changed.
        VerificationError: What is read back is not what was written.
    """
    require_empty_state(url)
    with hold_state(f"sqlite:///{file}") as copied, copied.connect() as reading:
        content = _read_content(reading)
        if not _is_file(url):
            with hold_state(url) as engine, engine.begin() as writing:
                _copy_rows(reading, writing)
                _require_equal(content, _read_content(writing))
            return content
    place = Path(str(sa.make_url(url).database))
    unfinished = place.with_name(f"{place.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    _vacuum_into(str(file), unfinished)
    unfinished.chmod(0o600)
    _require_equal(content, read_state_content(f"sqlite:///{unfinished}"))
    sync_path(unfinished)
    unfinished.rename(place)
    sync_path(place.parent)
    return content


def require_empty_state(url: str) -> None:
    """Return only if there is no state database, or one whose tables are all empty.

    Raises:
        BadInputError: There is something in it.
    """
    if is_missing_file(url):
        return
    if _is_file(url):
        database = sa.make_url(url).database
        raise BadInputError(f"There must be no state database yet, but there is {database}.")
    with hold_state(url) as engine, engine.connect() as connection:
        for table in metadata.sorted_tables:
            if connection.scalar(sa.select(sa.exists(sa.select(table)))):
                raise BadInputError(
                    f"The state database must be empty, but its table {table.name} holds rows."
                )


def clear_state(url: str) -> None:
    """Return only when nothing is left of a state database that never came into use."""
    if _is_file(url):
        Path(str(sa.make_url(url).database)).unlink()
        return
    with hold_state(url) as engine, engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())


def read_state_content(url: str) -> StateContent:
    """What the tables of a state database hold, all at one moment."""
    with hold_state(url) as engine:
        level = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with engine.execution_options(read_only=True, **level).connect() as connection:
            return _read_content(connection)


def name_state(url: str) -> str:
    """Return what tells a state database from others, whoever asks it and with which password."""
    given = sa.make_url(url)
    if _is_file(url):
        return f"sqlite:///{Path(str(given.database)).resolve()}"
    return given.set(drivername="postgresql", username=None, password=None).render_as_string()


def is_missing_file(url: str) -> bool:
    """Whether a state database would be in a file, which is not there."""
    return _is_file(url) and not Path(str(sa.make_url(url).database)).exists()


def _is_file(url: str) -> bool:
    return sa.make_url(url).get_backend_name() == "sqlite"


def _vacuum_into(database: str, file: Path) -> None:
    """SQLite's way of copying a database in use: one read transaction, and no free pages."""
    with name_failures(database), closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")
        connection.execute("VACUUM INTO ?", [str(file)])
    with name_failures(str(file)), closing(sqlite3.connect(file)) as copied:
        (found,) = copied.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DatabaseDamagedError(f"The copy of the state database is damaged ({found}).")


def _copy_rows(source: sa.Connection, target: sa.Connection) -> None:
    for table in _TABLES:
        names = table.columns.keys()
        with source.execute(sa.select(table), execution_options=_STREAMING) as found:
            for rows in found.partitions():
                values = [dict(zip(names, row, strict=True)) for row in rows]
                target.execute(table.insert(), values)
        newest = _read_newest_number(source, table)
        if newest:
            _continue_after(target, table, newest)


def _read_content(connection: sa.Connection) -> StateContent:
    content = {}
    for table in _TABLES:
        count = total = 0
        with connection.execute(sa.select(table), execution_options=_STREAMING) as found:
            for row in found:
                total += xxhash.xxh3_128_intdigest(repr(tuple(row)).encode())
                count += 1
        content[table.name] = TableContent(
            rows=count,
            digest=f"{total % _DIGEST_VALUES:032x}",
            newest_number=_read_newest_number(connection, table),
        )
    return content


def list_different_tables(wanted: StateContent, found: StateContent) -> list[str]:
    """Return the tables that do not hold what they should, sorted."""
    return sorted(name for name in wanted if wanted[name] != found.get(name))


def _require_equal(wanted: StateContent, found: StateContent) -> None:
    different = list_different_tables(wanted, found)
    if different:
        raise VerificationError(
            f"The copied state database must hold what the original does, but its tables "
            f"{', '.join(different)} differ. Nothing of it is in use."
        )


def _read_newest_number(connection: sa.Connection, table: sa.Table) -> int:
    if not table.dialect_options["sqlite"]["autoincrement"]:
        return 0
    if connection.dialect.name == "sqlite":
        query = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        return connection.scalar(query, {"name": table.name}) or 0
    sequence = connection.scalar(_SEQUENCE, _serial_column(table))
    given = connection.execute(sa.text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608 - its name is the server's own
    return given.last_value if given.is_called else 0


def _continue_after(connection: sa.Connection, table: sa.Table, number: int) -> None:
    """Give later rows numbers above one that was given already: they order what is in the lake."""
    if connection.dialect.name == "sqlite":
        values = {"name": table.name, "number": number}
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
        connection.execute(sa.text("INSERT INTO sqlite_sequence VALUES (:name, :number)"), values)
        return
    values = _serial_column(table) | {"number": number}
    connection.execute(
        sa.text("SELECT setval(pg_get_serial_sequence(:table, :column), :number)"), values
    )


def _serial_column(table: sa.Table) -> dict[str, object]:
    (column,) = table.primary_key.columns
    return {"table": table.name, "column": column.name}


_SEQUENCE = sa.text("SELECT pg_get_serial_sequence(:table, :column)")
