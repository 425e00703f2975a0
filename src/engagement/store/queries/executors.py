"""Asks the state database about the processes of a cluster, by the database's own clock."""

from collections.abc import Sequence

import sqlalchemy as sa

from engagement.model.executors import Executor, Heartbeat, ProcessRole
from engagement.store.tables import executors

SESSION_PREFIX = "engagement/"
"""What PostgreSQL calls the sessions of a process, before the process's id."""
VANISHED_SECONDS = 3.0
"""After so long a process without a session is gone; one that lives has one every second."""
SERVER_SETTLED_SECONDS = 20.0
"""For so long after its start a server does not know which sessions are missing."""
LEFT_SECONDS_MIN = 10 * 365 * 86_400.0
"""Whoever leaves says that it was last seen longer ago than any process lives."""
_Seconds = sa.Float


class ExecutorQueries:
    """The processes of a cluster, on PostgreSQL."""

    def __init__(self, engine: sa.Engine, *, lease_seconds: int) -> None:
        """Ask about processes.

        Args:
            engine: The state database.
            lease_seconds: After so long a silent process has lost what it worked on.
        """
        self._engine = engine
        self.lease_seconds = lease_seconds
        """After so long a silent process has lost what it worked on."""

    def register(
        self, executor_id: str, roles: Sequence[ProcessRole], *, host: str, version: str, slots: int
    ) -> None:
        """Add a process, which lives from now on."""
        with self._engine.begin() as connection:
            connection.execute(
                executors.insert().values(
                    executor_id=executor_id,
                    roles=",".join(roles),
                    host=host,
                    version=version,
                    slots=slots,
                    started_at=sa.func.now(),
                    seen_at=sa.func.now(),
                )
            )

    def beat(self, executor_id: str) -> Heartbeat | None:
        """Say that a process lives; what it learns, or None if it was given up."""
        with self._engine.begin() as connection:
            is_draining = connection.scalar(
                executors.update()
                .where(executors.c.executor_id == executor_id)
                .values(seen_at=sa.func.now())
                .returning(executors.c.is_draining)
            )
            if is_draining is None:
                return None
            live = connection.execute(
                sa.select(executors.c.roles, executors.c.slots).where(
                    _silent_seconds() < self.lease_seconds, ~executors.c.is_draining
                )
            ).all()
        collectors = sum(ProcessRole.COLLECT in row.roles.split(",") for row in live)
        slots = sum(row.slots for row in live)
        return Heartbeat(
            collectors=max(1, collectors), slots=max(1, slots), is_draining=is_draining
        )

    def leave(self, executor_id: str) -> None:
        """Let others take over at once what a process had, which ends now."""
        with self._engine.begin() as connection:
            connection.execute(
                executors.update()
                .where(executors.c.executor_id == executor_id)
                .values(seen_at=sa.text("'epoch'"))
            )

    def list_all(self) -> list[Executor]:
        """All processes that were not given up, the oldest first."""
        silent = _silent_seconds().label("silent_seconds")
        query = sa.select(executors, silent).order_by(
            executors.c.started_at, executors.c.executor_id
        )
        with self._engine.begin() as connection:
            return [
                Executor(
                    executor_id=row.executor_id,
                    roles=tuple(map(ProcessRole, row.roles.split(","))),
                    host=row.host,
                    version=row.version,
                    slots=row.slots,
                    started_at=row.started_at,
                    silent_seconds=float(row.silent_seconds),
                    is_draining=row.is_draining,
                )
                for row in connection.execute(query)
            ]

    def list_live(self) -> list[Executor]:
        """The processes that said that they live within their lease, the oldest first."""
        return [each for each in self.list_all() if each.silent_seconds < self.lease_seconds]

    def ask_to_drain(self, executor_id: str) -> bool:
        """Ask a process to end when its work is done; whether there is one of that id."""
        with self._engine.begin() as connection:
            updated = connection.execute(
                executors.update()
                .where(executors.c.executor_id == executor_id)
                .values(is_draining=True)
            )
        return updated.rowcount == 1

    def find_dead(self) -> list[Executor]:
        """The processes that were silent for a whole lease, or that are gone for certain.

        One whose sessions have all ended is gone, unless the database server itself ended them;
        and while there was no server, all were silent, whom it would give up as soon as it is back.
        """
        sessions = sa.text("SELECT application_name FROM pg_stat_activity")
        known = self.list_all()
        with self._engine.begin() as connection:
            up_seconds = read_up_seconds(connection)
            present = set(connection.scalars(sessions))
        return [
            executor
            for executor in known
            if executor.silent_seconds >= LEFT_SECONDS_MIN
            or min(executor.silent_seconds, up_seconds) >= self.lease_seconds
            or (
                up_seconds > SERVER_SETTLED_SECONDS
                and executor.silent_seconds >= VANISHED_SECONDS
                and session_name(executor.executor_id) not in present
            )
        ]

    def end_sessions(self, executor_id: str) -> int:
        """End every session of a process, and every lock and transaction with them; how many."""
        query = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = :name AND pid <> pg_backend_pid()"
        )
        with self._engine.begin() as connection:
            return len(connection.execute(query, {"name": session_name(executor_id)}).all())

    def remove(self, executor_id: str) -> None:
        """Forget a process: it ends itself when it learns that."""
        with self._engine.begin() as connection:
            connection.execute(executors.delete().where(executors.c.executor_id == executor_id))


def session_name(executor_id: str) -> str:
    """Return what PostgreSQL calls the sessions of a process."""
    return f"{SESSION_PREFIX}{executor_id}"


def read_up_seconds(connection: sa.Connection) -> float:
    """Return how long the database server has run."""
    up = sa.text("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
    return float(connection.scalar(up) or 0.0)


def _silent_seconds() -> sa.ColumnElement[float]:
    return sa.cast(sa.func.extract("epoch", sa.func.now() - executors.c.seen_at), _Seconds)
