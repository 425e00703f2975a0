"""Asks the state database about export tasks and moves them from state to state."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from engagement.error_codes import code_of_failure
from engagement.exceptions import ErrorCode, UnknownTaskError
from engagement.model.codec import decode, encode
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask, TaskOrder, TaskPage
from engagement.model.exports import PUBLISHED_TYPES, ExportState, Progress
from engagement.store.changes import Changes
from engagement.store.queries.installation import check_sealing_key
from engagement.store.queries.task_limit import APP_TASKS_MAX, TaskLimit
from engagement.store.tables import export_parts, export_tasks

READ_LAST_MAX = 10_000
ERROR_DETAILS_CHARACTERS_MAX = 1024
_NEWEST_FIRST = (export_tasks.c.created_at.desc(), export_tasks.c.task_id.asc())
_PUBLISHED = export_tasks.c.published_contract | export_tasks.c.export_type.in_(
    [export_type.value for export_type in PUBLISHED_TYPES]
)
"""What the contract of 2014 can show: types that it names, and what was asked through it."""
_UNFINISHED = tuple(state for state in ExportState if not state.is_final)
_ORDER_COLUMNS = {
    TaskOrder.ID: "task_id",
    TaskOrder.ERROR_DETAILS: "error_details",
    TaskOrder.CREATED: "created_at",
    TaskOrder.STATE: "state",
}


def _delivered(name: str, value: sa.ColumnElement[Any]) -> sa.Label[Any]:
    """A sum over a task's receipts, which the index finds for each task by itself."""
    found = sa.select(value).where(export_parts.c.task_id == export_tasks.c.task_id)
    return found.scalar_subquery().label(name)


DELIVERED = (
    _delivered("parts_done", sa.func.count(export_parts.c.part_index)),
    _delivered("rows_done", sa.func.sum(export_parts.c.rows)),
    _delivered("bytes_done", sa.func.sum(export_parts.c.bytes)),
)
_BY_ID = sa.select(export_tasks, *DELIVERED).where(
    export_tasks.c.task_id == sa.bindparam("task_id")
)
"""Built once: clients poll with it, and building it takes longer than its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """What makes a repeated request the same one."""

    key: str
    """What the client calls the request."""
    request_sha256: str
    """Of everything that was asked but the credential."""


class TaskQueries:
    """Export tasks: what was asked, and the state."""

    def __init__(self, engine: sa.Engine, *, app_tasks_max: int = APP_TASKS_MAX) -> None:
        self._limit = TaskLimit(
            tasks=export_tasks, unfinished=_UNFINISHED, app_tasks_max=app_tasks_max
        )
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)
        self._changes = Changes(engine)
        self._read_last: dict[str, tuple[int | None, sa.Row[Any]]] = {}

    def add(
        self,
        task: ExportTask,
        *,
        sealed_container_url: bytes,
        idempotency: Idempotency | None = None,
    ) -> bool:
        """Keep a new task; False, keeping nothing, if its idempotency key is taken.

        Raises:
            TooManyTasksError: The app has as many unfinished tasks as it may.
        """
        insert = export_tasks.insert()
        try:
            with self._engine.begin() as connection:
                check_sealing_key(connection, sealed_container_url)
                self._limit.check(connection, task.app_id)
                connection.execute(
                    insert.values(
                        task_id=task.task_id,
                        app_id=task.app_id,
                        export_type=task.export_type,
                        export_format=task.export_format,
                        compression=task.compression,
                        state=task.state,
                        container=task.container,
                        folder=task.folder,
                        description=task.description,
                        request=encode(task.request),
                        published_contract=task.request.published_contract,
                        sealed_container_url=sealed_container_url,
                        created_at=task.created_at,
                        idempotency_key=idempotency and idempotency.key,
                        request_sha256=idempotency and idempotency.request_sha256,
                    )
                )
        except sa.exc.IntegrityError:
            if idempotency is None:
                raise
            return False
        return True

    def with_idempotency_key(self, app_id: str, key: str) -> tuple[str, str] | None:
        """The id of the task that came with this key, and the hash of what was asked then."""
        query = sa.select(export_tasks.c.task_id, export_tasks.c.request_sha256).where(
            export_tasks.c.app_id == app_id, export_tasks.c.idempotency_key == key
        )
        with self._reading.begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.task_id, row.request_sha256)

    def get(self, task_id: str, *, now: datetime) -> ExportTask:
        """The task with this id, with its progress.

        Raises:
            UnknownTaskError: There is none.
        """
        # Clients poll: while nothing was committed, what was read last is what there is.
        stamp = self._changes.stamp()
        known = self._read_last.get(task_id)
        if known is None or stamp is None or known[0] != stamp:
            with self._reading.begin() as connection:
                row = connection.execute(_BY_ID, {"task_id": task_id}).one_or_none()
            if row is None:
                raise UnknownTaskError(f"No export task has the id {task_id!r}.")
            if len(self._read_last) >= READ_LAST_MAX:
                self._read_last.clear()
            known = self._read_last[task_id] = (stamp, row)
        return read_task(known[1], now)

    def list_newest(self, *, app_id: str | None, limit: int, now: datetime) -> list[ExportTask]:
        """The newest tasks, of one app or of all, newest first."""
        condition = sa.true() if app_id is None else export_tasks.c.app_id == app_id
        return self._select(condition, now=now, limit=limit)

    def list_page(self, app_id: str, page: TaskPage, *, now: datetime) -> list[ExportTask]:
        """A page of an app's tasks, in the order that was asked."""
        condition = export_tasks.c.app_id == app_id
        if page.published_contract:
            condition &= _PUBLISHED
        column = export_tasks.c[_ORDER_COLUMNS[page.order_by]]
        # The id decides between equals, so that pages neither overlap nor leave a task out.
        order = (column.desc() if page.descending else column.asc(), export_tasks.c.task_id)
        return self._select(
            condition,
            now=now,
            limit=page.top,
            order=order,
            offset=page.skip,
        )

    def counts(self) -> dict[ExportState, int]:
        """How many tasks are in each state."""
        query = sa.select(export_tasks.c.state, sa.func.count()).group_by(export_tasks.c.state)
        with self._reading.begin() as connection:
            found = {ExportState(row[0]): int(row[1]) for row in connection.execute(query)}
        return {state: found.get(state, 0) for state in ExportState}

    def list_unfinished(self, app_id: str | None = None) -> list[str]:
        """The ids of the tasks whose state is not final, of one app or of all."""
        query = sa.select(export_tasks.c.task_id).where(export_tasks.c.state.in_(_UNFINISHED))
        if app_id is not None:
            query = query.where(export_tasks.c.app_id == app_id)
        with self._reading.begin() as connection:
            return list(connection.scalars(query.order_by(export_tasks.c.created_at)))

    def oldest_unfinished_at(self) -> datetime | None:
        """When the oldest task whose state is not final was created."""
        query = sa.select(sa.func.min(export_tasks.c.created_at)).where(
            export_tasks.c.state.in_(_UNFINISHED)
        )
        with self._reading.begin() as connection:
            found: datetime | None = connection.scalar(query)
        return found

    def find_ended(self, task_ids: Collection[str]) -> dict[str, int]:
        """For each of these tasks that there is, the last of its attempts that has ended."""
        columns = (export_tasks.c.task_id, export_tasks.c.state, export_tasks.c.attempt)
        query = sa.select(*columns).where(export_tasks.c.task_id.in_(sorted(task_ids)))
        with self._reading.begin() as connection:
            return {
                row.task_id: row.attempt - (not ExportState(row.state).is_final)
                for row in connection.execute(query)
            }

    def is_cancel_requested(self, task_id: str) -> bool:
        """Whether somebody asked to cancel the task.

        Raises:
            UnknownTaskError: There is none.
        """
        query = sa.select(export_tasks.c.cancel_requested).where(export_tasks.c.task_id == task_id)
        with self._reading.begin() as connection:
            found = connection.scalar(query)
        if found is None:
            raise UnknownTaskError(f"No export task has the id {task_id!r}.")
        return bool(found)

    def start(self, task_id: str, attempt: int, *, now: datetime) -> bool:
        """Move a queued task to Started; whether this attempt is the one that runs.

        An attempt that has started stays as it is, and still is the one.
        """
        if self._update(
            task_id,
            {ExportState.QUEUED},
            of_attempt=attempt,
            state=ExportState.STARTED,
            started_at=now,
        ):
            return True
        task = self.get(task_id, now=now)
        return task.state is ExportState.STARTED and task.attempt == attempt

    def cancel(self, task_id: str, *, now: datetime) -> bool:
        """Cancel a queued task at once, ask a started one to stop; whether either was possible.

        A started task ends itself, so that it never is cancelled with a manifest delivered.
        """
        ending = _ending(ExportState.CANCELLED, now=now, error=(ErrorCode.CANCELLED, None))
        return self._update(task_id, {ExportState.QUEUED}, **ending) or self._update(
            task_id, {ExportState.STARTED}, cancel_requested=True
        )

    def finish(
        self,
        task_id: str,
        attempt: int,
        state: ExportState,
        *,
        now: datetime,
        error: tuple[ErrorCode, str] | None = None,
    ) -> bool:
        """Move a task to a final state, once, and erase its credential in the same transaction.

        Returns:
            Whether this call moved it; False if its state was final before, or the task is
            another attempt's by now, which an older one must not end.
        """
        return self._update(
            task_id,
            {ExportState.QUEUED, ExportState.STARTED},
            of_attempt=attempt,
            **_ending(state, now=now, error=error),
        )

    def reopen(self, task: ExportTask, *, sealed_container_url: bytes) -> bool:
        """Queue a failed or cancelled task again; its plan and receipts stay.

        Raises:
            TooManyTasksError: The app has as many unfinished tasks as it may.
        """
        return self._update(
            task.task_id,
            {ExportState.FAILED, ExportState.CANCELLED},
            more_of_app=task.app_id,
            state=ExportState.QUEUED,
            sealed_container_url=sealed_container_url,
            cancel_requested=False,
            completed_at=None,
            error_code=None,
            error_details=None,
            attempt=export_tasks.c.attempt + 1,
        )

    def _update(
        self,
        task_id: str,
        allowed: Iterable[ExportState],
        *,
        of_attempt: int | None = None,
        more_of_app: str | None = None,
        **values: object,
    ) -> bool:
        """Set values if the task is in an allowed state, and this attempt's if one is named.

        If an app is named, the task is one more that it has unfinished.
        """
        query = export_tasks.update().where(
            export_tasks.c.task_id == task_id, export_tasks.c.state.in_(list(allowed))
        )
        if of_attempt is not None:
            query = query.where(export_tasks.c.attempt == of_attempt)
        sealed = values.get("sealed_container_url")
        with self._engine.begin() as connection:
            if isinstance(sealed, bytes):
                check_sealing_key(connection, sealed)
            if more_of_app is not None:
                self._limit.check(connection, more_of_app)
            return connection.execute(query.values(**values)).rowcount == 1

    def _select(
        self,
        condition: sa.ColumnElement[bool],
        *,
        now: datetime,
        limit: int,
        order: tuple[sa.ColumnElement[object], ...] = _NEWEST_FIRST,
        offset: int = 0,
    ) -> list[ExportTask]:
        query = (
            sa.select(export_tasks, *DELIVERED)
            .where(condition)
            .order_by(*order)
            .limit(limit)
            .offset(offset)
        )
        with self._reading.begin() as connection:
            return [read_task(row, now) for row in connection.execute(query)]


def _ending(
    state: ExportState, *, now: datetime, error: tuple[ErrorCode, str | None] | None
) -> dict[str, Any]:
    """What every end sets: the credential is erased with the very move to a final state."""
    code, details = error or (None, None)
    return {
        "state": state,
        "completed_at": now,
        "error_code": code,
        "error_details": None if details is None else details[:ERROR_DETAILS_CHARACTERS_MAX],
        "sealed_container_url": None,
    }


def read_task(row: sa.Row[tuple[object, ...]], now: datetime) -> ExportTask:
    """Return the task of a row that has what is delivered beside it."""
    return ExportTask(
        task_id=row.task_id,
        request=decode(row.request, ExportRequest),
        state=ExportState(row.state),
        container=row.container,
        folder=row.folder,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        error_code=None if row.error_code is None else code_of_failure(row.error_code),
        error_details=row.error_details,
        progress=_progress(row, now),
        attempt=row.attempt,
    )


def _progress(row: sa.Row[tuple[object, ...]], now: datetime) -> Progress:
    rows_done = int(row.rows_done or 0)
    rate = left = None
    if row.started_at is not None and rows_done:
        seconds = ((row.completed_at or now) - row.started_at).total_seconds()
        rate = rows_done / seconds if seconds > 0 else None
    if rate and row.completed_at is None:
        left = max(0, row.rows_total - rows_done) / rate
    return Progress(
        parts_total=row.parts_total,
        parts_done=row.parts_done or 0,
        rows_total=row.rows_total,
        rows_done=rows_done,
        bytes_done=int(row.bytes_done or 0),
        rows_per_second=rate,
        seconds_left=left,
    )
