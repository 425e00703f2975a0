"""Notices whether anybody has changed the state database, without reading it."""

import threading
from typing import Any

import sqlalchemy as sa


class Changes:
    """Tells apart the states of an SQLite database, whichever process changed it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None
        sa.event.listen(engine, "engine_disposed", lambda _: self._close())

    def stamp(self) -> int | None:
        """A number that is another one after every commit; None where it cannot be known.

        SQLite's `data_version` changes with the commits of all connections but its own, so the
        connection that asks for it never writes.
        """
        if self._engine.dialect.name != "sqlite":
            return None
        with self._lock:
            if self._connection is None:
                pooled = self._engine.raw_connection()
                self._connection = pooled.driver_connection
                pooled.detach()  # it is for nobody else, and is closed with the engine
            found: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return found

    def _close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
