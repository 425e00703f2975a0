"""Compares the lake with the state database at a start, before anybody reads or writes it.

What the state database proves is finished or undone. Anything else may have been acknowledged, so
it is neither moved nor deleted but refused, with the names of what is wrong and what to do.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

from engagement.exceptions import LakeDamagedError
from engagement.model.records import Kind
from engagement.store.commits import Commit, FileChange, OpenCommit
from engagement.store.data_files import count_rows, files_of
from engagement.store.delta_log import STAGED_TRANSACTION
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.staging import StagingQueries

QUARANTINE = "_quarantine"
"""Folder beside a table's log for commits that a power loss cut short."""
_INBOX_TRANSACTION = "inbox"
"""Under which earlier releases kept the last inbox position that a table holds."""


class LakeRecovery:
    """Brings tables on a local disk to what is recorded of them, after any end."""

    def __init__(self, inbox: InboxQueries, staging: StagingQueries, lake: Lake) -> None:
        self._inbox = inbox
        self._staging = staging
        self._lake = lake

    def apps(self) -> list[str]:
        """The ids of all apps that have something in the lake or on the way into it."""
        found = {*self._inbox.apps_with_tables(), *self._inbox.list_waiting()}
        root = self._lake.local
        if root is not None and root.is_dir():
            found |= {log.parent.parent.name for log in root.glob("*/*/_delta_log")}
        return sorted(found)

    def recover(self, app_id: str) -> list[str]:
        """Return only when each of an app's tables is what was recorded last, or goes on to be.

        A commit that is open may be in the log already, or cut short by a power loss: then it is
        moved to quarantine, and made again from what is staged.

        Returns:
            The names of the commit files that were moved.

        Raises:
            LakeDamagedError: A recorded commit, or a file that it needs, is missing or altered; or
                there are commits that the state database does not know.
        """
        if self._lake.local is None:
            return []
        recorded = self._inbox.last_commits(app_id)
        return [name for kind in Kind for name in self._recover(app_id, kind, recorded.get(kind))]

    def _recover(self, app_id: str, kind: Kind, recorded: Commit | None) -> list[str]:
        log = self._lake.commit_file(app_id, kind, 0).parent
        version = -1 if recorded is None else recorded.version
        newer = [file for file in sorted(log.glob("*.json")) if _version_of(file) > version]
        pending = self._staging.open_commit(app_id, kind)
        found = {file: self._kind_of(app_id, file, pending) for file in newer}
        unknown = [file for file, what in found.items() if what is _Found.UNKNOWN]
        if unknown:
            raise LakeDamagedError(
                f"The {kind.value} table of app {app_id} has commits that the state database does "
                f"not know: versions {_version_of(unknown[0])} to {_version_of(unknown[-1])} in "
                f"{log}, where {max(version, 0)} was recorded last. The state database is older "
                "than the lake or another's: bring back the one that belongs to it. Nothing was "
                "changed."
            )
        cut_short = [file for file, what in found.items() if what is _Found.CUT_SHORT]
        moved = [_quarantine(file) for file in cut_short]
        if moved:
            _drop_checkpoints(log, version)
        if recorded is not None:
            self._check(app_id, recorded)
        self._lake.check_files(app_id, kind, self._staging.list_staged(app_id, kind))
        return moved

    def _kind_of(self, app_id: str, file: Path, pending: OpenCommit | None) -> "_Found":
        """What a commit is that was not recorded."""
        try:
            actions = list(_actions(file))
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

    def _check(self, app_id: str, recorded: Commit) -> None:
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
        self._lake.check_files(app_id, kind, files)


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


def _actions(file: Path) -> Iterator[dict[str, Any]]:
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


def _transaction(actions: list[dict[str, Any]]) -> tuple[str, int] | None:
    for action in actions:
        if "txn" in action:
            return action["txn"]["appId"], action["txn"]["version"]
    return None


def _quarantine(file: Path) -> str:
    folder = file.parent.parent / QUARANTINE
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file.rename(folder / f"{file.name}.{digest}")
    return file.name


def _drop_checkpoints(log: Path, newest: int) -> None:
    """Delete checkpoints of versions that are gone; they can be made from the log."""
    for file in log.glob("*.checkpoint*"):
        if _version_of(file) > newest:
            file.unlink()
            (log / "_last_checkpoint").unlink(missing_ok=True)


def _version_of(file: Path) -> int:
    return int(file.name.split(".", 1)[0])
