"""Runs flushes, exports and imports, which only the process that owns a home folder may."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID

from engagement.collect.tag_imports import IMPORTS_CONCURRENT_MAX, ImportRunner
from engagement.exceptions import EngagementError, ErrorCode, StorageFullError
from engagement.export.steps import ExportSteps, ExportTools
from engagement.export.workflow import (
    DBOS_UNDER_WAY,
    EXPORTS_QUEUE,
    PARTS_QUEUE,
    ExportWorkflow,
)
from engagement.model.tag_imports import ImportTask
from engagement.runtime.cluster import Member
from engagement.runtime.ended_workflows import FORGET_SECONDS, forget_old_workflows
from engagement.runtime.home import RunnerHealth, private_file
from engagement.runtime.import_workflow import (
    IMPORTS_QUEUE,
    ImportWorkflow,
    import_workflow_id,
)
from engagement.runtime.routines import running_routine
from engagement.settings import Settings
from engagement.storage_failures import name_failures
from engagement.store.queries.executors import session_name

APPLICATION_VERSION = "export-3"
"""It changes only with the workflow's shape. DBOS leaves workflows of another version alone for
ever, so they are begun anew."""
APPLICATION_NAME = "engagement-export"
EXECUTOR_ID = "embedded"
"""Of a service that is one process; each of a cluster's has its own."""
EXPORTS_CONCURRENT_MAX = 64
"""Exports that take turns in writing their parts; a small one waits for one turn of the others."""
APP_EXPORTS_CONCURRENT_MAX = 8
"""Those of one app, so that its many leave slots to the others."""
QUEUE_POLL_SECONDS = 0.05
IDLE_POLL_SECONDS = 0.2
"""How often DBOS's other threads look around; stopping waits for each of them."""
STOP_SECONDS_MAX = 5
END_POLL_SECONDS = 0.01
DRAIN_SECONDS_MAX = 600
"""How long a process that is asked to drain may go on with the parts that it writes."""
TASKS_DATABASE = "tasks.db"
RECONCILE_SECONDS = 5.0
_log = structlog.get_logger()


class Engine:
    """Runs exports and imports in threads of this process, and flushes when asked."""

    def __init__(
        self,
        tools: ExportTools,
        imports: ImportRunner,
        *,
        database: str | None = None,
        member: Member | None = None,
    ) -> None:
        """Run with these.

        Args:
            tools: What exports are run with.
            imports: What runs imports.
            database: The file of DBOS's own database; None if it is a server's.
            member: This process in its cluster; None if it is none's.
        """
        self._database = database
        self._member = member
        self._executor_id = EXECUTOR_ID if member is None else member.executor_id
        self._tools = tools
        self._imports = imports
        self._steps = ExportSteps(tools)
        self._idle: set[str] = set()
        self._storage_full: StorageFullError | None = None
        _workflow().attach(self._steps)
        _import_workflow().attach(imports)

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before is in the lake; how many logs were moved."""
        return self._tools.flush(app_id)

    def submit(self, task_id: str) -> None:
        """Queue a task's workflow; its id is the task's, so a repeat changes nothing."""
        export = self._tools.plans.read_export(task_id)
        attempt, app_id = export.attempt, export.request.app_id
        with (
            SetWorkflowID(export_workflow_id(task_id, attempt)),
            SetEnqueueOptions(queue_partition_key=app_id),
            name_failures(self._database),
        ):
            DBOS.enqueue_workflow(EXPORTS_QUEUE, _workflow().run, task_id, attempt, app_id)

    def start_import(self, task: ImportTask) -> None:
        """Run an import as soon as a thread is free, here or on another machine of the cluster."""
        if self._member is None:
            self._imports.submit(task)
            return
        with (
            SetWorkflowID(import_workflow_id(task.task_id)),
            SetEnqueueOptions(queue_partition_key=task.app_id),
        ):
            run = _import_workflow().run
            DBOS.enqueue_workflow(IMPORTS_QUEUE, run, task.app_id, task.task_id)

    @property
    def has_stalled(self) -> bool:
        """Whether a step that does not go on holds a thread; only a new process has it back."""
        return self._tools.step_watch.has_stalled or self._imports.has_stalled

    def health(self) -> RunnerHealth:
        """How the runner is: it is this very process."""
        return RunnerHealth(
            is_alive=True,
            restarts=0,
            silent_seconds=0.0,
            storage_full=self._storage_full or _workflow().storage_full,
        )

    def reconcile(self) -> None:
        """Make our tasks and what runs agree, whatever came between.

        That may be a crash, a task that was created beside this process, a step that does not go
        on, or a workflow whose thread ended before DBOS could keep how.

        Raises:
            StorageFullError: The disk is too full to let tasks go on; the next look tries again.
        """
        try:
            with name_failures(self._database):
                self._reconcile()
        except StorageFullError as error:
            self._storage_full = error
            raise
        self._storage_full = None

    def _reconcile(self) -> None:
        self._fail_stalled()
        self._imports.fail_stalled()
        self._imports.resume_lost()
        self._resume_lost()
        if self._member is None:
            self._reconcile_tasks()

    def reconcile_cluster(self, known: Callable[[], Collection[str]]) -> None:
        """Let what processes left that are gone go on; of all workers one does this at a time.

        Args:
            known: The ids of the processes that were not given up.
        """
        running = self.count_running().keys()
        # Asked for afterwards: whoever had a workflow by then had registered before.
        if gone := sorted(running - set(known())):
            _log.warning("workflows_taken_over", executors=gone)
            DBOS._recover_pending_workflows(gone)  # noqa: SLF001 - conditional, as no other is
        self._reconcile_tasks()
        for task in self._imports.tasks.list_unfinished():
            workflow_id = import_workflow_id(task.task_id)
            status = DBOS.get_workflow_status(workflow_id)
            if status is not None and status.status not in DBOS_UNDER_WAY:
                DBOS.delete_workflow(workflow_id)  # its end could not be kept
                status = None
            if status is None:
                self.start_import(task)

    def _reconcile_tasks(self) -> None:
        self.destroy_keys()
        for task_id in self._tools.tasks.list_unfinished():
            attempt = self._tools.plans.read_export(task_id).attempt
            status = DBOS.get_workflow_status(export_workflow_id(task_id, attempt))
            if status is None:
                self.submit(task_id)
            elif status.status not in DBOS_UNDER_WAY:  # does nothing if the task has just ended
                self._steps.fail(
                    task_id,
                    attempt,
                    ErrorCode.INTERNAL_RETRIES_EXHAUSTED,
                    f"The workflow ended as {status.status} before the task did.",
                )

    def destroy_keys(self) -> None:
        """Let the URLs of tasks that have ended be opened by nobody, whatever files keep them."""
        self._tools.vault.destroy_ended(self._tools.tasks, self._imports.tasks)

    def count_running(self) -> Counter[str]:
        """How many workflows each process has begun and not ended, by their executors' ids."""
        running = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        return Counter(str(workflow.executor_id) for workflow in running)

    def wait_for_ends(self) -> None:
        """Return when DBOS has kept how the workflows ended whose tasks did, or after 5 seconds.

        A task ends a moment before its workflow: a thread that then finds DBOS destroyed can't keep
        the end, and reports that with a stack trace though the export has succeeded.
        """
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while time.monotonic() < deadline and DBOS.list_workflows(
            status="PENDING",
            executor_id=self._executor_id,
            limit=1,
            load_input=False,
            load_output=False,
        ):
            time.sleep(END_POLL_SECONDS)

    def _fail_stalled(self) -> None:
        for task_id in self._tools.step_watch.find_stalled():
            _log.error("export_stalled", task_id=task_id)
            attempt = self._tools.plans.read_export(task_id).attempt
            details = self._tools.step_watch.describe_stall()
            self._steps.fail(task_id, attempt, ErrorCode.STALLED, details)
            self._tools.step_watch.give_up(task_id)

    def _resume_lost(self) -> None:
        """Queue again what DBOS takes for running though no thread runs it, at two looks in turn.

        A thread may end without a trace, as when the disk was too full to keep its end.
        """
        pending = DBOS.list_workflows(
            status="PENDING", load_input=False, load_output=False, executor_id=self._executor_id
        )
        idle = {
            workflow.workflow_id: workflow.queue_name
            for workflow in pending
            if not _workflow().is_running(workflow.workflow_id)
            and not _import_workflow().is_running(workflow.workflow_id)
        }
        for workflow_id in self._idle & idle.keys():
            _log.warning("workflow_lost", workflow_id=workflow_id)
            DBOS.resume_workflow(workflow_id, queue_name=idle.pop(workflow_id))
        self._idle = set(idle)


@contextmanager
def running_engine(
    settings: Settings, tools: ExportTools, imports: ImportRunner, *, member: Member | None = None
) -> Iterator[Engine]:
    """Exports and imports run here, and those that another run of the service left go on.

    Args:
        settings: Where and how.
        tools: What exports are run with.
        imports: What runs imports.
        member: This process in its cluster; None if it is none's.
    """
    database = None if settings.state_url else str(settings.home / TASKS_DATABASE)
    with name_failures(database):
        config = _dbos_config(settings, EXECUTOR_ID if member is None else member.executor_id)
    engine = Engine(tools, imports, database=database, member=member)
    if member is None:
        imports.resume()
    DBOS(config=config)
    try:
        with name_failures(database):
            DBOS.launch()
            if member is None:
                _drop_other_versions()
            DBOS.register_queue(
                EXPORTS_QUEUE,
                worker_concurrency=EXPORTS_CONCURRENT_MAX,
                partition_concurrency=APP_EXPORTS_CONCURRENT_MAX,
                polling_interval_sec=QUEUE_POLL_SECONDS,
            )
            DBOS.register_queue(
                PARTS_QUEUE,
                worker_concurrency=settings.parts_concurrent_max,
                polling_interval_sec=QUEUE_POLL_SECONDS,
            )
            if member is not None:
                DBOS.register_queue(
                    IMPORTS_QUEUE,
                    worker_concurrency=IMPORTS_CONCURRENT_MAX,
                    partition_concurrency=1,
                    polling_interval_sec=QUEUE_POLL_SECONDS,
                )
        engine.reconcile()
        with (
            running_routine("reconcile", RECONCILE_SECONDS, engine.reconcile),
            running_routine("forget_workflows", FORGET_SECONDS, forget_old_workflows),
        ):
            yield engine
    finally:
        if member is not None and member.draining.is_set():  # nothing is begun, all is ended
            DBOS.destroy(workflow_completion_timeout_sec=DRAIN_SECONDS_MAX)
        tools.stopping.set()
        imports.begin_to_stop()
        seconds = 0
        if tools.tasks.list_unfinished():  # DBOS waits for them, in whole seconds
            seconds = STOP_SECONDS_MAX
        else:
            with suppress(Exception):  # DBOS is destroyed by a drain, or never began
                engine.wait_for_ends()
        DBOS.destroy(workflow_completion_timeout_sec=seconds)
        imports.stop()
        with suppress(EngagementError):  # else the next start does it
            engine.destroy_keys()


def _drop_other_versions() -> None:
    """Forget the workflows that another version of this program left under way.

    DBOS would neither run nor end them. Their tasks are found without a workflow then and get a
    new one, which goes on with the plan and the receipts that are kept.
    """
    under_way = DBOS.list_workflows(
        status=sorted(DBOS_UNDER_WAY), load_input=False, load_output=False
    )
    others = [
        workflow.workflow_id
        for workflow in under_way
        if workflow.app_version != APPLICATION_VERSION
    ]
    if others:
        _log.warning("workflows_of_another_version", count=len(others))
        DBOS.delete_workflows(others, delete_children=True)


def export_workflow_id(task_id: str, attempt: int) -> str:
    """Return the id of the workflow of an attempt of an export."""
    return task_id if attempt == 1 else f"{task_id}-{attempt}"


@cache
def _workflow() -> ExportWorkflow:
    return ExportWorkflow()


@cache
def _import_workflow() -> ImportWorkflow:
    return ImportWorkflow()


def _dbos_config(settings: Settings, executor_id: str) -> DBOSConfig:
    url = settings.state_url or f"sqlite:///{_wal_file(settings.home / TASKS_DATABASE)}"
    # Sessions have the name of the process, so that they can be ended if it is given up.
    connect_args = {"application_name": session_name(executor_id)} if settings.is_cluster else {}
    return DBOSConfig(
        name=APPLICATION_NAME,
        system_database_url=url,
        db_engine_kwargs={"hide_parameters": True, "connect_args": connect_args},
        application_version=APPLICATION_VERSION,
        executor_id=executor_id,
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
