"""Finds what is wrong with a table of the lake, by what the state database knows of it.

Nothing is changed here. What cannot be read for the moment, as on a failing disk, is no damage.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

from engagement.exceptions import LakeDamagedError, StorageUnavailableError
from engagement.model.records import Kind
from engagement.store.commits import Commit, FileChange, OpenCommit
from engagement.store.data_files import count_rows, files_of
from engagement.store.delta_log import LOG_FOLDER, STAGED_TRANSACTION
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.staging import StagingQueries

_INBOX_TRANSACTION = "inbox"
"""Under which earlier releases kept the last inbox position that a table holds."""


class LakeInspection:
    """Compares tables on a local disk with what is recorded of them."""

    def __init__(self, inbox: InboxQueries, staging: StagingQueries, lake: Lake) -> None:
        self._inbox = inbox
        self._staging = staging
        self._lake = lake

    def apps(self) -> list[str]:
        """The ids of all apps that have something in the lake or on the way into it."""
        waiting = {*self._inbox.list_waiting(), *self._staging.list_apps()}
        return sorted({*self._inbox.apps_with_tables(), *waiting, *self.apps_in_lake()})

    def apps_in_lake(self) -> set[str]:
        """The ids of the apps that have tables in a lake on a local disk."""
        root = self._lake.local
        logs = root.glob(f"*/*/{LOG_FOLDER}") if root is not None and root.is_dir() else ()
        return {log.parent.parent.name for log in logs}

    def check(self, app_id: str, kind: Kind, *, digests: bool) -> None:
        """Return only if a table is what was recorded last, and so is what is staged for it.

        Args:
            app_id: The app.
            kind: The kind of the table.
            digests: Whether to read every data file, and not only to look at its size.

        Raises:
            LakeDamagedError: It is not; names what is wrong, and where.
            StorageUnavailableError: The disk does not let it be read now.
        """
        if self._lake.local is None:
            return
        try:
            self.find_cut_short(app_id, kind)
            recorded = self._inbox.last_commits(app_id).get(kind)
            if recorded is not None:
                self._check_recorded(app_id, recorded, digests=digests)
            staged = self._staging.list_staged(app_id, kind)
            self._check_files(app_id, kind, staged, digests=digests)
        except LakeDamagedError:
            self._require_readable(app_id, kind)
            raise
        except OSError as error:
            raise StorageUnavailableError(f"The lake cannot be read now ({error}).") from error

    def find_cut_short(self, app_id: str, kind: Kind) -> list[Path]:
        """The commits that a power loss cut short, and that can be made again from what is staged.

        Raises:
            LakeDamagedError: There are commits that the state database does not know.
        """
        if self._lake.local is None:
            return []
        recorded = self._inbox.last_commits(app_id).get(kind)
        version = -1 if recorded is None else recorded.version
        log = self._lake.commit_file(app_id, kind, 0).parent
        newer = [file for file in sorted(log.glob("*.json")) if version_of(file) > version]
        pending = self._staging.open_commit(app_id, kind)
        found = {file: self._kind_of(app_id, file, pending) for file in newer}
        unknown = [file for file, what in found.items() if what is _Found.UNKNOWN]
        if unknown:
            raise LakeDamagedError(
                f"The {kind.value} table of app {app_id} has commits that the state database does "
                f"not know: versions {version_of(unknown[0])} to {version_of(unknown[-1])} in "
                f"{log}, where {max(version, 0)} was recorded last. The state database is older "
                "than the lake or another's: bring back the one that belongs to it, or run "
                "`engagement recover`. Nothing was changed."
            )
        return [file for file, what in found.items() if what is _Found.CUT_SHORT]

    def list_unnamed(self, app_id: str, kind: Kind) -> list[str]:
        """Data files in a table's folder that its log neither adds nor takes out, from the lake on.

        They are of rounds that were not committed, or were taken out so long ago that the log has
        forgotten it.

        Raises:
            LakeDamagedError: A commit, of which there may be a newer one, cannot be read.
        """
        root = self._lake.local
        if root is None:
            return []
        folder = root / app_id / kind.value
        named = {
            action[what]["path"]
            for file in sorted(folder.glob(f"{LOG_FOLDER}/*.json"))
            for action in _read_recorded(file)
            for what in ("add", "remove")
            if what in action
        }
        table = self._lake.find(app_id, kind)
        if table is not None:
            named |= {file.path for file in files_of(table, kind)}
        found = (path.relative_to(folder).as_posix() for path in folder.rglob("part-*.parquet"))
        return [f"{app_id}/{kind.value}/{path}" for path in sorted(found) if path not in named]

    def _kind_of(self, app_id: str, file: Path, pending: OpenCommit | None) -> "_Found":
        """What a commit is that was not recorded."""
        try:
            actions = list(read_actions(file))
        except ValueError:
            # If one is open, what it is made of is staged; what is in this file counts for nothing.
            return _Found.UNKNOWN if pending is None else _Found.CUT_SHORT
        number = _transaction(actions)
        added = {action["add"]["path"]: action["add"] for action in actions if "add" in action}
        if not added and number is None and not any("remove" in action for action in actions):
            return _Found.INTACT  # it says something of the table, and changes no row
        if number is not None and number[0] == _INBOX_TRANSACTION:
            # Earlier releases let batches go after the commit: while they wait, it was interrupted.
            waits = self._inbox.oldest(app_id, records_max=1, position_max=number[1])
            return _Found.CUT_SHORT if waits else _Found.UNKNOWN
        if pending is None:
            return _Found.UNKNOWN
        staged = {file.path: file for change in pending.changes.values() for file in change.added}
        if number == (STAGED_TRANSACTION, pending.commit_id) and _are_same(added, staged):
            return _Found.INTACT
        is_ours = number == (STAGED_TRANSACTION, pending.commit_id) or added.keys() & staged.keys()
        return _Found.CUT_SHORT if is_ours else _Found.UNKNOWN

    def _check_recorded(self, app_id: str, recorded: Commit, *, digests: bool) -> None:
        kind = recorded.kind
        file = self._lake.commit_file(app_id, kind, recorded.version)
        if not file.exists():
            raise LakeDamagedError(f"The table's newest commit is missing: {file}.")
        if hashlib.sha256(file.read_bytes()).hexdigest() != recorded.sha256:
            raise LakeDamagedError(
                f"The table's newest commit was altered (its SHA-256 is not the recorded one): "
                f"{file}."
            )
        try:
            table = self._lake.require(app_id, kind, recorded.version)
            rows, files = count_rows(table), files_of(table, kind)
        except (KeyError, TypeError) as error:
            raise LakeDamagedError(f"An older commit in {file.parent} is damaged.") from error
        if rows != recorded.rows_total:
            raise LakeDamagedError(
                f"The log of table {file.parent.parent} counts {rows} rows where "
                f"{recorded.rows_total} were recorded: an older commit in {file.parent} is damaged."
            )
        self._check_files(app_id, kind, [file.as_change() for file in files], digests=digests)

    def _check_files(
        self, app_id: str, kind: Kind, files: list[FileChange], *, digests: bool
    ) -> None:
        self._lake.check_files(app_id, kind, files)
        if digests:
            self._lake.check_digests(app_id, kind, [file.path for file in files])

    def _require_readable(self, app_id: str, kind: Kind) -> None:
        """Tell a failing disk from damage: whatever there is of a table can be read."""
        log = self._lake.commit_file(app_id, kind, 0).parent
        try:
            for file in log.parent.rglob("*"):
                if file.is_file():
                    with file.open("rb") as stream:
                        stream.read(1)
        except OSError as error:
            raise StorageUnavailableError(
                f"The table {log.parent} cannot be read now ({error})."
            ) from error


class _Found(Enum):
    """What a commit is that is in a table's log and not recorded."""

    INTACT = auto()
    """The open one as it was staged, or one that changes no row."""
    CUT_SHORT = auto()
    """The open one, damaged by a power loss."""
    UNKNOWN = auto()
    """Any other, which may have been acknowledged."""


def _are_same(added: Mapping[str, dict[str, Any]], staged: Mapping[str, FileChange]) -> bool:
    """Whether a commit adds the files that were staged, and says of them what was staged."""
    return added.keys() == staged.keys() and all(
        (added[path]["size"], added[path]["stats"]) == (file.bytes, file.statistics)
        for path, file in staged.items()
    )


def read_actions(file: Path) -> Iterator[dict[str, Any]]:
    """What a commit file says, a line an action.

    Raises:
        ValueError: It is cut short or is no commit.
    """
    lines = file.read_bytes().splitlines()
    if not lines:
        raise ValueError("an empty commit")
    for line in lines:
        action = json.loads(line)
        if not isinstance(action, dict):
            raise ValueError("not an action")  # noqa: TRY004 - like JSON that is cut short
        yield action


def _read_recorded(file: Path) -> list[dict[str, Any]]:
    """What a commit file says that must be whole.

    Raises:
        LakeDamagedError: It is not.
    """
    try:
        return list(read_actions(file))
    except ValueError as error:
        raise LakeDamagedError(f"The commit {file} cannot be read: {error}.") from error


def version_of(file: Path) -> int:
    """The version that a file of a table's log belongs to."""
    return int(file.name.split(".", 1)[0])


def _transaction(actions: list[dict[str, Any]]) -> tuple[str, int] | None:
    for action in actions:
        if "txn" in action:
            return action["txn"]["appId"], action["txn"]["version"]
    return None
