"""Tests that the tasks of one app do not hold up another's."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dbos import DBOS

from engagement import operations
from engagement.exceptions import TooManyTasksError
from engagement.export.workflow import DBOS_WAITING, PARTS_QUEUE
from engagement.failpoints import Failpoint
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState
from engagement.runtime.engine import APP_EXPORTS_CONCURRENT_MAX
from support.day_exports import DayExports, running_day_exports
from support.waiting import wait_for, wait_for_event

DAYS = 3
FEW_TASKS, MANY_TASKS = APP_EXPORTS_CONCURRENT_MAX + 4, 200
PARTS_CONCURRENT = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """A running service with two apps, whose parts are held back until they may go."""

    exports: DayExports
    tasks_max: int
    """Unfinished exports that an app may have."""
    busy: str
    quiet: str
    parts_may_go: threading.Event
    parts: list[str]
    """The tasks of the parts that have begun, in their order."""


pytestmark = pytest.mark.attack


@pytest.fixture
def scene(tmp_path: Path, *, full_counts: bool) -> Iterator[Scene]:
    tasks_max = MANY_TASKS if full_counts else FEW_TASKS
    parts_may_go = threading.Event()
    parts: list[str] = []

    def hold_parts(here: Failpoint) -> None:
        if here is Failpoint.PART_STARTED:
            parts.append(str(DBOS.workflow_id).partition("-")[0])
            wait_for_event(parts_may_go, "a test that lets parts go")

    with running_day_exports(
        tmp_path,
        on_failpoint=hold_parts,
        PARTS_CONCURRENT=PARTS_CONCURRENT,
        APP_TASKS=tasks_max,
    ) as exports:
        busy, quiet = (exports.create_app(name, days=DAYS) for name in ("busy", "quiet"))
        try:
            yield Scene(exports, tasks_max, busy, quiet, parts_may_go, parts)
        finally:
            parts_may_go.set()


def test_parts_of_an_app_are_written_between_those_of_a_busier_one(scene: Scene) -> None:
    exports = scene.exports
    of_busy = [exports.create_export(scene.busy) for _ in range(scene.tasks_max)]
    wait_for(
        lambda: _count_waiting(scene.busy) >= APP_EXPORTS_CONCURRENT_MAX * 2,
        "a queue full of the busy app's parts",
    )
    of_quiet = exports.create_export(scene.quiet)
    wait_for(lambda: _count_waiting(scene.quiet) == DAYS, "the quiet app's parts")
    scene.parts_may_go.set()

    assert exports.end_of(of_quiet).state is ExportState.SUCCEEDED
    last_of_quiet = max(
        place for place, task_id in enumerate(scene.parts) if task_id == of_quiet.task_id
    )
    assert last_of_quiet <= PARTS_CONCURRENT + 2 * DAYS

    assert {exports.end_of(task).state for task in of_busy} == {ExportState.SUCCEEDED}


def test_an_app_may_have_so_many_unfinished_exports_and_another_too(scene: Scene) -> None:
    exports = scene.exports
    of_busy = [exports.create_export(scene.busy) for _ in range(scene.tasks_max)]
    with pytest.raises(TooManyTasksError, match=f"may have {scene.tasks_max} unfinished"):
        exports.create_export(scene.busy)
    of_quiet = exports.create_export(scene.quiet)

    def list_queued() -> list[ExportTask]:
        found = operations.list_exports(exports.runtime, app_id=scene.busy, limit=scene.tasks_max)
        return [task for task in found if task.state is ExportState.QUEUED]

    queued_max = scene.tasks_max - APP_EXPORTS_CONCURRENT_MAX
    wait_for(lambda: len(list_queued()) == queued_max, "as many exports as an app may have at once")
    queued, *_ = list_queued()
    cancelled = operations.cancel_export(exports.runtime, queued.task_id)
    assert cancelled.state is ExportState.CANCELLED
    another = exports.create_export(scene.busy)
    with pytest.raises(TooManyTasksError):
        operations.retry_export(
            exports.runtime, cancelled.task_id, container_url=f"file://{exports.folder}"
        )

    scene.parts_may_go.set()
    ended = [exports.end_of(task).task_id for task in (*of_busy, another, of_quiet)]
    states = operations.count_exports(exports.runtime)
    assert (states[ExportState.SUCCEEDED], states[ExportState.CANCELLED]) == (len(ended) - 1, 1)


def _count_waiting(app_id: str) -> int:
    waiting = DBOS.list_workflows(queue_name=PARTS_QUEUE, status=sorted(DBOS_WAITING))
    return sum(part.queue_partition_key == app_id for part in waiting)
