"""Names what went wrong: a failure of ours, or that of a disk or database below an error.

Delta, Arrow, Polars, SQLite and DBOS each raise exceptions of their own for a full disk, and some
say so in their text alone.
"""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engagement.exceptions import DatabaseDamagedError, EngagementError, StorageFullError

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_FULL_SQLSTATE = "53100"
"""PostgreSQL's `disk_full`."""
SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
SQLITE_NO_FILE = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What SQLite says too where it cannot make or lengthen a file beside its database."""
FREE_BYTES_MIN = 256 * 1024
"""With less, SQLite cannot make the files that it needs to open a database."""
CAUSES_MAX = 20
_FULL_WORDS = re.compile(
    r"No space left on device|Disk quota exceeded|\(os error (?:28|122)\)"
    r"|database or disk is full"
)
_PACKAGES_OF_FILES = frozenset({"deltalake", "_internal", "polars", "pyarrow"})
"""Whose errors may have a disk's failure in their text alone; others' text may be anybody's."""
_REBUILT = "tasks.db"


def storage_failure(error: BaseException, *, database: str | None = None) -> EngagementError | None:
    """The named failure of storage that lies below an error; None if none does.

    Args:
        error: What was raised.
        database: The database's file, where it is known; only its name is told, since clients may
            see it.
    """
    for cause in _causes(error):
        if _is_full(cause, database):
            return StorageFullError("No space is left on a disk of the service; make room.")
        if isinstance(cause, sqlite3.Error) and primary_code(cause) in SQLITE_DAMAGED:
            return _damaged(database, cause)
    return None


def find_failure(error: BaseException) -> EngagementError | None:
    """The named failure that an error is, or of storage below it; None if nobody expected it."""
    return error if isinstance(error, EngagementError) else storage_failure(error)


def unknown_failure(error: BaseException, *, stopped: str) -> EngagementError:
    """What a client is told of an error that nobody expected.

    Only its type is shown: the message of an unknown error may hold anything, a secret too.

    Args:
        error: What was raised, which whoever calls has logged.
        stopped: What it stopped, such as "the export".
    """
    return EngagementError(f"An unexpected {type(error).__name__} stopped {stopped}; see the log.")


@contextmanager
def name_failures(database: str | None) -> Iterator[None]:
    """Let a failure of a database's storage be raised under its name.

    Args:
        database: Its file; None if it is a server's.

    Raises:
        DatabaseDamagedError: Its file is damaged.
        StorageFullError: Its disk is full.
    """
    try:
        yield
    except EngagementError:
        raise
    except Exception as error:
        named = storage_failure(error, database=database)
        if named is None:
            raise
        raise named from error


def primary_code(error: sqlite3.Error) -> int:
    """What it is; SQLite's extended codes say more above the byte that says so."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _damaged(database: str | None, error: sqlite3.Error) -> DatabaseDamagedError:
    name = Path(database).name if database else "of the home folder, state.db or tasks.db,"
    if name == _REBUILT:
        remedy = "move it aside: it is made anew, and exports that were under way go on"
    else:
        remedy = "keep a copy, and put a backup that belongs to the lake in its place"
    return DatabaseDamagedError(
        f"The database {name} is damaged ({error}). Stop the service, and {remedy}."
    )


def _is_full(error: BaseException, database: str | None) -> bool:
    if isinstance(error, sqlite3.Error):
        code = primary_code(error)
        return code == sqlite3.SQLITE_FULL or (
            code in SQLITE_NO_FILE and database is not None and _has_no_room(Path(database))
        )
    if getattr(error, "sqlstate", None) == DISK_FULL_SQLSTATE:
        return True
    is_os_error = isinstance(error, OSError)
    if is_os_error and getattr(error, "errno", None) in FULL_ERRNOS:
        return True
    is_of_files = is_os_error or type(error).__module__.partition(".")[0] in _PACKAGES_OF_FILES
    return is_of_files and _FULL_WORDS.search(str(error)) is not None


def _has_no_room(database: Path) -> bool:
    try:
        found = os.statvfs(database.parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < FREE_BYTES_MIN or (
        found.f_files > 0 and found.f_favail == 0
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what lies below it, the latest first."""
    current: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if current is None:
            return
        yield current
        original = getattr(current, "orig", None)  # what SQLAlchemy wrapped
        if isinstance(original, BaseException):
            yield original
        current = current.__cause__ or current.__context__
