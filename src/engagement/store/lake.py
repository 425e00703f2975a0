"""Keeps the Delta tables: write files, commit them exactly once, pin a version, list and scan."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from engagement.exceptions import LakeDamagedError
from engagement.model.plan import Part
from engagement.model.records import Kind
from engagement.store.commits import Commit, FileChange, OpenCommit, TableChange, sum_changes
from engagement.store.data_files import DataFile, count_rows, files_of
from engagement.store.delta_log import (
    LOG_FOLDER,
    add_commit,
    find_newest_number,
    find_outdated_groups,
    list_log_files,
)
from engagement.store.digests import DigestChecks
from engagement.store.durable import (
    parquet_bytes,
    sync_commit,
    sync_files,
    sync_path,
    sync_tree_root,
)
from engagement.store.files import row_group_rows, write_file
from engagement.store.locks import LockPurpose, Locks, ThreadLocks
from engagement.store.object_files import open_files
from engagement.store.ranges import within_range
from engagement.store.schemas import file_schema
from engagement.store.slices import Piece, find_pieces, gather_small
from engagement.store.unused_files import (
    ABANDONED_HOURS_MIN,
    find_unfinished_files,
    list_unused_files,
)

CHECKPOINT_VERSIONS = 100
"""Commits from one checkpoint of a table to the next, as the Delta protocol recommends."""
LOG_DAYS = 30
"""How long Delta keeps commits that a checkpoint holds, unless a table says otherwise."""
TABLES_HELD_MAX = 64
"""Tables that are held open between two commits."""
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
COMMIT_ATTEMPTS_MAX = 10
"""How often a commit is tried anew that found another in its place."""


class Lake:
    """All tables of one service."""

    def __init__(self, url: str, locks: Locks | None = None) -> None:
        self.root = url.rstrip("/")
        """The folder, or the URL in an object store."""
        self.local = Path(self.root) if "://" not in self.root else None
        """The folder of a lake on a local disk."""
        self._locks = locks or ThreadLocks()
        self._digests = DigestChecks()
        self._rooted: set[str] = set()
        """Folders of tables whose names are on disk."""
        self._held: dict[tuple[str, Kind], DeltaTable] = {}
        """Tables as the last commit left them, which spares the next one to read their log."""

    def flush_lock(self, app_id: str) -> AbstractContextManager[None]:
        """The lock of an app's flush. It saves work only: a second flush would change nothing."""
        return self._locks.hold(LockPurpose.FLUSH, app_id)

    def flush_lock_if_free(self, app_id: str) -> AbstractContextManager[bool]:
        """The same for who would rather do something else than wait; whether it is held."""
        return self._locks.hold_if_free(LockPurpose.FLUSH, app_id)

    def commit_lock(self, app_id: str) -> AbstractContextManager[None]:
        """The lock of whoever commits to an app's tables, which saves work only."""
        return self._locks.hold(LockPurpose.COMMIT, app_id)

    def rewrite_lock(self, app_id: str, kind: Kind) -> AbstractContextManager[None]:
        """The lock that whoever takes files from this table holds, from when it lists them."""
        return self._locks.hold(LockPurpose.REWRITE, app_id, kind)

    def write(
        self, app_id: str, kind: Kind, files: Iterable[tuple[date | None, Iterable[pl.DataFrame]]]
    ) -> tuple[FileChange, ...]:
        """Return only when files are on disk; they are of no table until they are committed.

        Args:
            app_id: The app.
            kind: The kind of the table.
            files: For each its partition and its frames, of which one is in memory at a time.
        """
        folder = self._folder_for_files(app_id, kind)
        written = [write_file(folder, kind, frames, day=day) for day, frames in files]
        added = tuple(file for file in written if file is not None)
        if self.local is not None:
            sync_files(Path(folder), [file.path for file in added])
        return added

    def write_rows(self, app_id: str, kind: Kind, rows: pl.DataFrame) -> TableChange:
        """Return only when sorted rows are on disk, in a file for each of their partitions."""
        days = rows.partition_by("date", as_dict=True) if kind.is_historical else {(None,): rows}
        files = ((day, of_day.iter_slices(row_group_rows(kind))) for (day,), of_day in days.items())
        return TableChange(added=self.write(app_id, kind, files))

    def delete_files(self, app_id: str, kind: Kind, paths: Iterable[str]) -> None:
        """Delete data files that no version of a table refers to."""
        files = open_files(self._path(app_id, kind))
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                files.delete_file(path)

    def commit(self, app_id: str, pending: OpenCommit) -> tuple[Commit, set[str]]:
        """Return only when an open commit is in its table for good, and once.

        Delta's log keeps the commit's number, so that a repeat adds nothing. Whoever was stopped
        and comes late finds a newer version in the place of the one that he saw, and looks again.

        Returns:
            The commit, and the ids of the groups that were left out, since a file that they
            replace is in the table no more.

        Raises:
            LakeDamagedError: The table's log cannot be read.
        """
        for _ in range(COMMIT_ATTEMPTS_MAX):
            table = self._newest(app_id, pending.kind)
            if table is not None and find_newest_number(table) >= pending.commit_id:
                return self._seal(app_id, pending, table, count_rows(table)), set()
            dropped = find_outdated_groups(table, pending)
            change = sum_changes(
                change for group, change in pending.changes.items() if group not in dropped
            )
            try:
                table = add_commit(self._path(app_id, pending.kind), table, pending, change)
            except CommitFailedError:
                continue
            rows_total = pending.recorded_rows + change.rows
            sealed = self._seal(app_id, pending, table, rows_total)
            self._hold(app_id, pending.kind, table)
            return sealed, dropped
        raise LakeDamagedError(
            f"The table {self._path(app_id, pending.kind)} takes no commit: another one is in its "
            f"place, {COMMIT_ATTEMPTS_MAX} times in a row."
        )

    def vacuum(  # noqa: PLR0913 - what is kept, and for whom
        self,
        app_id: str,
        kind: Kind,
        *,
        before: datetime,
        keep: set[str],
        shorten_log: bool,
        version_then: int | None = None,
    ) -> int:
        """Delete files that no version since an instant refers to; how many.

        Args:
            app_id: The app.
            kind: The kind of the table.
            before: The instant. What was written or taken out after it is kept.
            keep: Files that are staged, which no version refers to yet.
            shorten_log: Whether commits that are older than 30 days by the system's clock and in a
                checkpoint go from the log as well, unless the instant is older.
            version_then: The newest version at that instant; None if it is not known. Only with it
                files go that the table's log does not name.
        """
        table = self.find(app_id, kind)
        if table is None:
            return 0
        # delta-rs goes by the system's clock, so it is told an age by that clock.
        now = datetime.now(UTC)
        hours = max(0, -(-(now - before - _MINUTE) // _HOUR))
        then = None if version_then is None else self._find_paths(app_id, kind, version_then)
        is_full = then is not None and hours >= ABANDONED_HOURS_MIN
        unused = list_unused_files(table, hours=hours, is_full=is_full)
        if abs(datetime.now(UTC) - now) > _HOUR:
            return 0  # the clock was set meanwhile, so that the age meant another instant
        gone = [path for path in unused if path not in keep and path not in (then or ())]
        self.delete_files(app_id, kind, gone)
        if self.local is not None and is_full:
            for file in find_unfinished_files(self.local / app_id / kind.value, before=before):
                file.unlink(missing_ok=True)
                gone.append(file.name)
        if shorten_log and hours <= LOG_DAYS * 24:
            table.cleanup_metadata()
        return len(gone)

    def _find_paths(self, app_id: str, kind: Kind, version: int) -> set[str] | None:
        """The files of a version; None if it is not in the table's log any more."""
        try:
            return {file.path for file in self.files(app_id, kind, version)}
        except LakeDamagedError:
            return None

    def drop_versions(self, app_id: str, kind: Kind, *, first_kept: int) -> None:
        """Take the versions before one out of a table's log, with all that it says of their files.

        What a power loss cut short of them goes too. The version itself becomes a checkpoint first.
        """
        files = open_files(self._path(app_id, kind))
        old = list_log_files(files, before=first_kept)
        if not old:
            return
        self.require(app_id, kind, first_kept).create_checkpoint()
        if self.local is not None:
            sync_commit(self.commit_file(app_id, kind, first_kept))
        self.delete_files(app_id, kind, old)

    def files(self, app_id: str, kind: Kind, version: int) -> list[DataFile]:
        """The files of a table at a version, in a fixed order."""
        return files_of(self.require(app_id, kind, version), kind)

    def check_files(self, app_id: str, kind: Kind, files: Iterable[DataFile | FileChange]) -> None:
        """Return only if every file is there with its recorded size.

        Raises:
            LakeDamagedError: One is not; names it.
        """
        if self.local is None:
            return
        for file in files:
            path = self.local / app_id / kind.value / file.path
            size = parquet_bytes(path)
            if size != file.bytes:
                got = "no Parquet file" if size is None else f"{size} bytes"
                raise LakeDamagedError(
                    f"A data file of the lake must have {file.bytes} bytes, got {got}: {path}."
                )

    def describe_commit(self, app_id: str, kind: Kind, version: int, *, rows_total: int) -> Commit:
        """A commit of a table as it is recorded, with the digest of its file on a local disk."""
        digest = ""
        if self.local is not None:
            content = self.commit_file(app_id, kind, version).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
        return Commit(kind=kind, version=version, rows_total=rows_total, sha256=digest)

    def find(self, app_id: str, kind: Kind, version: int | None = None) -> DeltaTable | None:
        """A table at a version, else the newest one; None if it is not there.

        Raises:
            LakeDamagedError: Its log cannot be read.
        """
        try:
            return DeltaTable(self._path(app_id, kind), version=version)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            raise LakeDamagedError(
                f"The log of table {self._path(app_id, kind)} cannot be read: {error}."
            ) from error

    def require(self, app_id: str, kind: Kind, version: int | None = None) -> DeltaTable:
        """A table at a version, else the newest one.

        Raises:
            LakeDamagedError: It is missing, or its log cannot be read.
        """
        table = self.find(app_id, kind, version)
        if table is None:
            raise LakeDamagedError(f"The table {self._path(app_id, kind)} is missing.")
        return table

    def check_digests(self, app_id: str, kind: Kind, paths: Iterable[str]) -> None:
        """Return only if files of a lake on a local disk hold the bytes that were written.

        Files of releases that kept no digests are only looked for.

        Raises:
            LakeDamagedError: One does not; names it.
        """
        if self.local is None:
            return  # object storage checks what it keeps by itself
        for path in paths:
            file = self.local / app_id / kind.value / path
            if not self._digests.is_intact(file):
                raise LakeDamagedError(
                    f"A data file of the lake must have the digest in its name, got another or "
                    f"no file: {file}."
                )

    def scan(self, app_id: str, kind: Kind, paths: Sequence[str]) -> pl.LazyFrame:
        """The rows of some of a table's files, file after file in the order given.

        Raises:
            LakeDamagedError: A file is not what was written.
        """
        self.check_digests(app_id, kind, paths)
        root = self._path(app_id, kind)
        return pl.scan_parquet(
            [f"{root}/{path}" for path in paths],
            schema=file_schema(kind),
            missing_columns="insert",
            extra_columns="ignore",
            hive_partitioning=False,
            glob=False,
        )

    def slices(
        self, app_id: str, kind: Kind, paths: Sequence[str], part: Part
    ) -> Iterator[pl.LazyFrame]:
        """The rows of a part's range in the order of the files, a slice at a time.

        Polars reads far ahead of a slow consumer, so one query over all files would hold a whole
        part in memory. A slice holds no more than a row group, or small files as far as they
        together are no larger.
        """
        schema = file_schema(kind)
        pieces = self._pieces(app_id, kind, paths, part)
        for gathered in gather_small(pieces, row_group_rows(kind)):
            rows = self.scan(app_id, kind, [piece.path for piece in gathered])
            first = gathered[0]
            if not first.is_whole:
                rows = rows.slice(first.offset, first.rows)
            yield within_range(rows.select(schema.keys()), kind, part)

    def _pieces(self, app_id: str, kind: Kind, paths: Sequence[str], part: Part) -> Iterator[Piece]:
        for path in paths:
            self.check_digests(app_id, kind, [path])  # before its footer is believed
            if self.local is None:
                yield Piece(path=path)
            else:
                yield from find_pieces(f"{self._path(app_id, kind)}/{path}", path, kind, part)

    def _folder_for_files(self, app_id: str, kind: Kind) -> str:
        """A table's folder; on a local disk it is made, and its name and those above are synced."""
        folder = self._path(app_id, kind)
        if self.local is not None and folder not in self._rooted:
            Path(folder).mkdir(parents=True, exist_ok=True)
            sync_tree_root(self.local, Path(folder))
            self._rooted.add(folder)
        return folder

    def _newest(self, app_id: str, kind: Kind) -> DeltaTable | None:
        """The table as it is now, from where the last commit left it."""
        # Taken out, so that none is used again after a failure.
        table = self._held.pop((app_id, kind), None)
        if table is not None:
            with contextlib.suppress(DeltaError):  # opened anew, it is named what is wrong
                table.update_incremental()
                return table
        return self.find(app_id, kind)

    def _hold(self, app_id: str, kind: Kind, table: DeltaTable) -> None:
        """Keep a table for the next commit, until its log is shorter to read anew."""
        if len(self._held) >= TABLES_HELD_MAX:
            self._held.clear()
        if (table.version() + 1) % CHECKPOINT_VERSIONS:
            self._held[app_id, kind] = table

    def _seal(self, app_id: str, pending: OpenCommit, table: DeltaTable, rows_total: int) -> Commit:
        """The table's newest commit, once it and all since the recorded one are on disk."""
        kind, version = pending.kind, table.version()
        if self.local is not None:
            first = 0 if pending.recorded_version is None else pending.recorded_version + 1
            for newer in range(first, version):  # such as one that adds columns
                sync_commit(self.commit_file(app_id, kind, newer))
            file = self.commit_file(app_id, kind, version)
            sync_commit(file)
            sync_path(file.parent.parent)  # the first commit makes the folder of the log
        return self.describe_commit(app_id, kind, version, rows_total=rows_total)

    def _path(self, app_id: str, kind: Kind) -> str:
        return f"{self.root}/{app_id}/{kind.value}"

    def commit_file(self, app_id: str, kind: Kind, version: int) -> Path:
        """The file of a commit in the log of a table on a local disk."""
        return Path(self._path(app_id, kind)) / LOG_FOLDER / f"{version:020d}.json"
