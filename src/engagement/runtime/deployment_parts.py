"""Opens the parts that an embedded service has for itself and a cluster's machines share."""

from contextlib import ExitStack
from dataclasses import dataclass

from engagement.failpoints import FailpointHook, no_failpoint
from engagement.runtime.cluster import check_cluster_settings, new_executor_id
from engagement.runtime.home import state_url
from engagement.settings import Settings
from engagement.store.cluster_checks import check_database
from engagement.store.keyring import KEYS_FOLDER, Keyring
from engagement.store.locks import AdvisoryLocks, Locks, ThreadLocks
from engagement.store.moves import MoveMark
from engagement.store.queries.executors import ExecutorQueries, session_name
from engagement.store.queries.installation import InstallationQueries
from engagement.store.shared_keyring import SharedKeyring
from engagement.store.state import StateEngine, hold_state
from engagement.store.state_owner import own_state
from engagement.store.task_keys import FolderKeys, LakeKeys, TaskKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentParts:
    """The few things that differ between one process on a folder and many on a database."""

    locks: Locks
    """Keeps work on the same thing apart."""
    keyring: Keyring
    """Opens the vault."""
    task_keys: TaskKeys
    """Keeps the keys of tasks."""
    executors: ExecutorQueries
    """Knows the processes of a cluster."""
    executor_id: str
    """What this process is called, if it becomes one of them."""


def open_deployment_parts(
    settings: Settings,
    closing: ExitStack,
    *,
    is_owner: bool,
    on_failpoint: FailpointHook = no_failpoint,
) -> tuple[StateEngine, DeploymentParts]:
    """Open the state database and what differs between the deployments, until the stack is closed.

    Raises:
        BadInputError: The settings are not those of a machine of a cluster.
        StateBusyError: Another process runs the tasks of an embedded service's database.
        OlderSchemaError: The database of a cluster must be migrated first.
        ServiceMovedError: The service was moved to another place.
        UnsafeStorageError: Its server does not keep what it says it keeps.
    """
    executor_id = new_executor_id()
    if settings.is_cluster:
        key = check_cluster_settings(settings)
        state = hold_state(
            settings.state_url, upgrade=False, session_name=session_name(executor_id)
        )
        engine = closing.enter_context(state)
        check_database(engine)
        advisory = AdvisoryLocks(engine)
        closing.callback(advisory.close)
        locks: Locks = advisory
        installation = InstallationQueries(engine)
        keyring: Keyring = SharedKeyring(settings.home, installation, key=key)
    else:
        engine = closing.enter_context(hold_state(state_url(settings)))
        installation = InstallationQueries(engine)
        if is_owner and settings.state_url:  # which another home folder can name too
            closing.enter_context(own_state(str(engine.url.database)))
        locks = ThreadLocks()
        keyring = Keyring(
            settings.home,
            installation,
            is_owner=is_owner,
            on_failpoint=on_failpoint,
        )
    MoveMark(installation).require_none()
    executors = ExecutorQueries(engine, lease_seconds=settings.lease_seconds)
    return engine, DeploymentParts(
        locks=locks,
        keyring=keyring,
        task_keys=open_task_keys(settings),
        executors=executors,
        executor_id=executor_id,
    )


def open_task_keys(settings: Settings) -> TaskKeys:
    """Return the keys that the URLs of tasks under way are sealed with."""
    if settings.is_cluster:
        return LakeKeys(settings.lake_url)
    return FolderKeys(settings.home / KEYS_FOLDER / "tasks")
