"""Keeps a state database to the one process that runs its tasks, whichever home folders there are.

The lock of a home folder says nothing of a second folder, on this machine or on another one, whose
settings name the same state database. Two such processes would run the same steps.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

import sqlalchemy as sa

from engagement.exceptions import EngagementError, StateBusyError

OWNER_LOCK = 0x454E00
"""The PostgreSQL advisory lock of whoever runs the tasks of a state database."""
BUSY_SECONDS_MAX = 3.0
"""How long the lock of a process that was killed may last: its server must notice."""
POLL_SECONDS = 0.02
KEEP_SECONDS = 1.0
"""How often the owner looks whether it still is the owner."""
EXIT_STATE_LOST = 3
_WHERE = "The state database must have one owner, but another process runs its tasks"


@contextmanager
def own_state(engine: sa.Engine) -> Iterator[None]:
    """Be the one owner of a state database; a process that ceases to be it ends at once.

    Raises:
        StateBusyError: Another process is.
    """
    if engine.dialect.name == "sqlite":
        with _own_file(f"{engine.url.database}-owner"):
            yield
        return
    with _ServerOwner(engine) as owner, owner.watch():
        yield


@contextmanager
def _own_file(path: str) -> Iterator[None]:
    """Hold a lock file beside a database; SQLite itself uses other locks on the database."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for(lambda: _is_locked(descriptor))
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _ServerOwner:
    """Holds an advisory lock of a PostgreSQL server, on a connection of its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connection: sa.Connection | None = None
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self._connection = self._engine.connect()
        try:
            _wait_for(self._is_locked)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._close()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Look in a thread whether the lock is held, and take it again after a restart."""
        thread = threading.Thread(target=self._keep, name="state-owner", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _keep(self) -> None:
        while not self._stopping.wait(KEEP_SECONDS):
            try:
                self._take_again_if_lost()
            except StateBusyError:
                os._exit(EXIT_STATE_LOST)
            except (EngagementError, sa.exc.SQLAlchemyError):
                self._close()  # the server does not answer: nothing can be done with it either

    def _take_again_if_lost(self) -> None:
        if self._connection is None:
            self._connection = self._engine.connect()
            _wait_for(self._is_locked)
        self._connection.exec_driver_sql("SELECT 1")

    def _is_locked(self) -> bool:
        if self._connection is None:
            return False
        return bool(self._connection.scalar(sa.select(sa.func.pg_try_advisory_lock(OWNER_LOCK))))

    def _close(self) -> None:
        """Give the session up, and the lock with it; it is not put back among the others."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(EngagementError, sa.exc.SQLAlchemyError):
                connection.invalidate()
                connection.close()


def _wait_for(is_locked: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BUSY_SECONDS_MAX
    while not is_locked():
        if time.monotonic() > deadline:
            raise StateBusyError(f"{_WHERE}. Stop it, or give this one a state of its own.")
        time.sleep(POLL_SECONDS)
