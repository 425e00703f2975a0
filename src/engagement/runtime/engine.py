"""Runs flushes, exports and imports, which only the process that owns a home folder may."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID

from engagement.collect.tag_imports import ImportRunner
from engagement.exceptions import ErrorCode
from engagement.export.steps import ExportSteps, ExportTools
from engagement.export.workflow import EXPORTS_QUEUE, PARTS_QUEUE, ExportWorkflow
from engagement.model.tag_imports import ImportTask
from engagement.runtime.home import private_file
from engagement.settings import Settings

APPLICATION_VERSION = "export-2"
"""DBOS recovers only workflows of its own version; it changes only with the workflow's shape."""
EXECUTOR_ID = "embedded"
EXPORTS_CONCURRENT_MAX = 32
"""Exports that take turns in writing their parts; a small one waits for one turn of the others."""
QUEUE_POLL_SECONDS = 0.05
IDLE_POLL_SECONDS = 0.2
"""How often DBOS's other threads look around; stopping waits for each of them."""
STOP_SECONDS_MAX = 5
_DBOS_GAVE_UP = {"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}


class Engine:
    """Runs exports and imports in threads of this process, and flushes when asked."""

    def __init__(self, tools: ExportTools, imports: ImportRunner) -> None:
        self._tools = tools
        self._imports = imports
        self._steps = ExportSteps(tools)
        _workflow().attach(self._steps)

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before is in the lake; how many logs were moved."""
        return self._tools.flush(app_id)

    def submit(self, task_id: str) -> None:
        """Queue a task's workflow; its id is the task's, so a repeat changes nothing."""
        attempt = self._tools.plans.read_export(task_id).attempt
        with SetWorkflowID(_workflow_id(task_id, attempt)):
            DBOS.enqueue_workflow(EXPORTS_QUEUE, _workflow().run, task_id, attempt)

    def start_import(self, task: ImportTask) -> None:
        """Run an import as soon as a thread is free."""
        self._imports.submit(task)

    def reconcile(self) -> None:
        """Make our tasks and DBOS's workflows agree, whatever came between.

        That may be a crash, or a task that was created beside this process.
        """
        for task_id in self._tools.tasks.list_unfinished():
            attempt = self._tools.plans.read_export(task_id).attempt
            status = DBOS.get_workflow_status(_workflow_id(task_id, attempt))
            if status is None:
                self.submit(task_id)
            elif status.status in _DBOS_GAVE_UP:
                self._steps.fail(
                    task_id,
                    attempt,
                    ErrorCode.INTERNAL_RETRIES_EXHAUSTED,
                    f"The workflow ended as {status.status} before the task did.",
                )


@contextmanager
def running_engine(
    settings: Settings, tools: ExportTools, imports: ImportRunner
) -> Iterator[Engine]:
    """Exports and imports run here, and those that another run of the service left go on."""
    engine = Engine(tools, imports)
    imports.resume()
    DBOS(config=_dbos_config(settings))
    try:
        DBOS.launch()
        for queue, concurrent_max in (
            (EXPORTS_QUEUE, EXPORTS_CONCURRENT_MAX),
            (PARTS_QUEUE, settings.parts_concurrent_max),
        ):
            DBOS.register_queue(
                queue, worker_concurrency=concurrent_max, polling_interval_sec=QUEUE_POLL_SECONDS
            )
        engine.reconcile()
        yield engine
    finally:
        tools.stopping.set()
        # DBOS waits in whole seconds even if there is nothing to wait for.
        seconds = STOP_SECONDS_MAX if tools.tasks.list_unfinished() else 0
        DBOS.destroy(workflow_completion_timeout_sec=seconds)
        imports.stop()


def _workflow_id(task_id: str, attempt: int) -> str:
    return task_id if attempt == 1 else f"{task_id}-{attempt}"


@cache
def _workflow() -> ExportWorkflow:
    return ExportWorkflow()


def _dbos_config(settings: Settings) -> DBOSConfig:
    url = settings.state_url or f"sqlite:///{_wal_file(settings.home / 'tasks.db')}"
    return DBOSConfig(
        name="engagement-export",
        system_database_url=url,
        application_version=APPLICATION_VERSION,
        executor_id=EXECUTOR_ID,
        serializer=DBOSPortableJSONSerializer(),
        log_level="ERROR",
        console_log_level="ERROR",
        notification_listener_polling_interval_sec=IDLE_POLL_SECONDS,
        scheduler_polling_interval_sec=IDLE_POLL_SECONDS,
    )


def _wal_file(path: Path) -> Path:
    """DBOS leaves SQLite's journal mode as it finds it, and WAL sticks to the file."""
    connection = sqlite3.connect(private_file(path))
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
    return path
