"""Copies the files of a lake that a state database needs, and proves each of them.

The state comes first: it says at which version each table is. A file that it needs was in the lake
by then and is immutable, so that the lake may go on while it is copied.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from engagement.exceptions import (
    EngagementError,
    LakeDamagedError,
    ServiceMovedError,
    StateLostError,
    VerificationError,
)
from engagement.model.records import Kind
from engagement.store.app_files import APP_FILE
from engagement.store.commits import Commit
from engagement.store.data_files import count_rows
from engagement.store.delta_log import LOG_FOLDER, version_of_name
from engagement.store.digests import compute_digest, read_digest
from engagement.store.file_trees import FileTree, open_file_tree
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.staging import StagingQueries

COPIES_CONCURRENT_MAX = 4
"""Files that are copied at a time, each in memory as a whole."""
MARK = "_copying.json"
"""The file at the root of a lake that is not in use yet, and says whose copy it is to become."""

MOVED_MARK = "_moved_to.txt"
"""The file at the root of a lake whose service is elsewhere."""


class LakeMovedOnError(EngagementError):
    """A file that was needed is gone: the copy must begin with the state as it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededFile:
    """A file that a copy of the lake must have."""

    path: str
    """From the lake on."""
    bytes: int | None = None
    """Its recorded size; None if nothing tells."""
    sha256: str | None = None
    """The recorded digest of its bytes; None if nothing tells, beside its name."""
    may_lack: bool = False
    """Whether it may be missing or altered, since its table is known to be damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedFile:
    """A file that was copied and read back."""

    path: str
    """From the lake on."""
    bytes: int
    """Its size."""
    sha256: str
    """The digest of its bytes."""
    xxh3: str
    """The digest of them that data files are named with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """How many rows a copied table was found to have."""

    app_id: str
    """The app."""
    kind: Kind
    """The kind of its records."""
    version: int
    """The table's newest version."""
    rows: int
    """Its rows then."""


class NeededFiles:
    """Tells which files of a lake belong to a state database."""

    def __init__(
        self, inbox: InboxQueries, staging: StagingQueries, plans: PlanQueries, lake: Lake
    ) -> None:
        """Ask the copy of a state database.

        Args:
            inbox: Which version each table is at.
            staging: What is written and of no table yet.
            plans: What exports under way are going to read.
            lake: The lake that the copied state belongs to.
        """
        self._inbox = inbox
        self._staging = staging
        self._plans = plans
        self._lake = lake

    def list(self, tree: FileTree) -> list[NeededFile]:
        """All files, each once, in a fixed order.

        Args:
            tree: The lake's files.

        Raises:
            LakeMovedOnError: A table's log was shortened since the state was copied.
        """
        found: dict[str, NeededFile] = {}
        damaged = {(table.app_id, table.kind) for table in self._staging.list_damaged()}
        for app_id in {*self._inbox.apps_with_tables(), *self._staging.list_apps()}:
            registered = f"{app_id}/{APP_FILE}"
            found[registered] = NeededFile(path=registered, may_lack=True)
            commits = self._inbox.last_commits(app_id)
            for kind in Kind:
                is_damaged = (app_id, kind) in damaged
                recorded = commits.get(kind)
                table = self._list_table(tree, app_id, kind, recorded, is_damaged=is_damaged)
                for path, size in table:
                    found[path] = NeededFile(path=path, bytes=size, may_lack=is_damaged)
        for app_id, part in self._plans.list_unfinished_parts():
            for kind, names in part.files.items():
                for path in (f"{app_id}/{kind.value}/{name}" for name in names):
                    is_damaged = (app_id, kind) in damaged
                    found.setdefault(path, NeededFile(path=path, may_lack=is_damaged))
        return [found[path] for path in sorted(found)]

    def _list_table(
        self,
        tree: FileTree,
        app_id: str,
        kind: Kind,
        recorded: Commit | None,
        *,
        is_damaged: bool,
    ) -> Iterator[tuple[str, int | None]]:
        """The log of a table up to its recorded version, its files then, and what is staged."""
        folder = f"{app_id}/{kind.value}"
        if recorded is not None:
            for path in tree.list(f"{folder}/{LOG_FOLDER}"):
                version = version_of_name(path)
                if version is not None and version <= recorded.version and "#" not in path:
                    yield path, None  # a checkpoint may be made anew; one in the making has a #
            try:
                for file in self._lake.files(app_id, kind, recorded.version):
                    yield f"{folder}/{file.path}", file.bytes
            except LakeDamagedError as error:
                if not is_damaged:
                    raise LakeMovedOnError(str(error)) from error
        for staged in self._staging.list_staged(app_id, kind):
            yield f"{folder}/{staged.path}", staged.bytes


def copy_files(
    source: FileTree,
    target: FileTree,
    files: Iterable[NeededFile],
    *,
    on_copied: Callable[[], None],
) -> list[CopiedFile]:
    """Return only when all files are in the target, each as it was written, and read back.

    What an earlier run copied is read again and not copied again.

    Args:
        source: The lake.
        target: Where its files go.
        files: Which.
        on_copied: Called after each file.

    Raises:
        LakeMovedOnError: A file is gone since the state was copied.
        LakeDamagedError: A file is not what was written.
        VerificationError: What is read back is not what was copied.
    """
    there = target.list()

    def copy(file: NeededFile) -> CopiedFile | None:
        try:
            copied = _copy(source, target, file, there)
        except FileNotFoundError as error:
            if file.may_lack:
                return None
            raise LakeMovedOnError(f"The lake has no file {file.path} any more.") from error
        on_copied()
        return copied

    with ThreadPoolExecutor(COPIES_CONCURRENT_MAX) as threads:
        running = [threads.submit(copy, file) for file in files]
        try:
            return [copied for each in running if (copied := each.result()) is not None]
        except BaseException:
            for each in running:
                each.cancel()
            raise


def check_tables(inbox: InboxQueries, staging: StagingQueries, copied: Lake) -> list[TableRows]:
    """Return only if each table of a copy is at its recorded version and has its recorded rows.

    Tables that are known to be damaged are left aside.

    Args:
        inbox: What is recorded.
        staging: Which tables are damaged, and where digests of commits are kept.
        copied: The copy.

    Raises:
        VerificationError: One is not; names it.
    """
    damaged = {(table.app_id, table.kind) for table in staging.list_damaged()}
    counts = []
    for app_id in inbox.apps_with_tables():
        for kind, recorded in inbox.last_commits(app_id).items():
            if (app_id, kind) in damaged:
                continue
            table = copied.require(app_id, kind)
            rows = count_rows(table)
            if (table.version(), rows) != (recorded.version, recorded.rows_total):
                raise VerificationError(
                    f"The copied {kind.value} table of app {app_id} must be at version "
                    f"{recorded.version} with {recorded.rows_total} rows, got version "
                    f"{table.version()} with {rows}."
                )
            if copied.local is not None and not recorded.sha256:
                commit = copied.describe_commit(app_id, kind, recorded.version, rows_total=rows)
                staging.keep_digest(app_id, commit)
            counts.append(TableRows(app_id=app_id, kind=kind, version=recorded.version, rows=rows))
    return counts


def delete_others(target: FileTree, kept: Iterable[str]) -> None:
    """Delete what a copy does not need: an earlier run left it, and may hold what was erased."""
    target.delete(target.list().keys() - set(kept))


def require_finished_lake(lake: str) -> None:
    """Return only if a lake is not in the making, and not left by a service that was moved.

    Raises:
        StateLostError: A restore or a move was cut off there.
        ServiceMovedError: The service that it belonged to has another lake.
    """
    tree = open_file_tree(lake)
    if _read(tree, MARK) is not None:
        raise StateLostError(
            f"The lake must be whole, but a restore or a move into {lake} was cut off: run the "
            "same command again."
        )
    target = _read(tree, MOVED_MARK)
    if target is not None:
        raise ServiceMovedError(
            f"The service of the lake {lake} was moved to {target.decode()}: open it there."
        )


def mark_left_lake(lake: str, target: str) -> None:
    """Return only when a lake says where its service went."""
    open_file_tree(lake).write(MOVED_MARK, target.encode())


def unmark_left_lake(lake: str) -> None:
    """Let a lake be in use again."""
    open_file_tree(lake).delete([MOVED_MARK])


def _read(tree: FileTree, path: str) -> bytes | None:
    try:
        return tree.read(path)
    except FileNotFoundError:
        return None


def _copy(
    source: FileTree, target: FileTree, file: NeededFile, there: Mapping[str, int]
) -> CopiedFile:
    is_known = file.sha256 is not None or read_digest(file.path) is not None
    if is_known and file.path in there:
        earlier = _describe(file.path, target.read(file.path))
        if _is_whole(file, earlier):
            return earlier
    data = source.read(file.path)
    copied = _describe(file.path, data)
    if not (file.may_lack or _is_whole(file, copied)):
        raise LakeDamagedError(
            f"The file {file.path} must have {file.bytes} bytes and its recorded digest, got "
            f"{len(data)} bytes or another digest."
        )
    target.write(file.path, data)
    if target.read(file.path) != data:
        raise VerificationError(f"What was copied must be read back as it was: {file.path} is not.")
    return copied


def _describe(path: str, data: bytes) -> CopiedFile:
    return CopiedFile(
        path=path,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        xxh3=compute_digest(data),
    )


def _is_whole(wanted: NeededFile, found: CopiedFile) -> bool:
    return (
        wanted.bytes in {None, found.bytes}
        and wanted.sha256 in {None, found.sha256}
        and read_digest(wanted.path) in {None, found.xxh3}
    )
