"""The operations that look over export tasks: lists of them, and the parts of one."""

from engagement.model.export_lists import ExportFilter, PlannedPart
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState
from engagement.runtime.opening import Runtime

COUNT_MAX = 10_000
"""Counts stop here, so that a page of a long list is quick."""
"""Counting stops here, so that a page of a long list is quick."""


def find_exports(
    runtime: Runtime,
    chosen: ExportFilter,
    *,
    limit: int = 50,
    before: str | None = None,
    after: str | None = None,
) -> list[ExportTask]:
    """Some tasks, newest first, and one more if there are more of them.

    Args:
        runtime: The service.
        chosen: Which tasks.
        limit: How many.
        before: The id of a task; only older ones.
        after: The id of a task; only newer ones, those next to it.
    """
    return runtime.export_lists.list_page(
        chosen, limit=limit + 1, before=before, after=after, now=runtime.clock()
    )


def count_exports_by_state(runtime: Runtime, chosen: ExportFilter) -> dict[ExportState, int]:
    """How many tasks are in each state; `COUNT_MAX` and one more means so many or more."""
    return runtime.export_lists.count_by_state(chosen, count_max=COUNT_MAX)


def list_parts(runtime: Runtime, task_id: str) -> list[PlannedPart]:
    """The parts of a task's plan in its order, each with what it proved to be once delivered.

    Of a task whose plan was dropped, since a device was erased, the delivered parts.
    """
    planned = runtime.plans.count_planned_rows(task_id)
    receipts = runtime.plans.receipts(task_id)
    return [
        PlannedPart(index=index, rows_planned=planned.get(index), receipt=receipts.get(index))
        for index in sorted({*planned, *receipts})
    ]
