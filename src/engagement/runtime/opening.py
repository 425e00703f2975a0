"""Opens the whole service on one home folder, and closes it: the composition root."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from engagement.collect.flush import Flush, FlushLimits
from engagement.collect.group_commit import GroupCommit
from engagement.collect.tag_imports import ImportRunner, ImportTools
from engagement.deliver.blob_urls import split_blob_url
from engagement.deliver.containers import open_destination
from engagement.deliver.destination import Destination
from engagement.deliver.urls import ContainerUrl, DestinationPolicy, parse_container_url
from engagement.exceptions import (
    ErrorCode,
    InvalidContainerError,
    LakeDamagedError,
    StateLostError,
    StorageFullError,
    StorageUnavailableError,
)
from engagement.export.retry_limit import RetryLimit
from engagement.export.steps import ExportTools
from engagement.failpoints import FailpointHook, no_failpoint
from engagement.model.audit import LOCAL_ACTOR
from engagement.runtime.home import TaskRunner, lake_location, lock_home, make_home, state_url
from engagement.settings import Settings
from engagement.step_watch import StepWatch
from engagement.store.app_files import RegisteredApp, write_app_file
from engagement.store.app_removal import AppRemoval
from engagement.store.inspection import LakeInspection
from engagement.store.keyring import Keyring
from engagement.store.lake import Lake
from engagement.store.lake_copy import require_finished_lake
from engagement.store.queries.app_keys import AppKeyQueries
from engagement.store.queries.apps import AppQueries
from engagement.store.queries.audit import AuditQueries
from engagement.store.queries.clients import ClientQueries
from engagement.store.queries.clock_readings import ClockReadingQueries, Uptime
from engagement.store.queries.console_sessions import ConsoleSessionQueries
from engagement.store.queries.erased import ErasedQueries
from engagement.store.queries.export_lists import ExportListQueries
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.installation import InstallationQueries
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.points import PointQueries
from engagement.store.queries.refused import RefusedLimits, RefusedQueries
from engagement.store.queries.sightings import SightingQueries
from engagement.store.queries.staging import StagingQueries
from engagement.store.queries.tag_imports import ImportTaskQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.recovery import LakeRecovery
from engagement.store.running_time import RunningTime, read_uptime
from engagement.store.state import open_state
from engagement.store.state_owner import own_state
from engagement.store.task_vault import TaskVault
from engagement.store.vault import Vault

IMPORTS_FOLDER = "imports"
"""The folder in a home folder that has a folder for each app's local files to import."""
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The opened service."""

    settings: Settings
    """What it was opened with."""
    apps: AppQueries
    """Registered apps."""
    app_keys: AppKeyQueries
    """The keys that their devices write with."""
    audit: AuditQueries
    """Who changed what."""
    app_removal: AppRemoval
    """Removes what is left of deleted apps."""
    clients: ClientQueries
    """Clients of the API."""
    console_sessions: ConsoleSessionQueries
    """Who is signed in to the console."""
    installation: InstallationQueries
    """The installation's own values."""
    inbox: InboxQueries
    """Accepted batches and recorded commits."""
    staging: StagingQueries
    """What is written and not committed yet."""
    seen: SightingQueries
    """What flushes have seen before."""
    erased: ErasedQueries
    """Devices that were erased."""
    refused: RefusedQueries
    """Records that were not accepted."""
    group_commit: GroupCommit
    """Makes what requests hand in durable."""
    tasks: TaskQueries
    """Export tasks."""
    export_lists: ExportListQueries
    """Lists of them."""
    plans: PlanQueries
    """What was asked of them, their plans and receipts."""
    points: PointQueries
    """What charts are drawn from."""
    lake: Lake
    """The tables."""
    vault: Vault
    """Seals what lasts."""
    task_vault: TaskVault
    """Seals the URLs of tasks, for as long as they last."""
    imports: ImportTaskQueries
    """Imports of tags from blobs."""
    policy: DestinationPolicy
    """Which containers may be named."""
    runner: TaskRunner | None
    """Runs tasks; None beside another process that runs them, which looks around by itself."""
    clock: Callable[[], datetime]
    """Now, in UTC."""
    running_time: RunningTime
    """How old what is to be forgotten is."""
    actor: str = LOCAL_ACTOR
    """For whom it acts, as the audit log names them."""

    def act_for(self, actor: str) -> "Runtime":
        """The same service, whose changes the audit log keeps as this actor's."""
        return replace(self, actor=actor)

    def destination(self, container_url: str, *, permission: str = "w") -> Destination:
        """The destination of a container URL whose credential has a permission.

        Raises:
            InvalidContainerError: The URL cannot work or may not be used.
        """
        url = parse_container_url(
            container_url, self.policy, now=self.clock(), permission=permission
        )
        return open_destination(url)

    def parse_import_url(self, app_id: str, storage_url: str) -> tuple[ContainerUrl, str]:
        """The container of a blob that an app may import, and the blob's key.

        A local file may be imported from the app's own folder alone, wherever exports may go to.

        Raises:
            InvalidContainerError: The URL cannot work or may not be used.
        """
        container_url, key = split_blob_url(storage_url)
        own = self.settings.home.absolute() / IMPORTS_FOLDER / app_id
        policy = replace(self.policy, local_roots=(own,))
        is_local = storage_url.lower().startswith("file:")
        try:
            url = parse_container_url(container_url, policy, now=self.clock(), permission="r")
        except InvalidContainerError as error:
            if not is_local:
                raise
            raise InvalidContainerError(
                "A local file must lie in the app's own folder, "
                f"{IMPORTS_FOLDER}/{app_id} in the home folder of the service.",
                code=ErrorCode.EGRESS_DENIED,
            ) from error
        return url, key

    def flush(self, app_id: str) -> int:
        """Bring accepted batches into the lake, if tasks run here; how many logs were moved."""
        return 0 if self.runner is None else self.runner.flush(app_id)


@contextmanager
def open_service(  # noqa: PLR0913 - the composition root takes what tests exchange
    settings: Settings,
    *,
    run_tasks: bool = True,
    is_locked: bool = False,
    runner: TaskRunner | None = None,
    allow_memory: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    uptime: Callable[[], Uptime] = read_uptime,
    on_failpoint: FailpointHook = no_failpoint,
) -> Iterator[Runtime]:
    """The service on the settings' home folder; unfinished exports go on by themselves.

    Args:
        settings: Where and how.
        run_tasks: Whether to run exports and flushes here. Only one process may: the home folder
            is locked. Without, the process may look and ask beside the one that runs.
        is_locked: Whether the process has inherited the lock of the one that started it.
        runner: What runs tasks for a process that does not run them itself, if any.
        allow_memory: Whether containers may be `memory://`, for tests.
        clock: Now, in UTC.
        uptime: How long the machine has run, whatever the clock shows.
        on_failpoint: Called at each failpoint of flushes and exports, for tests.

    Raises:
        HomeBusyError: Another process runs on this home folder.
        StateBusyError: Another process runs the tasks of the state database that is named.
        StateLostError: The lake has tables of apps that the state database does not know, or a
            restore into it was cut off.
        VaultKeyLostError: The key that everything is sealed with is not in the home folder.
    """
    home = settings.home
    make_home(home)
    with ExitStack() as closing:
        if run_tasks and not is_locked:
            closing.enter_context(lock_home(home))
        if run_tasks or not settings.lake_url:
            require_finished_lake(lake_location(settings))
        policy = DestinationPolicy.from_settings(settings, allow_memory=allow_memory)
        made = _make_runtime(
            settings, policy, closing, is_owner=run_tasks, clock=clock, uptime=uptime
        )
        runtime = replace(made, runner=runner)
        if run_tasks:
            with suppress(StorageFullError, StorageUnavailableError):  # it may end by itself
                runtime.running_time.look()
            # It brings DBOS with it, which a process that runs no tasks can spare.
            from engagement.runtime.engine import running_engine  # noqa: PLC0415

            _recover_lake(runtime)
            tasks = running_engine(settings, *_tools(runtime, on_failpoint))
            runtime = replace(runtime, runner=closing.enter_context(tasks))
        yield runtime


@contextmanager
def open_keyring(
    settings: Settings, *, is_exclusive: bool, on_failpoint: FailpointHook = no_failpoint
) -> Iterator[Keyring]:
    """The keys of the settings' home folder, which the service cannot be opened without.

    Args:
        settings: Where.
        is_exclusive: Whether no other process may run on the home folder, since keys change.
        on_failpoint: Called at each failpoint of an exchange, for tests.

    Raises:
        HomeBusyError: Another process runs on this home folder.
    """
    make_home(settings.home)
    with ExitStack() as closing:
        if is_exclusive:
            closing.enter_context(lock_home(settings.home))
        engine = open_state(state_url(settings))
        closing.callback(engine.dispose)
        if is_exclusive and settings.state_url:
            closing.enter_context(own_state(engine))
        yield Keyring(
            settings.home,
            InstallationQueries(engine),
            is_owner=is_exclusive,
            on_failpoint=on_failpoint,
        )


def _make_runtime(  # noqa: PLR0913 - the composition root takes what tests exchange
    settings: Settings,
    policy: DestinationPolicy,
    closing: ExitStack,
    *,
    is_owner: bool,
    clock: Callable[[], datetime],
    uptime: Callable[[], Uptime],
) -> Runtime:
    """The service on its state database, with nothing that runs tasks."""
    engine = open_state(state_url(settings))
    closing.callback(engine.dispose)
    if is_owner and settings.state_url:  # which another home folder can name too
        closing.enter_context(own_state(engine))
    refused_limits = _make_refused_limits(settings)
    inbox = InboxQueries(engine, refused_limits)
    vault = Keyring(settings.home, InstallationQueries(engine), is_owner=is_owner).open_vault()
    group_commit = GroupCommit(inbox)
    closing.callback(group_commit.close)
    lake = Lake(lake_location(settings))
    return Runtime(
        settings=settings,
        apps=AppQueries(engine),
        app_keys=AppKeyQueries(engine),
        audit=AuditQueries(engine),
        app_removal=AppRemoval(engine, lake),
        clients=ClientQueries(engine),
        console_sessions=ConsoleSessionQueries(engine),
        installation=InstallationQueries(engine),
        inbox=inbox,
        staging=StagingQueries(engine),
        seen=SightingQueries(engine),
        erased=ErasedQueries(engine),
        group_commit=group_commit,
        refused=RefusedQueries(engine, refused_limits),
        tasks=TaskQueries(engine, app_tasks_max=settings.app_tasks_max),
        export_lists=ExportListQueries(engine),
        plans=PlanQueries(engine),
        points=PointQueries(engine),
        imports=ImportTaskQueries(engine, app_tasks_max=settings.app_tasks_max),
        lake=lake,
        vault=vault,
        task_vault=TaskVault(vault, settings.home / "keys" / "tasks"),
        policy=policy,
        runner=None,
        clock=clock,
        running_time=RunningTime(ClockReadingQueries(engine), clock=clock, uptime=uptime),
    )


def _make_refused_limits(settings: Settings) -> RefusedLimits:
    return RefusedLimits(
        app_bytes_max=settings.refused_app_bytes_max, bytes_max=settings.refused_bytes_max
    )


def _tools(runtime: Runtime, on_failpoint: FailpointHook) -> tuple[ExportTools, ImportRunner]:
    """What tasks are run with."""
    limits = FlushLimits(
        records_max=runtime.settings.flush_logs_max,
        session_timeout=timedelta(seconds=runtime.settings.session_timeout_seconds),
    )
    flush = Flush(
        runtime.inbox,
        runtime.staging,
        runtime.seen,
        runtime.erased,
        runtime.lake,
        limits=limits,
        clock=runtime.clock,
        on_failpoint=on_failpoint,
    )
    exports = ExportTools(
        tasks=runtime.tasks,
        plans=runtime.plans,
        inbox=runtime.inbox,
        staging=runtime.staging,
        lake=runtime.lake,
        recovery=LakeRecovery(runtime.inbox, runtime.staging, runtime.lake),
        vault=runtime.task_vault,
        flush=flush.flush,
        open_destination=runtime.destination,
        part_rows_target=runtime.settings.part_rows_target,
        clock=runtime.clock,
        on_failpoint=on_failpoint,
        step_watch=StepWatch(runtime.settings.stall_seconds),
        retry_limit=RetryLimit(runtime.settings.retry_seconds),
    )
    imports = ImportTools(
        tasks=runtime.imports,
        inbox=runtime.inbox,
        lake=runtime.lake,
        vault=runtime.task_vault,
        flush=flush.flush,
        read_blob=lambda app_id, url: _read_blob(runtime, app_id, url),
        clock=runtime.clock,
        step_watch=StepWatch(runtime.settings.stall_seconds),
    )
    return exports, ImportRunner(imports)


def _read_blob(runtime: Runtime, app_id: str, storage_url: str) -> Iterable[bytes]:
    url, key = runtime.parse_import_url(app_id, storage_url)
    return open_destination(url).get(key)


def _recover_lake(runtime: Runtime) -> None:
    """Bring every table to its recorded commit; one that is damaged is marked, and refused."""
    inspection = LakeInspection(runtime.inbox, runtime.staging, runtime.lake)
    known = {app.app_id for app in runtime.apps.list_all()}
    deleted = runtime.app_removal.list_marked().keys()
    unknown = sorted(inspection.apps_in_lake() - known - deleted)
    if unknown:
        raise StateLostError(
            f"The lake has tables of {len(unknown)} apps that the state database does not know, "
            f"such as {unknown[0]}: the state database was lost, or is another's. Bring back the "
            "one that belongs to the lake, or run `engagement recover`. Nothing was changed."
        )
    for app_id in known:
        keep_app_file(runtime, app_id)
    recovery = LakeRecovery(runtime.inbox, runtime.staging, runtime.lake)
    for app_id in sorted(set(inspection.apps()) - deleted):
        with suppress(LakeDamagedError):  # marked, and in the log
            recovery.recover(app_id)


def keep_app_file(runtime: Runtime, app_id: str) -> None:
    """Keep beside the tables of an app what a recovery needs to register it again."""
    if runtime.lake.local is None:
        return
    created_at = runtime.apps.read_created_at(app_id)
    if created_at is None:
        return
    registered = RegisteredApp(
        app=runtime.apps.get(app_id),
        keys=runtime.app_keys.list_registered(app_id),
        created_at=created_at,
    )
    try:
        write_app_file(runtime.lake.local, registered)
    except OSError as error:  # on a full disk; the next start tries again
        _log.warning("app_file_not_written", app=app_id, error=str(error))
