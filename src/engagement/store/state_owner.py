"""Keeps a SQLite state database to the one process that runs its tasks.

The lock of a home folder says nothing of a second folder whose settings name the same database. Two
such processes would run the same steps.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from engagement.exceptions import StateBusyError

BUSY_SECONDS_MAX = 3.0
"""How long the lock of a process that was killed may last: its server must notice."""
POLL_SECONDS = 0.02


@contextmanager
def own_state(database: str) -> Iterator[None]:
    """Be the one owner of a database, by a lock file beside it.

    SQLite itself uses locks of another kind, on the database.

    Raises:
        StateBusyError: Another process is.
    """
    descriptor = os.open(f"{database}-owner", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + BUSY_SECONDS_MAX
        while not _is_locked(descriptor):
            if time.monotonic() > deadline:
                raise StateBusyError(
                    "The state database must have one owner, but another process runs its tasks. "
                    "Stop it, or give this one a database of its own."
                )
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
