"""This module opens the whole service on one home folder, and closes it: the composition root."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID

from engagement.collect.flush import Flush, FlushLimits
from engagement.collect.importing import ImportRunner, ImportTools
from engagement.deliver.blob_urls import split_blob_url
from engagement.deliver.containers import open_destination
from engagement.deliver.destination import Destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import ErrorCode, HomeBusyError
from engagement.export.steps import ExportSteps, ExportTools
from engagement.export.workflow import EXPORTS_QUEUE, PARTS_QUEUE, ExportWorkflow
from engagement.model.points import Reach, pass_by
from engagement.settings import Settings
from engagement.store.lake import Lake
from engagement.store.queries.apps import AppQueries
from engagement.store.queries.clients import ClientQueries
from engagement.store.queries.import_tasks import ImportTaskQueries
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.refused import RefusedQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.state import open_state
from engagement.store.vault import Vault, load_or_create_key

APPLICATION_VERSION = "export-2"
"""DBOS recovers only workflows of its own version; it changes only with the workflow's shape."""
EXECUTOR_ID = "embedded"
EXPORTS_CONCURRENT_MAX = 32
"""Exports that take turns in writing their parts; a small one waits for one turn of the others."""
QUEUE_POLL_SECONDS = 0.05
IDLE_POLL_SECONDS = 0.2
"""How often DBOS's other threads look around; stopping waits for each of them."""
STOP_SECONDS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The opened service."""

    settings: Settings
    """What it was opened with."""
    apps: AppQueries
    """Registered apps."""
    clients: ClientQueries
    """Clients of the API."""
    inbox: InboxQueries
    """Accepted batches and recorded commits."""
    refused: RefusedQueries
    """Records that were not accepted."""
    tasks: TaskQueries
    """Export tasks."""
    lake: Lake
    """The tables."""
    vault: Vault
    """Seals container URLs."""
    flush: Flush
    """Moves the inbox to the lake."""
    imports: ImportRunner
    """Imports of tags from blobs."""
    policy: DestinationPolicy
    """Which containers may be named."""
    has_workers: bool
    """Whether this process runs exports; else it only asks and looks."""
    clock: Callable[[], datetime]
    """Now, in UTC."""

    def destination(self, container_url: str, *, permission: str = "w") -> Destination:
        """The destination of a container URL whose credential has a permission.

        Raises:
            InvalidContainerError: The URL cannot work or may not be used.
        """
        url = parse_container_url(
            container_url, self.policy, now=self.clock(), permission=permission
        )
        return open_destination(url)

    def submit(self, task_id: str) -> None:
        """Queue a task's workflow; its id is the task's, so a repeat changes nothing."""
        attempt = self.tasks.attempt(task_id)
        with SetWorkflowID(_workflow_id(task_id, attempt)):
            DBOS.enqueue_workflow(EXPORTS_QUEUE, _workflow().run, task_id, attempt)


@contextmanager
def open_runtime(
    settings: Settings,
    *,
    workers: bool = True,
    allow_memory: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    reach: Reach = pass_by,
) -> Iterator[Runtime]:
    """The service on the settings' home folder; unfinished exports go on by themselves.

    Args:
        settings: Where and how.
        workers: Whether to run exports and flushes here. Only one process may: the home folder
            is locked. Without, the process may look and ask beside the one that runs.
        allow_memory: Whether containers may be `memory://`, for tests.
        clock: Now, in UTC.
        reach: Told each point of flushes and exports, for tests.

    Raises:
        HomeBusyError: Another process runs on this home folder.
        LakeDamagedError: A table's newest commit is not what was recorded; names the file.
    """
    home = settings.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as closing:
        if workers:
            closing.enter_context(_owned(home))
        engine = open_state(settings.state_url or f"sqlite:///{_private_file(home / 'state.db')}")
        closing.callback(engine.dispose)
        inbox, lake = InboxQueries(engine), Lake(settings.lake_url or str(home / "lake"))
        vault = Vault(load_or_create_key(home / "keys" / "vault.key"))
        flush = Flush(inbox, lake, limits=_flush_limits(settings), clock=clock, reach=reach)
        imports = ImportRunner(
            ImportTools(
                tasks=ImportTaskQueries(engine),
                inbox=inbox,
                lake=lake,
                vault=vault,
                flush=flush.flush,
                read_blob=lambda url: _read_blob(runtime, url),
                clock=clock,
            )
        )
        closing.callback(imports.stop)
        runtime = Runtime(
            settings=settings,
            apps=AppQueries(engine),
            clients=ClientQueries(engine),
            inbox=inbox,
            refused=RefusedQueries(engine),
            tasks=TaskQueries(engine),
            lake=lake,
            vault=vault,
            flush=flush,
            imports=imports,
            policy=DestinationPolicy.from_settings(settings, allow_memory=allow_memory),
            has_workers=workers,
            clock=clock,
        )
        if workers:
            _recover_lake(runtime)
            imports.resume()
            closing.enter_context(_working(runtime, reach))
        yield runtime


def _read_blob(runtime: Runtime, storage_url: str) -> Iterable[bytes]:
    container_url, key = split_blob_url(storage_url)
    return runtime.destination(container_url, permission="r").get(key)


@contextmanager
def _owned(home: Path) -> Iterator[None]:
    """Two processes would flush the same batches and run the same steps, so one holds a lock."""
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HomeBusyError(
                f"The home folder must be free, but another process runs on {home}."
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _working(runtime: Runtime, reach: Reach) -> Iterator[None]:
    """Exports run here, and those that another run of this process left go on."""
    settings = runtime.settings
    tools = ExportTools(
        tasks=runtime.tasks,
        inbox=runtime.inbox,
        lake=runtime.lake,
        vault=runtime.vault,
        flush=runtime.flush.flush,
        open_destination=runtime.destination,
        part_rows_target=settings.part_rows_target,
        clock=runtime.clock,
        reach=reach,
    )
    steps = ExportSteps(tools)
    _workflow().attach(steps)
    DBOS(config=_dbos_config(settings))
    try:
        DBOS.launch()
        DBOS.register_queue(
            EXPORTS_QUEUE,
            worker_concurrency=EXPORTS_CONCURRENT_MAX,
            polling_interval_sec=QUEUE_POLL_SECONDS,
        )
        DBOS.register_queue(
            PARTS_QUEUE,
            worker_concurrency=settings.parts_concurrent_max,
            polling_interval_sec=QUEUE_POLL_SECONDS,
        )
        _reconcile(runtime, steps)
        yield
    finally:
        tools.stopping.set()
        # DBOS waits in whole seconds even if there is nothing to wait for.
        seconds = STOP_SECONDS_MAX if runtime.tasks.unfinished() else 0
        DBOS.destroy(workflow_completion_timeout_sec=seconds)


def _reconcile(runtime: Runtime, steps: ExportSteps) -> None:
    """Make our tasks and DBOS's workflows agree, whatever a crash came between."""
    for task_id in runtime.tasks.unfinished():
        attempt = runtime.tasks.attempt(task_id)
        status = DBOS.get_workflow_status(_workflow_id(task_id, attempt))
        if status is None:
            runtime.submit(task_id)
        elif status.status in _DBOS_GAVE_UP:
            steps.fail(
                task_id,
                attempt,
                ErrorCode.INTERNAL_RETRIES_EXHAUSTED,
                f"The workflow ended as {status.status} before the task did.",
            )


_DBOS_GAVE_UP = {"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}


def _recover_lake(runtime: Runtime) -> None:
    """Bring every table back to its recorded commit; what was not recorded is in the inbox."""
    apps = {*runtime.inbox.apps_with_tables(), *runtime.inbox.waiting()}
    for app_id in sorted(apps):
        recorded = runtime.inbox.last_commits(app_id)
        runtime.lake.recover_app(app_id, recorded)


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


def _flush_limits(settings: Settings) -> FlushLimits:
    return FlushLimits(
        logs_max=settings.flush_logs_max,
        session_timeout=timedelta(seconds=settings.session_timeout_seconds),
    )


def _private_file(path: Path) -> Path:
    """The file, readable by its owner alone from its first byte on."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return path


def _wal_file(path: Path) -> Path:
    """DBOS leaves SQLite's journal mode as it finds it, and WAL sticks to the file."""
    connection = sqlite3.connect(_private_file(path))
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
    return path
