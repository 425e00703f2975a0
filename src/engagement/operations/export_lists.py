"""The operations that look over export tasks: lists of them, and the parts of one."""

import threading
from datetime import datetime, timedelta

from engagement.model.executors import ProcessRole
from engagement.model.export_lists import ExportFilter, PlannedPart
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState
from engagement.runtime.opening import Runtime

COUNT_MAX = 10_000
"""Counts stop here, so that a page of a long list is quick."""
PAGE = 1_000
LATE = timedelta(seconds=10)
"""The end of an export may be kept so long after the instant that it names."""


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


class EndedExports:
    """Gives each export that ends from now on, once; of a cluster's servers the oldest gives it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._since = runtime.clock()
        self._given = self._find_until(self._since).keys()
        self._lock = threading.Lock()

    def take(self) -> list[ExportTask]:
        """Return the exports that have ended and were not given before."""
        with self._lock:
            now = self._runtime.clock()
            ended = self._find_until(now)
            new = [task for key, task in ended.items() if key not in self._given]
            self._since, self._given = now, ended.keys()
        member = self._runtime.member
        return new if member is None or member.is_first(ProcessRole.API) else []

    def _find_until(self, end: datetime) -> dict[tuple[str, int], ExportTask]:
        """Find what ended since a little before the last look, by task and attempt."""
        chosen = ExportFilter(ended_from=self._since - LATE, ended_before=end)
        found: dict[tuple[str, int], ExportTask] = {}
        last = None
        while True:
            page = self._runtime.export_lists.list_page(
                chosen, limit=PAGE, before=last, after=None, now=end
            )
            found |= {(task.task_id, task.attempt): task for task in page}
            if len(page) < PAGE:
                return found
            last = page[-1].task_id
