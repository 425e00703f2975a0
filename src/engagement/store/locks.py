"""Keeps work on the same thing apart, among threads or among machines.

A lock saves work and carries nothing: whoever works without one changes nothing twice, since three
transactions and the numbers of commits hold that. So one that is lost with its session, as when the
database server is started anew, is let go.
"""

import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import IntEnum
from typing import Protocol

import sqlalchemy as sa

from engagement.exceptions import EngagementError, StorageUnavailableError

POLL_SECONDS = 0.02
POLL_SECONDS_MAX = 0.25
POLL_GROWTH = 1.5
_SIGN_BIT = 1 << 31


class LockPurpose(IntEnum):
    """What a lock is for; on PostgreSQL the class of the advisory lock."""

    FLUSH = 0x454E01
    COMMIT = 0x454E02
    REWRITE = 0x454E03
    REAP = 0x454E04


class Locks(Protocol):
    """Locks by what they are for and on what; a thread that has one may take it again."""

    def hold(self, purpose: LockPurpose, *of: str) -> AbstractContextManager[None]:
        """Wait for a lock, and have it in the block."""

    def hold_if_free(self, purpose: LockPurpose, *of: str) -> AbstractContextManager[bool]:
        """Have a lock in the block if nobody else has it now; whether that is so."""


class ThreadLocks:
    """Locks among the threads of one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[tuple[LockPurpose, tuple[str, ...]], threading.RLock] = {}

    @contextmanager
    def hold(self, purpose: LockPurpose, *of: str) -> Iterator[None]:
        """Wait for a lock, and have it in the block."""
        with self._lock(purpose, of):
            yield

    @contextmanager
    def hold_if_free(self, purpose: LockPurpose, *of: str) -> Iterator[bool]:
        """Have a lock in the block if nobody else has it now; whether that is so."""
        lock = self._lock(purpose, of)
        is_held = lock.acquire(blocking=False)
        try:
            yield is_held
        finally:
            if is_held:
                lock.release()

    def _lock(self, purpose: LockPurpose, of: tuple[str, ...]) -> threading.RLock:
        with self._guard:
            return self._locks.setdefault((purpose, of), threading.RLock())


class AdvisoryLocks:
    """Locks among all processes that share a PostgreSQL database, in one session of their own.

    A process that ends gives them up with its session; one that is stopped, when its session is
    ended for it.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._threads = ThreadLocks()
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._guard = threading.Lock()
        self._connection: sa.Connection | None = None
        self._depths: Counter[tuple[int, int]] = Counter()

    @contextmanager
    def hold(self, purpose: LockPurpose, *of: str) -> Iterator[None]:
        """Wait for a lock, and have it in the block.

        Raises:
            StorageUnavailableError: The database server does not answer.
        """
        with self._threads.hold(purpose, *of):
            key = _key(purpose, of)
            seconds = POLL_SECONDS
            while not self._take(key):
                time.sleep(seconds)
                seconds = min(POLL_GROWTH * seconds, POLL_SECONDS_MAX)
            try:
                yield
            finally:
                self._give_back(key)

    @contextmanager
    def hold_if_free(self, purpose: LockPurpose, *of: str) -> Iterator[bool]:
        """Have a lock in the block if nobody else has it now; whether that is so.

        Raises:
            StorageUnavailableError: The database server does not answer.
        """
        with self._threads.hold_if_free(purpose, *of) as is_ours:
            key = _key(purpose, of)
            is_held = is_ours and self._take(key)
            try:
                yield is_held
            finally:
                if is_held:
                    self._give_back(key)

    def close(self) -> None:
        """Give everything up."""
        with self._guard:
            self._drop_session()

    def _take(self, key: tuple[int, int]) -> bool:
        with self._guard:
            if self._depths[key] == 0 and not self._ask("pg_try_advisory_lock", key):
                return False
            self._depths[key] += 1
            return True

    def _give_back(self, key: tuple[int, int]) -> None:
        with self._guard:
            if self._depths[key] == 0:
                return  # it was lost with its session
            self._depths[key] -= 1
            if self._depths[key] == 0:
                with suppress(StorageUnavailableError):  # then the session is gone, and the lock
                    self._ask("pg_advisory_unlock", key)

    def _ask(self, function: str, key: tuple[int, int]) -> bool:
        """Call one of PostgreSQL's functions on the session, which is opened if there is none."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            called = getattr(sa.func, function)(
                sa.cast(key[0], sa.Integer), sa.cast(key[1], sa.Integer)
            )
            return bool(self._connection.scalar(sa.select(called)))
        except (EngagementError, sa.exc.SQLAlchemyError) as error:
            self._drop_session()
            raise StorageUnavailableError("The state database does not answer now.") from error

    def _drop_session(self) -> None:
        self._depths.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(EngagementError, sa.exc.SQLAlchemyError):
                connection.invalidate()
                connection.close()


def _key(purpose: LockPurpose, of: tuple[str, ...]) -> tuple[int, int]:
    """The two numbers of an advisory lock, each with a sign; two things may share one by chance."""
    number = zlib.crc32("/".join(of).encode())
    return purpose.value, number - 2 * _SIGN_BIT if number >= _SIGN_BIT else number
