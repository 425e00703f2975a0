"""Moves a service that does not run to another state database, another lake, or both.

The service is closed by a mark in its state database, copied, and proved; then it is in use in the
new place alone. Whatever ends a move, the same command goes on with it, and until the end the mark
can be taken away again. The old place stays as it is, and is not opened any more.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from engagement.exceptions import (
    BadInputError,
    ServiceMovedError,
    StateBusyError,
    VerificationError,
)
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.runtime.cluster import check_cluster_settings
from engagement.runtime.copying import LakeTarget, open_copy, read_service
from engagement.runtime.deployment_parts import open_task_keys
from engagement.runtime.home import lake_location, lock_home, make_home, state_location
from engagement.settings import Settings
from engagement.store.cluster_checks import check_database, check_lake
from engagement.store.file_trees import open_file_tree
from engagement.store.keyring import KEY_FILE, KEYS_FOLDER, Keyring
from engagement.store.lake import Lake
from engagement.store.lake_copy import (
    CopiedFile,
    TableRows,
    check_tables,
    mark_left_lake,
    require_finished_lake,
    unmark_left_lake,
)
from engagement.store.moves import MOVE, MoveMark, MoveReport
from engagement.store.queries.executors import ExecutorQueries
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.installation import VAULT_KEY_ID, InstallationQueries
from engagement.store.queries.staging import StagingQueries
from engagement.store.state import StateEngine, hold_state
from engagement.store.state_copy import (
    StateContent,
    clear_state,
    copy_state,
    is_missing_file,
    list_different_tables,
    load_state,
    name_state,
    read_state_content,
)
from engagement.store.state_owner import own_state
from engagement.store.vault import Vault, encode_key, read_key


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a service is, and where it goes."""

    source: Settings
    target: Settings

    @property
    def is_same_state(self) -> bool:
        return name_state(state_location(self.source)) == name_state(state_location(self.target))

    @property
    def is_same_lake(self) -> bool:
        return _lake_name(self.source) == _lake_name(self.target)

    @property
    def target_name(self) -> str:
        """The new place, without credentials."""
        return f"{name_state(state_location(self.target))} with the lake {_lake_name(self.target)}"

    def check(self) -> None:
        """Return only if one can be moved to the other."""
        if self.is_same_state and self.is_same_lake:
            raise BadInputError(
                "The new place must have another state database or another lake, but the file "
                "names those that the service has."
            )
        lakes = sorted(f"{_lake_name(place)}/" for place in (self.source, self.target))
        if not self.is_same_lake and lakes[1].startswith(lakes[0]):
            raise BadInputError(
                f"Neither lake may be inside the other, but {lakes[1]} is below {lakes[0]}."
            )


@dataclass(frozen=True, slots=True)
class _Source:
    """A service that nobody else may change."""

    settings: Settings
    engine: StateEngine
    vault_key: bytes

    @property
    def mark(self) -> MoveMark:
        return MoveMark(InstallationQueries(self.engine))

    def require_quiet(self) -> None:
        """Return only if no process of a cluster lives; those that are silent cannot go on.

        Raises:
            StateBusyError: One lives.
        """
        if not self.settings.is_cluster:
            return  # the lock of its home folder is ours
        executors = ExecutorQueries(self.engine, lease_seconds=self.settings.lease_seconds)
        live = executors.list_live()
        if live:
            raise StateBusyError(
                f"No process of the cluster may run, but {len(live)} do, such as "
                f"{live[0].executor_id}: stop the servers, and drain or stop the workers."
            )
        for silent in executors.list_all():
            executors.end_sessions(silent.executor_id)
            executors.remove(silent.executor_id)


def move_service(
    settings: Settings, target: Settings, *, on_failpoint: FailpointHook = no_failpoint
) -> MoveReport:
    """Return only when a service is in another place, proved, and closed where it was.

    Args:
        settings: The service. It must not run.
        target: Its new place: empty, or what an earlier run of this left there.
        on_failpoint: Called at each failpoint, for tests.

    Raises:
        BadInputError: The new place is not empty, or has another vault key.
        ServiceMovedError: It was moved elsewhere.
        HomeBusyError: The service runs on its home folder, or another one on the new one.
        StateBusyError: Processes of a cluster run.
        LakeDamagedError: A file of the lake is not what was written.
        VerificationError: What is in the new place is not what the old one holds.
    """
    places = _Places(settings, target)
    places.check()
    with ExitStack() as closing:
        source = closing.enter_context(_hold_source(settings))
        lake = LakeTarget(lake_location(target), on_failpoint=on_failpoint)
        begun = source.mark.read()
        if begun is not None and begun.report is not None:
            if begun.target != places.target_name:
                source.mark.require_none()
            _open_target(source, places, lake)
            return begun.report
        if begun is None:
            require_finished_lake(lake_location(settings))
        _check_target(source, target)
        if not target.is_cluster and target.home.resolve() != settings.home.resolve():
            make_home(target.home)
            closing.enter_context(lock_home(target.home))
        _close_source(source, places, on_failpoint)
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="engagement-move-")))
        report = _copy(source, places, lake, folder, on_failpoint)
        if not places.is_same_lake:
            mark_left_lake(lake_location(settings), places.target_name)
        source.mark.finish(report)
        on_failpoint(Failpoint.COPY_RECORDED)
        _open_target(source, places, lake)
    return report


def give_up_move(settings: Settings) -> None:
    """Let a service be opened again where it is, although a move of it was begun.

    What was copied stays, marked as unfinished, so that no service is opened there.

    Raises:
        BadInputError: No move was begun.
        ServiceMovedError: The move has ended.
    """
    with _hold_source(settings) as source:
        begun = source.mark.read()
        if begun is None:
            raise BadInputError("There must be a move to give up, but none was begun.")
        if begun.report is not None:
            raise ServiceMovedError(f"The service was moved to {begun.target}: open it there.")
        unmark_left_lake(lake_location(settings))
        source.mark.forget()


@contextmanager
def _hold_source(settings: Settings) -> Iterator[_Source]:
    """A service, kept from others where one process at a time may own it."""
    location = state_location(settings)
    if is_missing_file(location):
        raise BadInputError(f"There must be a service to move, but {settings.home} holds none.")
    with ExitStack() as closing:
        if settings.is_cluster:
            key = check_cluster_settings(settings)
            engine = closing.enter_context(hold_state(location, upgrade=False))
            _require_key(engine, key, "ENGAGEMENT_VAULT_KEY")
        else:
            closing.enter_context(lock_home(settings.home))
            engine = closing.enter_context(hold_state(location))
            if settings.state_url:
                closing.enter_context(own_state(str(engine.url.database)))
            Keyring(settings.home, InstallationQueries(engine), is_owner=True).open_vault()
            key = read_key(settings.home / KEYS_FOLDER / KEY_FILE)
        yield _Source(settings, engine, key)


def _check_target(source: _Source, target: Settings) -> None:
    """Return only if the new place keeps what is relied on, and has the service's vault key."""
    if not target.is_cluster:
        return
    if Vault(check_cluster_settings(target)).key_id != Vault(source.vault_key).key_id:
        raise BadInputError(
            "The new place must have the vault's key of the service, but "
            "ENGAGEMENT_VAULT_KEY(_FILE) there is another one: copy keys/vault.key of the home "
            "folder, or the key that the machines have now."
        )
    check_lake(target.lake_url)
    with hold_state(target.state_url, upgrade=False) as engine:
        check_database(engine)


def _require_key(engine: StateEngine, key: bytes, name: str) -> None:
    kept = InstallationQueries(engine).find_value(VAULT_KEY_ID)
    if kept not in {None, Vault(key).key_id}:
        raise BadInputError(f"{name} must be the key of the service, got another one.")


def _close_source(source: _Source, places: _Places, on_failpoint: FailpointHook) -> None:
    """Return only when no process has the service open, and none can open it."""
    source.require_quiet()  # a cluster that runs learns nothing of it
    is_new = source.mark.read() is None
    source.mark.begin(places.target_name)
    on_failpoint(Failpoint.COPY_SOURCE_MARKED)
    try:
        source.require_quiet()  # those that began meanwhile have not seen the mark
    except StateBusyError:
        if is_new:
            source.mark.forget()
        raise


def _open_target(source: _Source, places: _Places, lake: LakeTarget) -> None:
    """Let the service be opened in its new place; a repeat changes nothing."""
    service = read_service(state_location(places.target))
    if service is not None and lake.is_of(service):
        lake.release()
    if places.is_same_state:
        source.mark.forget()


def _copy(
    source: _Source,
    places: _Places,
    lake: LakeTarget,
    folder: Path,
    on_failpoint: FailpointHook,
) -> MoveReport:
    """Return only when the new place holds all of the service, proved, and is not in use yet."""
    file = folder / "state.db"
    content = _copy_state(source.settings, file)
    on_failpoint(Failpoint.COPY_STATE_READ)
    old_lake = lake_location(source.settings)
    copied: list[CopiedFile] = []
    with open_copy(file) as state:
        if places.is_same_lake:
            lake.occupy(state.service)
        else:
            lake.claim(state.service)
            copied = lake.fill(open_file_tree(old_lake), state.list_needed(old_lake))
        tables = state.check(lake.location)
        _require_equal_tables(state.check(old_lake), tables)
        service = state.service
    _copy_task_keys(places)
    if not places.target.is_cluster:
        _keep_vault_key(source, places.target.home)
    if places.is_same_state:
        check_tables(
            InboxQueries(source.engine), StagingQueries(source.engine), Lake(lake.location)
        )
    else:
        _load(file, state_location(places.target), service)
    on_failpoint(Failpoint.COPY_STATE_WRITTEN)
    _require_unchanged(content, _copy_state(source.settings, folder / "later.db"))
    lake.require_claim()
    return MoveReport(
        target=places.target_name,
        tables=tuple(tables),
        state_rows=sum(table.rows for table in content.values()),
        waiting=content["inbox"].rows,
        files=len(copied),
        bytes=sum(each.bytes for each in copied),
    )


def _copy_state(settings: Settings, file: Path) -> StateContent:
    """Copy a state database without what it says of the move; what the copy holds."""
    copy_state(state_location(settings), file)
    with hold_state(f"sqlite:///{file}") as engine:
        InstallationQueries(engine).delete_value(MOVE)
    return read_state_content(f"sqlite:///{file}")


def _load(file: Path, url: str, service: str) -> None:
    """Return only when a state database holds what a copy does, and no more.

    What an earlier run of the move left there never came into use.
    """
    if read_service(url) == service:
        if read_state_content(url) == read_state_content(f"sqlite:///{file}"):
            return
        clear_state(url)
    load_state(file, url)


def _copy_task_keys(places: _Places) -> None:
    """Return only when the keys of tasks that are under way are in the new place too."""
    old, new = open_task_keys(places.source), open_task_keys(places.target)
    there = set(new.list_names())
    for name in old.list_names():
        key = old.read(name)
        if name not in there or new.read(name) != key:
            new.keep(name, key)


def _keep_vault_key(source: _Source, home: Path) -> None:
    """Return only when a home folder has the vault's key, for its owner's eyes alone."""
    file = home / KEYS_FOLDER / KEY_FILE
    if file.exists():
        if read_key(file) != source.vault_key:
            raise BadInputError(f"The new home folder must have no other key, but has {file}.")
        return
    open_file_tree(str(file.parent)).write(file.name, encode_key(source.vault_key))


def _require_equal_tables(old: list[TableRows], new: list[TableRows]) -> None:
    if old != new:
        raise VerificationError(
            "The tables of the new lake must have the versions and rows of the old one, but differ."
        )


def _require_unchanged(before: StateContent, after: StateContent) -> None:
    different = list_different_tables(before, after)
    if different:
        raise VerificationError(
            f"Nobody may change the service while it is moved, but the tables "
            f"{', '.join(different)} of its state were. Run the command again."
        )


def _lake_name(settings: Settings) -> str:
    location = lake_location(settings).removeprefix("file://").rstrip("/")
    return location if "://" in location else str(Path(location).resolve())
