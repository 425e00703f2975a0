"""Keeps a SQLite state database to the one process that runs its tasks.

The lock of a home folder says nothing of a second folder whose settings name the same database. Two
such processes would run the same steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engagement.exceptions import StateBusyError
from engagement.store.file_locks import lock_file

BUSY_SECONDS_MAX = 3.0
"""How long a database may stay locked after its server was killed: its worker must notice."""


@contextmanager
def own_state(database: str) -> Iterator[None]:
    """Be the one owner of a database, by a lock file beside it.

    SQLite itself uses locks of another kind, on the database.

    Raises:
        StateBusyError: Another process is.
    """
    busy = StateBusyError(
        "The state database must have one owner, but another process runs its tasks. "
        "Stop it, or give this one a database of its own."
    )
    with lock_file(Path(f"{database}-owner"), seconds_max=BUSY_SECONDS_MAX, busy=busy):
        yield
