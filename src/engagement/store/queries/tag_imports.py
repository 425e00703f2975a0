"""Asks the state database about import tasks and moves them from state to state."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from engagement.error_codes import code_of_failure
from engagement.exceptions import ErrorCode, UnknownTaskError
from engagement.model.tag_imports import (
    ImportOrder,
    ImportPage,
    ImportProperty,
    ImportState,
    ImportTask,
)
from engagement.store.queries.installation import check_sealing_key
from engagement.store.queries.task_limit import APP_TASKS_MAX, TaskLimit
from engagement.store.tables import import_tasks

ERROR_DETAILS_CHARACTERS_MAX = 1024
_UNFINISHED = tuple(state for state in ImportState if not state.is_final)
_COLUMNS = {
    ImportProperty.ID: import_tasks.c.task_id,
    ImportProperty.STATE: import_tasks.c.state,
    ImportProperty.ERROR_DETAILS: import_tasks.c.error_details,
    ImportProperty.CREATED: import_tasks.c.created_at,
}


class ImportTaskQueries:
    """Import tasks: what was asked and the state."""

    def __init__(self, engine: sa.Engine, *, app_tasks_max: int = APP_TASKS_MAX) -> None:
        self._limit = TaskLimit(
            tasks=import_tasks, unfinished=_UNFINISHED, app_tasks_max=app_tasks_max
        )
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def add(self, task: ImportTask, *, sealed_storage_url: bytes) -> None:
        """Keep a new task.

        Raises:
            TooManyTasksError: The app has as many unfinished tasks as it may.
        """
        with self._engine.begin() as connection:
            check_sealing_key(connection, sealed_storage_url)
            self._limit.check(connection, task.app_id)
            connection.execute(
                import_tasks.insert().values(
                    task_id=task.task_id,
                    app_id=task.app_id,
                    state=task.state,
                    storage=task.storage,
                    sealed_storage_url=sealed_storage_url,
                    created_at=task.created_at,
                )
            )

    def get(self, app_id: str, task_id: str) -> ImportTask:
        """The app's task with this id.

        Raises:
            UnknownTaskError: There is none.
        """
        query = sa.select(import_tasks).filter_by(app_id=app_id, task_id=task_id)
        with self._reading.begin() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise UnknownTaskError(f"The app has no import task with the id {task_id[:60]!r}.")
        return _task(row)

    def list_page(self, app_id: str, *, skip: int, top: int, order: ImportOrder) -> ImportPage:
        """Some of the app's tasks."""
        column = _COLUMNS[order.by]
        # Databases differ in where they put what is absent, so that is asked for by itself.
        query = (
            sa.select(import_tasks)
            .filter_by(app_id=app_id)
            .order_by(
                column.is_not(None) if not order.descending else column.is_(None),
                column.desc() if order.descending else column.asc(),
                import_tasks.c.task_id,
            )
            .offset(skip)
            .limit(top + 1)
        )
        with self._reading.begin() as connection:
            found = [_task(row) for row in connection.execute(query)]
        return ImportPage(tasks=tuple(found[:top]), has_more=len(found) > top)

    def list_unfinished(self) -> list[ImportTask]:
        """The tasks of all apps whose state is not final, oldest first."""
        query = (
            sa.select(import_tasks)
            .where(import_tasks.c.state.in_(_UNFINISHED))
            .order_by(import_tasks.c.created_at, import_tasks.c.task_id)
        )
        with self._reading.begin() as connection:
            return [_task(row) for row in connection.execute(query)]

    def find_ended(self, task_ids: Collection[str]) -> dict[str, int]:
        """For each of these tasks that there is, the last of its attempts that has ended."""
        columns = (import_tasks.c.task_id, import_tasks.c.state)
        query = sa.select(*columns).where(import_tasks.c.task_id.in_(sorted(task_ids)))
        with self._reading.begin() as connection:
            return {
                row.task_id: int(row.state not in _UNFINISHED) for row in connection.execute(query)
            }

    def read_sealed_storage_url(self, task_id: str) -> bytes | None:
        """The encrypted URL of the blob; None once the task has ended."""
        query = sa.select(import_tasks.c.sealed_storage_url).filter_by(task_id=task_id)
        with self._reading.begin() as connection:
            sealed: bytes | None = connection.scalar(query)
        return sealed

    def start(self, task_id: str, *, now: datetime) -> int:
        """Move a queued task to Started; one that has started begins once more.

        Returns:
            How often it has begun, this time included.
        """
        attempts = import_tasks.c.attempts
        self._move(task_id, [ImportState.QUEUED], state=ImportState.STARTED, started_at=now)
        self._move(task_id, [ImportState.STARTED], attempts=attempts + 1)
        with self._reading.begin() as connection:
            return connection.scalar(sa.select(attempts).filter_by(task_id=task_id)) or 0

    def take_back_start(self, task_id: str) -> None:
        """Let a start not count, since the process was asked to stop."""
        self._move(task_id, [ImportState.STARTED], attempts=import_tasks.c.attempts - 1)

    def finish(
        self,
        task_id: str,
        state: ImportState,
        *,
        now: datetime,
        code: ErrorCode | None = None,
        details: str | None = None,
    ) -> None:
        """Move a task to a final state, once, and erase its credential in the same transaction."""
        self._move(
            task_id,
            _UNFINISHED,
            state=state,
            completed_at=now,
            error_code=code,
            error_details=None if details is None else details[:ERROR_DETAILS_CHARACTERS_MAX],
            sealed_storage_url=None,
        )

    def _move(self, task_id: str, allowed: Sequence[ImportState], **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                import_tasks.update()
                .where(import_tasks.c.task_id == task_id, import_tasks.c.state.in_(allowed))
                .values(**values)
            )


def _task(row: sa.Row[tuple[object, ...]]) -> ImportTask:
    return ImportTask(
        task_id=row.task_id,
        app_id=row.app_id,
        state=ImportState(row.state),
        storage=row.storage,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        error_code=None if row.error_code is None else code_of_failure(row.error_code),
        error_details=row.error_details,
    )
