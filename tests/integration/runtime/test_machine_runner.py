"""Tests that a machine without a database of queues loses no task by that."""

from datetime import UTC, datetime
from pathlib import Path

from engagement.failpoints import no_failpoint
from engagement.model.tag_imports import ImportState, ImportTask
from engagement.runtime.machine_runner import running_machine
from engagement.runtime.opening import open_service
from engagement.runtime.task_tools import make_flush, make_tools
from engagement.settings import Settings


def test_what_cannot_be_queued_now_is_left_to_the_workers(tmp_path: Path) -> None:
    nowhere = f"postgresql+psycopg://nobody@/nothing?host={tmp_path}"
    task = ImportTask(
        task_id="0" * 32,
        app_id="a" * 32,
        state=ImportState.QUEUED,
        storage="file:///nowhere",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        started_at=None,
        completed_at=None,
        error_code=None,
        error_details=None,
    )
    with open_service(Settings(home=tmp_path / "home"), run_tasks=False) as runtime:
        exports, imports = make_tools(runtime, make_flush(runtime, no_failpoint), no_failpoint)
        with running_machine(Settings(state_url=nowhere), exports) as runner:
            runner.start_import(task)

            assert runner.count_running() == {}
            assert runner.health().is_alive
            assert runner.flush(task.app_id) == 0
        imports.stop()
