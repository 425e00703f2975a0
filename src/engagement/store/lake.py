"""Keeps the Delta tables: append exactly once, pin a version, list and scan files."""

import contextlib
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    write_deltalake,
)
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from engagement.exceptions import LakeDamagedError
from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.commits import Commit
from engagement.store.data_files import DataFile, count_rows, files_of
from engagement.store.durable import parquet_bytes, sync_commit, sync_tree_root
from engagement.store.files import remove_file, statistics_columns, write_file, writer_properties
from engagement.store.ranges import in_devices
from engagement.store.schemas import file_schema, sort_columns, table_schema

INBOX_TRANSACTION = "inbox"
"""Delta app transaction under which a table remembers the last inbox position it holds."""
QUARANTINE = "_quarantine"
CHECKPOINT_VERSIONS = 100
"""Commits from one checkpoint of a table to the next, as the Delta protocol recommends."""
LOG_DAYS = 30
"""How long Delta keeps commits that a checkpoint holds, unless a table says otherwise."""
TABLES_HELD_MAX = 64
"""Tables that are held open between two appends."""


class Lake:
    """All tables of one service. One process commits; one lock a table orders its commits."""

    def __init__(self, url: str) -> None:
        self._root = url.rstrip("/")
        self._local = Path(self._root) if "://" not in self._root else None
        self._locks: dict[tuple[str, Kind, str], threading.RLock] = {}
        self._guard = threading.Lock()
        self._sealed: dict[tuple[str, Kind], int] = {}
        """The version of each table up to which all commits are on disk."""
        self._appended: dict[tuple[str, Kind], DeltaTable] = {}
        """Tables as the last append left them, which spares the next one to read their log."""

    def lock(self, app_id: str, kind: Kind) -> threading.RLock:
        """The lock that whoever commits to this table holds."""
        return self._lock(app_id, kind, "commit")

    def rewriting(self, app_id: str, kind: Kind) -> threading.RLock:
        """The lock that whoever takes files from this table holds, from when it lists them."""
        return self._lock(app_id, kind, "rewrite")

    def append(self, app_id: str, kind: Kind, rows: pl.DataFrame, *, position: int) -> Commit:
        """Return only when rows up to an inbox position are in the table for good, and once.

        A repeat with a position that the table already holds adds nothing. delta-rs records app
        transactions but does not refuse a known one, so it is checked here, under the lock.
        """
        with self.lock(app_id, kind):
            table = self._newest(app_id, kind)
            if table is None:
                self._write(self._path(app_id, kind), kind, rows, position)
                table = self._require(app_id, kind)
            elif (table.transaction_version(INBOX_TRANSACTION) or -1) < position:
                self._write(table, kind, rows, position)
            sealed = self._seal(app_id, kind, table)
            self._hold(app_id, kind, table)
            return sealed

    def held_position(self, app_id: str) -> int:
        """The last inbox position that any of an app's tables holds; 0 if none does."""
        tables = (self._open(app_id, kind) for kind in Kind)
        held = (table.transaction_version(INBOX_TRANSACTION) for table in tables if table)
        return max((position or 0 for position in held), default=0)

    def write(
        self,
        app_id: str,
        kind: Kind,
        files: Iterable[Iterable[pl.DataFrame]],
        *,
        day: date | None,
    ) -> list[AddAction]:
        """Write files, each of the frames that come for it, one in memory at a time.

        They are of no table until they are exchanged for others, and need no lock.
        """
        folder = self._path(app_id, kind)
        written = [write_file(folder, kind, frames, day=day) for frames in files]
        return [action for action in written if action is not None]

    def exchange(
        self, app_id: str, kind: Kind, old: Sequence[DataFile], new: Sequence[AddAction]
    ) -> Commit:
        """Return only when new files are in a table in the place of old ones; all others stay.

        Raises:
            LakeDamagedError: An old one is in its place no more; the table is left as it was, since
                what became of the file's rows may be in the table already.
        """
        gone = [remove_file(file) for file in old]
        with self.lock(app_id, kind):
            table = self._require(app_id, kind)
            missing = {file.path for file in old} - {file.path for file in files_of(table, kind)}
            if missing:
                raise LakeDamagedError(f"A file to replace is not in the table: {min(missing)}.")
            table.create_write_transaction(
                [*gone, *new],
                mode="append",
                schema=table.schema(),
                partition_by=["date"] if kind.is_historical else [],
                commit_properties=CommitProperties(max_commit_retries=0),
                post_commithook_properties=_AFTER_COMMIT,
            )
            return self.seal(app_id, kind)

    def delete_days(self, app_id: str, kind: Kind, *, before: date) -> Commit:
        """Return only when no row of a day before this one is in the table."""
        with self.lock(app_id, kind):
            self._require(app_id, kind).delete(
                f"date < '{before.isoformat()}'",
                commit_properties=CommitProperties(max_commit_retries=0),
                post_commithook_properties=_AFTER_COMMIT,
            )
            return self.seal(app_id, kind)

    def vacuum(self, app_id: str, kind: Kind, *, retention_hours: int) -> int:
        """Delete files that no version younger than the retention refers to; how many.

        Commits that are older than 30 days and in a checkpoint go from the log as well, unless the
        retention is longer.
        """
        with self.lock(app_id, kind):
            table = self._open(app_id, kind)
            if table is None:
                return 0
            self.seal(app_id, kind)
            deleted = table.vacuum(
                retention_hours=retention_hours, dry_run=False, enforce_retention_duration=False
            )
            if retention_hours <= LOG_DAYS * 24:
                table.cleanup_metadata()
            self.seal(app_id, kind)  # delta-rs writes commits that say it vacuumed
            return len(deleted)

    def seal(self, app_id: str, kind: Kind) -> Commit:
        """Return only when the newest commit, and those that it builds on, are on disk."""
        return self._seal(app_id, kind, self._require(app_id, kind))

    def _lock(self, app_id: str, kind: Kind, purpose: str) -> threading.RLock:
        with self._guard:
            return self._locks.setdefault((app_id, kind, purpose), threading.RLock())

    def _newest(self, app_id: str, kind: Kind) -> DeltaTable | None:
        """The table as it is now, from where the last append left it."""
        # Taken out, so that none is used again after a failure.
        table = self._appended.pop((app_id, kind), None)
        if table is not None:
            with contextlib.suppress(DeltaError):  # opened anew, it is named what is wrong
                table.update_incremental()
                return table
        return self._open(app_id, kind)

    def _hold(self, app_id: str, kind: Kind, table: DeltaTable) -> None:
        """Keep a table for the next append, until its log is shorter to read anew."""
        if len(self._appended) >= TABLES_HELD_MAX:
            self._appended.clear()
        if (table.version() + 1) % CHECKPOINT_VERSIONS:
            self._appended[app_id, kind] = table

    def _seal(self, app_id: str, kind: Kind, table: DeltaTable) -> Commit:
        version = table.version()
        rows_total = count_rows(table)
        if self._local is None:
            return Commit(kind=kind, version=version, rows_total=rows_total, sha256="")
        table_folder = self._local / app_id / kind.value
        first = self._sealed.get((app_id, kind), version - 1) + 1
        for sealed in range(first, version + 1):
            sync_commit(table_folder, self._commit_file(app_id, kind, sealed))
        sync_tree_root(self._local, table_folder)
        self._sealed[app_id, kind] = version
        file = self._commit_file(app_id, kind, version)
        return Commit(
            kind=kind, version=version, rows_total=rows_total, sha256=_sha256(file.read_bytes())
        )

    def recover_app(self, app_id: str, recorded: Mapping[Kind, Commit]) -> list[str]:
        """Return only when every table of an app is exactly what was recorded last.

        Raises:
            LakeDamagedError: A recorded commit, or a file it needs, is missing or altered.
        """
        return [name for kind in Kind for name in self._recover(app_id, kind, recorded.get(kind))]

    def _recover(self, app_id: str, kind: Kind, recorded: Commit | None) -> list[str]:
        """Return only when the table is exactly what was recorded last.

        Commits after the recorded one were never acknowledged: their rows are still in the
        inbox, and after a power loss their files cannot be trusted. They are moved aside and
        the next flush writes them again.

        Returns:
            The names of the commit files that were moved aside.

        Raises:
            LakeDamagedError: The recorded commit, or a file it needs, is missing or altered.
        """
        if self._local is None:
            return []
        log = self._local / app_id / kind.value / "_delta_log"
        newest = -1 if recorded is None else recorded.version
        moved = [file for file in sorted(log.glob("*.json")) if _version_of(file) > newest]
        for file in moved:
            aside = log.parent / QUARANTINE
            aside.mkdir(exist_ok=True)
            file.rename(aside / f"{file.name}.{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}")
        for file in log.glob("*.checkpoint*"):
            if _version_of(file) > newest:
                file.unlink()
                (log / "_last_checkpoint").unlink(missing_ok=True)
        if recorded is not None:
            self._check(app_id, kind, recorded)
        self._sealed[app_id, kind] = newest
        return [file.name for file in moved]

    def _check(self, app_id: str, kind: Kind, recorded: Commit) -> None:
        file = self._commit_file(app_id, kind, recorded.version)
        if not file.exists():
            raise LakeDamagedError(f"The table's newest commit is missing: {file}.")
        if _sha256(file.read_bytes()) != recorded.sha256:
            raise LakeDamagedError(
                f"The table's newest commit was altered (its SHA-256 is not the recorded one): "
                f"{file}."
            )
        try:
            table = self._require(app_id, kind)
            rows, files = count_rows(table), files_of(table, kind)
        except (KeyError, TypeError) as error:
            raise LakeDamagedError(f"An older commit in {file.parent} is damaged.") from error
        if rows != recorded.rows_total:
            raise LakeDamagedError(
                f"The log of table {file.parent.parent} counts {rows} rows where "
                f"{recorded.rows_total} were recorded: an older commit in {file.parent} is damaged."
            )
        self.check_files(app_id, kind, files)

    def check_files(self, app_id: str, kind: Kind, files: Sequence[DataFile]) -> None:
        """Return only if every file is there with its recorded size.

        Raises:
            LakeDamagedError: One is not; names it.
        """
        if self._local is None:
            return
        for file in files:
            path = self._local / app_id / kind.value / file.path
            size = parquet_bytes(path)
            if size != file.bytes:
                got = "no Parquet file" if size is None else f"{size} bytes"
                raise LakeDamagedError(
                    f"A data file of the lake must have {file.bytes} bytes, got {got}: {path}."
                )

    def files(self, app_id: str, kind: Kind, version: int) -> list[DataFile]:
        """The files of a table at a version, in a fixed order."""
        return files_of(self._require(app_id, kind, version), kind)

    def scan(self, app_id: str, kind: Kind, paths: Sequence[str]) -> pl.LazyFrame:
        """The rows of some of a table's files, file after file in the order given."""
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
        self,
        app_id: str,
        kind: Kind,
        paths: Sequence[str],
        *,
        device_from: str | None,
        device_to: str | None,
    ) -> Iterator[pl.LazyFrame]:
        """The rows of a range of device ids, a row group at a time, in the order of the files.

        Polars reads far ahead of a slow consumer, so one query over all files would hold a whole
        part in memory; a query a row group cannot.
        """
        schema = file_schema(kind)
        for path in paths:
            file = f"{self._path(app_id, kind)}/{path}"
            for offset, rows in self._row_groups(file, device_from, device_to):
                whole = self.scan(app_id, kind, [path]).select(schema.keys())
                yield in_devices(whole.slice(offset, rows), device_from, device_to)

    def _row_groups(
        self, file: str, device_from: str | None, device_to: str | None
    ) -> Iterator[tuple[int, int | None]]:
        """Offset and rows of the row groups that may hold device ids of the range."""
        if self._local is None:
            yield 0, None
            return
        metadata = pq.read_metadata(file)
        column = metadata.schema.names.index("device_id")
        offset = 0
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            known = group.column(column).statistics
            above = device_from is None or known is None or known.max >= device_from
            below = device_to is None or known is None or known.min < device_to
            if above and below:
                yield offset, group.num_rows
            offset += group.num_rows

    def _write(
        self, table: DeltaTable | str, kind: Kind, rows: pl.DataFrame, position: int
    ) -> None:
        columns = table_schema(kind).keys()
        is_older = isinstance(table, DeltaTable) and not columns <= set(_columns_of(table))
        write_deltalake(
            table,
            rows.select(columns),
            mode="append",
            schema_mode="merge" if is_older else None,
            partition_by=["date"] if kind.is_historical else None,
            configuration={"delta.dataSkippingStatsColumns": ",".join(statistics_columns(kind))},
            writer_properties=writer_properties(kind),
            commit_properties=CommitProperties(
                app_transactions=[Transaction(INBOX_TRANSACTION, position)], max_commit_retries=0
            ),
            post_commithook_properties=_AFTER_COMMIT,
        )

    def _open(self, app_id: str, kind: Kind, version: int | None = None) -> DeltaTable | None:
        try:
            return DeltaTable(self._path(app_id, kind), version=version)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            raise LakeDamagedError(
                f"The log of table {self._path(app_id, kind)} cannot be read: {error}."
            ) from error

    def _require(self, app_id: str, kind: Kind, version: int | None = None) -> DeltaTable:
        table = self._open(app_id, kind, version)
        if table is None:
            raise LakeDamagedError(f"The table {self._path(app_id, kind)} is missing.")
        return table

    def _path(self, app_id: str, kind: Kind) -> str:
        return f"{self._root}/{app_id}/{kind.value}"

    def _commit_file(self, app_id: str, kind: Kind, version: int) -> Path:
        return Path(self._path(app_id, kind)) / "_delta_log" / f"{version:020d}.json"


def _columns_of(table: DeltaTable) -> list[str]:
    return [field.name for field in table.schema().fields]


_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


def in_order(rows: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """The rows with their partition column, in the order of a file.

    Sessions and jobs come with theirs, which is not the day of their start if they are older.
    """
    if kind.is_historical and "date" not in rows.columns:
        rows = rows.with_columns(pl.col(TIME_COLUMN[kind]).dt.date().alias("date"))
    return rows.sort(sort_columns(kind))


def _version_of(file: Path) -> int:
    return int(file.name.split(".", 1)[0])


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
