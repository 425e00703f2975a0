"""Asks the state database for lists of export tasks, page by page."""

from datetime import datetime

import sqlalchemy as sa

from engagement.model.export_lists import ExportFilter
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState
from engagement.store.queries.tasks import DELIVERED, read_task
from engagement.store.tables import export_tasks

_KEY = (export_tasks.c.created_at, export_tasks.c.task_id)


class ExportListQueries:
    """Lists of tasks, newest first, that are paged by the last task of a page."""

    def __init__(self, engine: sa.Engine) -> None:
        self._reading = engine.execution_options(read_only=True)

    def list_page(
        self,
        chosen: ExportFilter,
        *,
        limit: int,
        before: str | None,
        after: str | None,
        now: datetime,
    ) -> list[ExportTask]:
        """Tasks older than one, or newer than one, or the newest; the newest of them first."""
        newer = after is not None
        order = [column.asc() if newer else column.desc() for column in _KEY]
        query = sa.select(export_tasks, *DELIVERED).where(_condition(chosen))
        if (task_id := after if newer else before) is not None:
            place = sa.select(*_KEY).where(export_tasks.c.task_id == task_id).subquery()
            key, bound = sa.tuple_(*_KEY), sa.tuple_(place.c.created_at, place.c.task_id)
            query = query.where(key > bound if newer else key < bound)
        with self._reading.begin() as connection:
            rows = connection.execute(query.order_by(*order).limit(limit))
            tasks = [read_task(row, now) for row in rows]
        return tasks[::-1] if newer else tasks

    def count_by_state(self, chosen: ExportFilter, *, count_max: int) -> dict[ExportState, int]:
        """How many tasks are in each state; counting stops at one more than a maximum."""
        counts = {}
        with self._reading.begin() as connection:
            for state in ExportState:
                some = (
                    sa.select(sa.literal(1))
                    .select_from(export_tasks)
                    .where(_condition(chosen), export_tasks.c.state == state)
                    .limit(count_max + 1)
                    .subquery()
                )
                counts[state] = int(connection.scalar(sa.select(sa.func.count(some.c[0]))) or 0)
        return counts


def _condition(chosen: ExportFilter) -> sa.ColumnElement[bool]:
    conditions: list[sa.ColumnElement[bool]] = [sa.true()]
    if chosen.app_ids is not None:
        conditions.append(export_tasks.c.app_id.in_(chosen.app_ids))
    if chosen.states:
        conditions.append(export_tasks.c.state.in_(chosen.states))
    if chosen.types:
        conditions.append(export_tasks.c.export_type.in_(chosen.types))
    if chosen.created_from is not None:
        conditions.append(export_tasks.c.created_at >= chosen.created_from)
    if chosen.created_before is not None:
        conditions.append(export_tasks.c.created_at < chosen.created_before)
    if chosen.ended_from is not None:
        conditions.append(export_tasks.c.completed_at >= chosen.ended_from)
    if chosen.ended_before is not None:
        conditions.append(export_tasks.c.completed_at < chosen.ended_before)
    return sa.and_(*conditions)
