"""The opened service: everything that an operation works with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from engagement.collect.flush import Flush
from engagement.collect.group_commit import GroupCommit
from engagement.deliver.blob_urls import split_blob_url
from engagement.deliver.containers import open_destination
from engagement.deliver.destination import Destination
from engagement.deliver.urls import ContainerUrl, DestinationPolicy, parse_container_url
from engagement.exceptions import (
    ErrorCode,
    InvalidContainerError,
)
from engagement.model.audit import LOCAL_ACTOR
from engagement.runtime.cluster import Member
from engagement.runtime.deployment_parts import DeploymentParts
from engagement.runtime.home import TaskRunner
from engagement.settings import Settings
from engagement.store.app_removal import AppRemoval
from engagement.store.lake import Lake
from engagement.store.queries.app_keys import AppKeyQueries
from engagement.store.queries.apps import AppQueries
from engagement.store.queries.audit import AuditQueries
from engagement.store.queries.clients import ClientQueries
from engagement.store.queries.console_sessions import ConsoleSessionQueries
from engagement.store.queries.erased import ErasedQueries
from engagement.store.queries.export_lists import ExportListQueries
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.installation import InstallationQueries
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.points import PointQueries
from engagement.store.queries.refused import RefusedQueries
from engagement.store.queries.sightings import SightingQueries
from engagement.store.queries.staging import StagingQueries
from engagement.store.queries.tag_imports import ImportTaskQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.running_time import RunningTime
from engagement.store.task_vault import TaskVault
from engagement.store.vault import Vault

IMPORTS_FOLDER = "imports"
"""The folder in a home folder that has a folder for each app's local files to import."""


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
    deployment: DeploymentParts
    """What differs between an embedded service and a cluster."""
    member: Member | None = None
    """This process in its cluster; None if it only looks, or is no cluster's."""
    flusher: Flush | None = None
    """Moves batches to the lake, in a process of a cluster."""
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

    @property
    def collectors(self) -> int:
        """How many processes share what devices and clients may send in a minute."""
        return 1 if self.member is None else self.member.collectors

    @property
    def slots(self) -> int:
        """How many parts of exports all processes write at a time."""
        if self.member is None:
            return self.settings.parts_concurrent_max
        return self.member.slots

    def flush(self, app_id: str) -> int:
        """Bring accepted batches into the lake, if tasks run here; how many logs were moved."""
        return 0 if self.runner is None else self.runner.flush(app_id)
