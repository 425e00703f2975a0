"""Keeps what the steps of an export work with: what was asked, the plan, a row a part, receipts."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from engagement.exceptions import IncompleteExportError, UnknownTaskError
from engagement.model.codec import decode, encode
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportState, Receipt
from engagement.model.plan import Part, Plan, PlanHead
from engagement.store.queries.upserts import insert_into
from engagement.store.tables import export_parts, export_plan_parts, export_tasks

_RECEIPT_COLUMNS = [export_parts.c[field.name] for field in fields(Receipt)]
_EXPORT_COLUMNS = [
    export_tasks.c[name]
    for name in (
        "task_id",
        "request",
        "sealed_container_url",
        "folder",
        "attempt",
        "cancel_requested",
        "plan_head",
        "parts_total",
    )
]
_EXPORT = sa.select(*_EXPORT_COLUMNS).where(export_tasks.c.task_id == sa.bindparam("task_id"))
_PART = (
    sa.select(*_EXPORT_COLUMNS, export_plan_parts.c.part, export_parts.c.part_index)
    .join_from(
        export_tasks, export_plan_parts, export_plan_parts.c.task_id == export_tasks.c.task_id
    )
    .join(
        export_parts,
        (export_parts.c.task_id == export_plan_parts.c.task_id)
        & (export_parts.c.part_index == export_plan_parts.c.part_index),
        isouter=True,
    )
    .where(
        export_tasks.c.task_id == sa.bindparam("task_id"),
        export_plan_parts.c.part_index == sa.bindparam("part_index"),
    )
)


@cache
def _keep_receipt(dialect: str) -> sa.Insert:
    """Built once: building takes longer than the answer, and an export may have many parts."""
    insert = insert_into(export_parts, dialect)
    return insert.on_conflict_do_update(
        index_elements=["task_id", "part_index"],
        set_={column.name: insert.excluded[column.name] for column in _RECEIPT_COLUMNS},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredExport:
    """What is kept of a task for those who work on it."""

    task_id: str
    """The task."""
    request: ExportRequest
    """What was asked, without the container URL."""
    sealed_container_url: bytes | None
    """The encrypted container URL; None once the task has ended."""
    folder: str
    """Object key prefix of the parts and the manifest."""
    attempt: int
    """1 at first, one more with each retry."""
    cancel_requested: bool
    """Whether somebody asked to cancel the task."""
    plan_head: PlanHead | None
    """What all parts of the plan share; None before the plan was made."""
    parts_total: int
    """How many parts the plan has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """All that is needed to write a part of an export."""

    export: StoredExport
    """The export."""
    part: Part
    """What to write."""
    is_delivered: bool
    """Whether its receipt is kept."""


class PlanQueries:
    """What was asked of an export, its plan, and the receipts of its delivered parts."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def keep_plan(self, task_id: str, plan: Plan) -> int:
        """Keep the plan once and for all; how many parts the one has that was first."""
        keep_head = (
            export_tasks.update()
            .where(export_tasks.c.task_id == task_id, export_tasks.c.plan_head.is_(None))
            .values(plan_head=encode(plan.head), parts_total=len(plan.parts), rows_total=plan.rows)
        )
        rows = [
            {
                "task_id": task_id,
                "part_index": part.index,
                "part": encode(part),
                "rows": part.rows,
            }
            for part in plan.parts
        ]
        kept = sa.select(export_tasks.c.parts_total).where(export_tasks.c.task_id == task_id)
        with self._engine.begin() as connection:
            if connection.execute(keep_head).rowcount == 1 and rows:
                connection.execute(export_plan_parts.insert(), rows)
            return int(connection.execute(kept).scalar_one())

    def read_export(self, task_id: str) -> StoredExport:
        """What is kept of a task for those who work on it.

        Raises:
            UnknownTaskError: There is none.
        """
        with self._reading.begin() as connection:
            row = connection.execute(_EXPORT, {"task_id": task_id}).one_or_none()
        if row is None:
            raise UnknownTaskError(f"No export task has the id {task_id!r}.")
        return _export(row)

    def forget_parts(self, app_id: str, started_until: datetime) -> int:
        """Drop what the plans of an app's ended tasks say of their parts; how many parts.

        A part names device ids. Tasks that were started later keep theirs.
        """
        ended = sa.select(export_tasks.c.task_id).where(
            export_tasks.c.app_id == app_id,
            export_tasks.c.state.in_([state for state in ExportState if state.is_final]),
            export_tasks.c.started_at <= started_until,
        )
        drop = export_plan_parts.delete().where(export_plan_parts.c.task_id.in_(ended))
        with self._engine.begin() as connection:
            return connection.execute(drop).rowcount

    def list_unfinished_parts(self) -> Iterator[tuple[str, Part]]:
        """The parts of the plans of all tasks that have not ended, each with its app."""
        unfinished = [state for state in ExportState if not state.is_final]
        query = (
            sa.select(export_tasks.c.app_id, export_plan_parts.c.part)
            .join_from(
                export_tasks,
                export_plan_parts,
                export_plan_parts.c.task_id == export_tasks.c.task_id,
            )
            .where(export_tasks.c.state.in_(unfinished))
        )
        with self._reading.begin() as connection:
            for row in connection.execute(query):
                yield row.app_id, decode(row.part, Part)

    def has_all_parts(self, task_id: str, parts_total: int) -> bool:
        """Whether a plan still says what each of its parts is."""
        query = sa.select(sa.func.count()).where(export_plan_parts.c.task_id == task_id)
        with self._reading.begin() as connection:
            return connection.scalar(query) == parts_total

    def read_plan(self, task_id: str) -> Plan | None:
        """The whole plan; None before it was made, and when its parts were dropped.

        Raises:
            UnknownTaskError: There is no such task.
        """
        export = self.read_export(task_id)
        head = export.plan_head
        if head is None or not self.has_all_parts(task_id, export.parts_total):
            return None
        query = sa.select(export_plan_parts.c.part).where(export_plan_parts.c.task_id == task_id)
        with self._reading.begin() as connection:
            texts = connection.scalars(query.order_by(export_plan_parts.c.part_index))
            return Plan(head=head, parts=tuple(decode(text, Part) for text in texts))

    def read_part(self, task_id: str, index: int) -> StoredPart:
        """One part of the plan with its task, and whether it was delivered.

        Raises:
            IncompleteExportError: The task has no plan, or the plan no such part.
        """
        values = {"task_id": task_id, "part_index": index}
        with self._reading.begin() as connection:
            row = connection.execute(_PART, values).one_or_none()
        if row is None:
            raise IncompleteExportError(f"The plan must have a part {index} by now, got none.")
        return StoredPart(
            export=_export(row),
            part=decode(row.part, Part),
            is_delivered=row.part_index is not None,
        )

    def count_planned_rows(self, task_id: str) -> dict[int, int | None]:
        """How many rows each part was planned with, by part index."""
        query = sa.select(export_plan_parts.c.part_index, export_plan_parts.c.rows).where(
            export_plan_parts.c.task_id == task_id
        )
        with self._reading.begin() as connection:
            rows = connection.execute(query.order_by(export_plan_parts.c.part_index))
            return {row.part_index: row.rows for row in rows}

    def keep_receipt(self, task_id: str, part_index: int, receipt: Receipt) -> None:
        """Keep what a delivered part proved to be; a repeat replaces itself."""
        values = {column.name: getattr(receipt, column.name) for column in _RECEIPT_COLUMNS}
        with self._engine.begin() as connection:
            connection.execute(
                _keep_receipt(connection.dialect.name),
                {"task_id": task_id, "part_index": part_index, **values},
            )

    def receipts(self, task_id: str) -> dict[int, Receipt]:
        """The receipts of the delivered parts, by part index."""
        query = sa.select(export_parts.c.part_index, *_RECEIPT_COLUMNS).where(
            export_parts.c.task_id == task_id
        )
        with self._reading.begin() as connection:
            rows = connection.execute(query.order_by(export_parts.c.part_index)).mappings()
            return {row["part_index"]: _receipt(row) for row in rows}


def _export(row: Any) -> StoredExport:
    return StoredExport(
        task_id=row.task_id,
        request=decode(row.request, ExportRequest),
        sealed_container_url=row.sealed_container_url,
        folder=row.folder,
        attempt=row.attempt,
        cancel_requested=row.cancel_requested,
        plan_head=None if row.plan_head is None else decode(row.plan_head, PlanHead),
        parts_total=row.parts_total,
    )


def _receipt(row: sa.RowMapping) -> Receipt:
    return Receipt(**{column.name: row[column.name] for column in _RECEIPT_COLUMNS})
