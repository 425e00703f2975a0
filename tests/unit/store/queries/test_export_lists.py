"""Tests that lists of tasks are paged whole and without repeats, whatever is filtered."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from engagement.model.export_lists import ExportFilter
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState
from engagement.store.queries.export_lists import ExportListQueries
from engagement.store.queries.tasks import TaskQueries
from support.batches import NOW
from support.home import APP_ID, queued_task

ALL = ExportFilter()


def _keep(engine: sa.Engine, count: int) -> list[ExportTask]:
    """Tasks, the newest first, of which several were created at the same time."""
    queries = TaskQueries(engine)
    tasks = [
        replace(queued_task(f"{number:032x}"), created_at=NOW + timedelta(seconds=number // 3))
        for number in range(count)
    ]
    for task in tasks:
        queries.add(task, sealed_container_url=b"sealed")
    return sorted(tasks, key=lambda task: (task.created_at, task.task_id), reverse=True)


def _pages(
    queries: ExportListQueries, chosen: ExportFilter, *, limit: int, backwards: bool = False
) -> Iterator[list[str]]:
    """Page by page, each from the last task of the one before."""
    end = None
    if backwards:
        end = queries.list_page(chosen, limit=1_000, before=None, after=None, now=NOW)[-1].task_id
    while True:
        places = {"before": None, "after": end} if backwards else {"before": end, "after": None}
        tasks = queries.list_page(chosen, limit=limit, now=NOW, **places)
        if not tasks:
            return
        yield [task.task_id for task in tasks]
        end = tasks[0 if backwards else -1].task_id


def test_pages_have_each_task_once_in_both_directions(engine: sa.Engine) -> None:
    ids = [task.task_id for task in _keep(engine, 20)]
    queries = ExportListQueries(engine)

    older = [task_id for page in _pages(queries, ALL, limit=7) for task_id in page]
    newer = list(_pages(queries, ALL, limit=7, backwards=True))

    assert older == ids
    assert [task_id for page in reversed(newer) for task_id in page] == ids[:-1]


def test_a_filter_leaves_out_what_it_says(engine: sa.Engine) -> None:
    ids = [task.task_id for task in _keep(engine, 9)]
    TaskQueries(engine).cancel(ids[4], now=NOW)
    queries = ExportListQueries(engine)

    def found(chosen: ExportFilter) -> list[str]:
        tasks = queries.list_page(chosen, limit=50, before=None, after=None, now=NOW)
        return [task.task_id for task in tasks]

    assert found(ExportFilter(states=(ExportState.CANCELLED,))) == [ids[4]]
    assert found(ExportFilter(app_ids=("f" * 32,))) == []
    assert found(ExportFilter(app_ids=())) == []
    assert found(ExportFilter(app_ids=(APP_ID,))) == ids
    second = timedelta(seconds=1)
    middle = ExportFilter(created_from=NOW + second, created_before=NOW + 2 * second)
    assert found(middle) == ids[3:6]


def test_counting_stops_beyond_a_maximum(engine: sa.Engine) -> None:
    ids = [task.task_id for task in _keep(engine, 9)]
    TaskQueries(engine).cancel(ids[0], now=NOW)

    counts = ExportListQueries(engine).count_by_state(ALL, count_max=5)

    assert counts[ExportState.QUEUED] == 6
    assert counts[ExportState.CANCELLED] == 1
    assert counts[ExportState.SUCCEEDED] == 0
