"""Keeps what was reported and not yet delivered: in a folder, through every crash.

Everything is in one SQLite database with `synchronous=FULL`: what a call returned from is on disk
and outlives the process, the system and the power. A record lies in `logs` until it is cut into a
batch; a batch keeps its id and its content until the server has answered for it, so that every
repeated attempt is the same batch to the server, which accepts it once.
"""

import logging
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engagement.agent.lock import FolderLock
from engagement.exceptions import BadInputError
from engagement.model.records import new_guid

BATCH_BYTES_MAX = 512 * 1024
"""Logs are cut into one batch up to this size; a single one may be larger."""
CRASH_BYTES_RESERVED = 4 * 1024 * 1024
"""Crashes are kept this far beyond what the queue may hold."""
SET_ASIDE_MAX = 20
"""Batches that the server refused for good, the newest of which are kept to be looked at."""
QUEUE_FULL = "queue_full"
DISK_FAILED = "disk_failed"
_LOGGER = logging.getLogger("engagement.agent")

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS logs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    head TEXT NOT NULL, log TEXT NOT NULL, bytes INTEGER NOT NULL, is_open INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS batches (
    first_number INTEGER PRIMARY KEY,
    content TEXT NOT NULL, logs INTEGER NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS set_aside (
    number INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL, message TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS losses (
    code TEXT PRIMARY KEY, logs INTEGER NOT NULL, message TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Logs that will never arrive, and why."""

    code: str
    """Why, as a stable word."""
    logs: int
    """How many."""
    message: str
    """Why the latest of them, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingBatch:
    """Logs that were cut into a batch, which never changes."""

    first_number: int
    """Its place in the queue."""
    content: str
    """Its members as JSON without the braces; all but the time of sending."""
    records: int
    """How many it holds."""


class Queue:
    """The queue in a folder, which this process has for itself. Threads may share it."""

    def __init__(self, folder: Path, *, bytes_max: int, batch_logs_max: int) -> None:
        """Open the queue, or make one.

        Args:
            folder: Its folder; made if it does not exist.
            bytes_max: How large the records that wait may be together.
            batch_logs_max: How many records a batch has at most.

        Raises:
            BadInputError: The folder cannot be used.
            HomeBusyError: Another agent has it.
        """
        self.wanted = threading.Event()
        """Set when there is enough for a batch, or something that should not wait."""
        self._folder = folder
        self._bytes_max = bytes_max
        self._batch_logs_max = batch_logs_max
        self._mutex = threading.RLock()
        self._bytes = 0
        self._unwritten: Counter[str] = Counter()
        self._process = os.getpid()
        self._is_open = True
        self._lock = FolderLock(folder)
        try:
            self._database = _open_database(folder / "queue.db")
            self.release_open()
        except (OSError, sqlite3.Error) as error:
            self._lock.release()
            raise BadInputError(
                f"An agent's folder must hold a sound queue that can be written, but {folder} "
                f"does not: {error}."
            ) from error

    @property
    def is_ours(self) -> bool:
        """Whether this very process opened it and has not closed it."""
        return self._is_open and self.is_of_this_process

    @property
    def is_of_this_process(self) -> bool:
        """Whether this very process opened it, and was not forked from the one that did."""
        return os.getpid() == self._process

    def check_is_ours(self) -> None:
        """Return only if it may be used.

        Raises:
            BadInputError: It is closed, or this process was forked from the one that opened it.
        """
        if not self.is_ours:
            raise BadInputError(
                "An agent must be used before it is closed and in the process that made it; a "
                "forked process needs an agent with a folder of its own."
            )

    def close(self) -> None:
        """Leave the folder to the next agent; a forked process leaves it to its parent."""
        if self.is_ours:
            with self._mutex:
                self._is_open = False
                self._database.close()
                self._lock.release()

    def reopen(self) -> "Queue":
        """The same queue once more, for a record that comes after it was closed.

        Raises:
            BadInputError: The folder cannot be used any more.
            HomeBusyError: Another agent has it by now.
        """
        return Queue(self._folder, bytes_max=self._bytes_max, batch_logs_max=self._batch_logs_max)

    def add(
        self, head: str, record: str, *, is_open: bool = False, is_crash: bool = False
    ) -> int | None:
        """Return when the record is on disk, or counted as lost because there is no room for it.

        Args:
            head: The members of a batch that say whose record it is.
            record: The record, as JSON.
            is_open: It has not ended; it waits for `end`.
            is_crash: It may use the room that is kept free for crashes.

        Returns:
            The record's number, None if it is lost.
        """
        size = len(record.encode())
        room = self._bytes_max + (CRASH_BYTES_RESERVED if is_crash else 0)
        kept = None
        with self._mutex, self._despite_disk("a log", losses=1):
            with self._transaction() as database:
                if self._bytes + size <= room:
                    number = database.execute(
                        "INSERT INTO logs (head, log, bytes, is_open) VALUES (?, ?, ?, ?)",
                        (head, record, size, is_open),
                    ).lastrowid
                else:
                    number = None
                    message = f"The queue must have at most {room} bytes, and it would have more."
                    _count(database, [Loss(code=QUEUE_FULL, logs=1, message=message)])
            kept = number
            if kept is not None:
                self._bytes += size
                if is_crash or kept % self._batch_logs_max == 0:
                    self.wanted.set()
        return kept

    def end(self, number: int, head: str, record: str) -> None:
        """Return when a record that has ended is on disk, for which there is always room.

        If the disk does not take the end, the record is delivered without it, and is not lost.
        """
        with self._despite_disk("an end"), self._transaction() as database:
            database.execute(
                "UPDATE logs SET head = ?, log = ?, is_open = 0 WHERE number = ? AND is_open",
                (head, record, number),
            )

    def release_open(self) -> None:
        """Let everything that has not ended be delivered as it is."""
        with self._transaction() as database:
            database.execute("UPDATE logs SET is_open = 0 WHERE is_open")
        self._measure()

    def next_batch(self, up_to: int) -> WaitingBatch | None:
        """Return the oldest batch that waits, on disk; if none does, cut one of the oldest records.

        Args:
            up_to: Records after this number are no reason to cut one; they fill it up.

        Returns:
            None if there is nothing to deliver.
        """
        with self._transaction() as database:
            row = database.execute(
                "SELECT first_number, content, logs FROM batches ORDER BY first_number LIMIT 1"
            ).fetchone() or _cut(database, up_to, self._batch_logs_max)
        return row and WaitingBatch(first_number=row[0], content=row[1], records=row[2])

    def resolve(
        self, batch: WaitingBatch, losses: Iterable[Loss], *, is_set_aside: bool = False
    ) -> None:
        """Forget a batch that the server has answered for, and count what it refused of it."""
        counted = list(losses)
        with self._transaction() as database:
            if is_set_aside:
                database.execute(
                    "INSERT INTO set_aside (content, message) VALUES (?, ?)",
                    (batch.content, counted[0].message),
                )
                database.execute(
                    "DELETE FROM set_aside WHERE number <= (SELECT max(number) FROM set_aside) - ?",
                    (SET_ASIDE_MAX,),
                )
            database.execute("DELETE FROM batches WHERE first_number = ?", (batch.first_number,))
            _count(database, counted)
        self._measure()

    @property
    def last_number(self) -> int:
        """The number of the newest record there ever was, 0 if there was none."""
        return self._value("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'logs'")

    def is_waiting(self, up_to: int) -> bool:
        """Whether a record up to this number has ended and is not yet answered for."""
        return (
            self._value(
                "SELECT EXISTS (SELECT 1 FROM logs WHERE number <= ?1 AND NOT is_open) "
                "OR EXISTS (SELECT 1 FROM batches WHERE first_number <= ?1)",
                up_to,
            )
            > 0
        )

    @property
    def waiting(self) -> int:
        """How many records have ended and are not yet answered for."""
        return self._value(
            "SELECT (SELECT count(*) FROM logs WHERE NOT is_open) "
            "+ (SELECT coalesce(sum(logs), 0) FROM batches)"
        )

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Every loss since the folder was made; what the disk did not take, since it was opened."""
        with self._transaction() as database:
            rows = database.execute("SELECT code, logs, message FROM losses ORDER BY code")
            written = [Loss(code=row[0], logs=row[1], message=row[2]) for row in rows]
        unwritten = [
            Loss(code=DISK_FAILED, logs=logs, message=f"The disk must take every log: {reason}.")
            for reason, logs in self._unwritten.items()
            if logs
        ]
        return (*written, *unwritten)

    def fact(self, name: str) -> str | None:
        """What is remembered by a name."""
        with self._transaction() as database:
            row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str | None) -> None:
        """Return when the value is on disk, if the disk takes it; None forgets."""
        with self._despite_disk(name), self._transaction() as database:
            database.execute("DELETE FROM facts WHERE name = ?", (name,))
            if value is not None:
                database.execute("INSERT INTO facts (name, value) VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self.check_is_ours()
        with self._mutex:
            self.check_is_ours()
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    @contextmanager
    def _despite_disk(self, what: str, *, losses: int = 0) -> Iterator[None]:
        """A disk that is full or broken must not stop the app."""
        try:
            yield
        except sqlite3.Error as error:
            self._unwritten[str(error)] += losses
            _LOGGER.warning("The disk did not take %s: %s.", what, error)

    def _measure(self) -> None:
        with self._mutex:
            self._bytes = self._value(
                "SELECT (SELECT coalesce(sum(bytes), 0) FROM logs) "
                "+ (SELECT coalesce(sum(bytes), 0) FROM batches)"
            )

    def _value(self, query: str, *parameters: int) -> int:
        with self._transaction() as database:
            return int(database.execute(query, parameters).fetchone()[0])


def _open_database(file: Path) -> sqlite3.Connection:
    """The database, which only its owner may read."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    database.executescript(_SCHEMA)
    return database


def _cut(database: sqlite3.Connection, up_to: int, logs_max: int) -> tuple[int, str, int] | None:
    """Cut the oldest records that one device and user has, in their order, into a batch."""
    rows = database.execute(
        "SELECT number, head, log, bytes FROM logs WHERE NOT is_open ORDER BY number LIMIT ?",
        (logs_max,),
    )
    cut: list[tuple[int, str, str, int]] = []
    size = 0
    for row in rows:
        size += row[3]
        if cut and (row[1] != cut[0][1] or size > BATCH_BYTES_MAX):
            size -= row[3]
            break
        cut.append(row)
    if not cut or cut[0][0] > up_to:
        return None
    first, head, _, _ = cut[0]
    records = ",".join(record for _, _, record, _ in cut)
    content = f'"batchId":"{new_guid()}",{head},"logs":[{records}]'
    database.execute(
        "DELETE FROM logs WHERE number BETWEEN ? AND ? AND NOT is_open", (first, cut[-1][0])
    )
    database.execute(
        "INSERT INTO batches (first_number, content, logs, bytes) VALUES (?, ?, ?, ?)",
        (first, content, len(cut), size),
    )
    return first, content, len(cut)


def _count(database: sqlite3.Connection, losses: Iterable[Loss]) -> None:
    database.executemany(
        "INSERT INTO losses (code, logs, message) VALUES (?, ?, ?) ON CONFLICT (code) "
        "DO UPDATE SET logs = logs + excluded.logs, message = excluded.message",
        [(loss.code, loss.logs, loss.message) for loss in losses],
    )
