"""Opens the whole service on one home folder, and closes it: the composition root."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from engagement.collect.group_commit import GroupCommit
from engagement.deliver.urls import DestinationPolicy
from engagement.exceptions import (
    LakeDamagedError,
    StateLostError,
    StorageFullError,
    StorageUnavailableError,
)
from engagement.failpoints import FailpointHook, no_failpoint
from engagement.model.executors import WORKER_ROLES, ProcessRole
from engagement.runtime.cluster import join_cluster
from engagement.runtime.deployment_parts import open_deployment_parts
from engagement.runtime.home import TaskRunner, lake_location, lock_home, make_home
from engagement.runtime.service import Runtime as Runtime  # noqa: PLC0414 - who opens it names it
from engagement.runtime.task_tools import make_flush, make_tools
from engagement.settings import Settings
from engagement.store.app_files import RegisteredApp, write_app_file
from engagement.store.app_removal import AppRemoval
from engagement.store.cluster_checks import check_lake
from engagement.store.inspection import LakeInspection
from engagement.store.keyring import Keyring
from engagement.store.lake import Lake
from engagement.store.lake_copy import require_finished_lake
from engagement.store.moves import MoveMark
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
from engagement.store.task_vault import TaskVault

_log = structlog.get_logger()


@contextmanager
def open_service(  # noqa: PLR0913 - the composition root takes what tests exchange
    settings: Settings,
    *,
    run_tasks: bool = True,
    roles: tuple[ProcessRole, ...] = (),
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
            is locked. Without, the process may look and ask beside the one that runs. In a
            cluster many may, and a process that runs tasks has all roles of a worker.
        roles: What this process does in a cluster, if it is not that; none if it only looks.
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
        VaultKeyLostError: The key that everything is sealed with is not at hand.
        ServiceMovedError: The service was moved to another place.
        OlderSchemaError: The state database of a cluster must be migrated first.
        UnsafeStorageError: A cluster's database or lake does not keep what is relied on.
    """
    home = settings.home
    make_home(home)
    if settings.is_cluster and run_tasks:
        roles = roles or WORKER_ROLES
    with ExitStack() as closing:
        if run_tasks and not is_locked and not settings.is_cluster:
            closing.enter_context(lock_home(home))
        if run_tasks or roles or not settings.lake_url:
            require_finished_lake(lake_location(settings))
        policy = DestinationPolicy.from_settings(settings, allow_memory=allow_memory)
        runtime = _make_runtime(
            settings, policy, closing, is_owner=run_tasks, clock=clock, uptime=uptime
        )
        if settings.is_cluster:
            yield closing.enter_context(_open_machine(runtime, roles, on_failpoint))
            return
        runtime = replace(runtime, runner=runner)
        if run_tasks:
            with suppress(StorageFullError, StorageUnavailableError):  # it may end by itself
                runtime.running_time.look()
            # It brings DBOS with it, which a process that runs no tasks can spare.
            from engagement.runtime.engine import running_engine  # noqa: PLC0415

            _recover_lake(runtime)
            flush = make_flush(runtime, on_failpoint)
            tasks = running_engine(settings, *make_tools(runtime, flush, on_failpoint))
            runtime = replace(runtime, runner=closing.enter_context(tasks))
        yield runtime


@contextmanager
def _open_machine(
    runtime: Runtime, roles: tuple[ProcessRole, ...], on_failpoint: FailpointHook
) -> Iterator[Runtime]:
    """The service on one of a cluster's machines; with roles it is one of its processes."""
    settings, executors = runtime.settings, runtime.deployment.executors
    # It brings DBOS with it.
    from engagement.runtime.engine import running_engine  # noqa: PLC0415
    from engagement.runtime.machine_runner import running_machine  # noqa: PLC0415

    with ExitStack() as closing:
        if roles:
            check_lake(settings.lake_url)
            slots = settings.parts_concurrent_max if ProcessRole.EXPORT in roles else 0
            member = closing.enter_context(
                join_cluster(executors, runtime.deployment.executor_id, roles, slots=slots)
            )
            runtime = replace(runtime, member=member)
            # A move looks for processes after it has begun, so that one of both sees the other.
            MoveMark(runtime.installation).require_none()
            runtime.running_time.look()
        flush = make_flush(runtime, on_failpoint)
        exports, imports = make_tools(runtime, flush, on_failpoint)
        runner: TaskRunner
        if ProcessRole.EXPORT in roles:
            engine = running_engine(settings, exports, imports, member=runtime.member)
            runner = closing.enter_context(engine)
        else:
            runner = closing.enter_context(running_machine(settings, exports))
        yield replace(runtime, runner=runner, flusher=flush)


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
        if is_exclusive and not settings.is_cluster:
            closing.enter_context(lock_home(settings.home))
        engine, deployment = open_deployment_parts(
            settings, closing, is_owner=is_exclusive, on_failpoint=on_failpoint
        )
        del engine
        yield deployment.keyring


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
    engine, deployment = open_deployment_parts(settings, closing, is_owner=is_owner)
    refused_limits = _make_refused_limits(settings)
    inbox = InboxQueries(engine, refused_limits)
    vault = deployment.keyring.open_vault()
    group_commit = GroupCommit(inbox)
    closing.callback(group_commit.close)
    lake = Lake(lake_location(settings), deployment.locks)
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
        task_vault=TaskVault(vault, deployment.task_keys),
        policy=policy,
        runner=None,
        clock=clock,
        running_time=RunningTime(ClockReadingQueries(engine), clock=clock, uptime=uptime),
        deployment=deployment,
    )


def _make_refused_limits(settings: Settings) -> RefusedLimits:
    return RefusedLimits(
        app_bytes_max=settings.refused_app_bytes_max, bytes_max=settings.refused_bytes_max
    )


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
