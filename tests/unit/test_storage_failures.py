"""Tests that a failure of a disk or database is found below whatever was made of it."""

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import deltalake.exceptions
import polars.exceptions
import pytest
import sqlalchemy as sa

from engagement.exceptions import BadInputError, DatabaseDamagedError, StorageFullError
from engagement.storage_failures import (
    find_failure,
    name_failures,
    storage_failure,
    unknown_failure,
)

NO_SPACE = (
    "Generic LocalFileSystem error: Unable to copy data: No space left on device (os error 28)"
)


class _DiskFullOfPostgresError(Exception):
    sqlstate = "53100"


def _full() -> Iterator[BaseException]:
    yield OSError(errno.ENOSPC, "No space left on device")
    yield OSError(errno.EDQUOT, "Disk quota exceeded")
    yield OSError(NO_SPACE)  # as delta-rs raises it, without a number
    yield deltalake.exceptions.DeltaError(NO_SPACE)
    yield polars.exceptions.ComputeError("No space left on device (os error 28)")
    yield sa.exc.OperationalError("INSERT", {}, _DiskFullOfPostgresError())


@pytest.mark.parametrize("error", list(_full()), ids=repr)
def test_a_full_disk_is_found_however_it_is_worded(error: BaseException) -> None:
    assert isinstance(storage_failure(error), StorageFullError)


@pytest.mark.parametrize("error", list(_full()), ids=repr)
def test_a_full_disk_is_found_below_what_was_made_of_it(error: BaseException) -> None:
    above = ValueError("something else")
    above.__cause__ = error
    around = ValueError("something else again")
    around.__context__ = above

    assert isinstance(storage_failure(around), StorageFullError)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("An app may be called 'No space left on device'."),
        OSError(errno.EIO, "Input/output error"),
        deltalake.exceptions.DeltaError("Kernel error: Json error"),
        sqlite3.OperationalError("no such table: x"),
    ],
    ids=repr,
)
def test_what_is_no_failure_of_storage_is_left_as_it_is(error: Exception) -> None:
    assert storage_failure(error) is None
    with pytest.raises(type(error)) as raised, name_failures("tasks.db"):
        raise error
    assert raised.value is error


def test_errors_that_name_each_other_come_to_an_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    assert storage_failure(first) is None


def test_a_full_database_of_somebody_else_is_named(tmp_path: Path) -> None:
    """As DBOS's is, which has an engine of its own."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'tasks.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        connection.exec_driver_sql("PRAGMA max_page_count=2")
        with pytest.raises(StorageFullError), name_failures("tasks.db"):
            connection.exec_driver_sql("INSERT INTO t VALUES (randomblob(100000))")
    engine.dispose()


@pytest.mark.parametrize(
    ("name", "remedy"), [("state.db", "a backup"), ("tasks.db", "move it aside")]
)
def test_a_damaged_database_is_named_with_what_to_do(
    tmp_path: Path, name: str, remedy: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"no database" * 1_000)
    engine = sa.create_engine(f"sqlite:///{path}")
    with (
        pytest.raises(DatabaseDamagedError) as raised,
        name_failures(str(path)),
        engine.connect() as connection,
    ):
        connection.exec_driver_sql("SELECT * FROM sqlite_master")
    engine.dispose()

    assert f"The database {name} is damaged" in str(raised.value)
    assert remedy in str(raised.value)
    assert str(tmp_path) not in str(raised.value)  # a client of the API may see it


def test_a_failure_of_ours_stays_what_it_is_whatever_lies_below_it() -> None:
    ours = BadInputError("The file must be there.")
    ours.__cause__ = OSError(errno.ENOSPC, "No space left on device")

    assert find_failure(ours) is ours
    assert isinstance(find_failure(ours.__cause__), StorageFullError)
    assert find_failure(ValueError("nobody expected it")) is None


def test_an_unknown_failure_tells_its_type_and_no_secret() -> None:
    named = unknown_failure(ValueError("?sig=canary"), stopped="the export")

    assert str(named) == "An unexpected ValueError stopped the export; see the log."
