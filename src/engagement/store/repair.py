"""Mends a damaged table in the ways that somebody has to ask for, since rows may be less then."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import polars as pl

from engagement.exceptions import BadInputError, LakeDamagedError
from engagement.model.records import Kind
from engagement.store.commits import FileChange
from engagement.store.committing import Committer
from engagement.store.data_files import DataFile
from engagement.store.lake import Lake
from engagement.store.lost_rows import RestoredDay, compare_days, find_lost_rows
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.staging import StagingQueries
from engagement.store.recovery import LakeRecovery
from engagement.store.schemas import file_schema


class LakeRepair:
    """Takes damaged files out of tables on a local disk."""

    def __init__(
        self,
        inbox: InboxQueries,
        staging: StagingQueries,
        lake: Lake,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._inbox = inbox
        self._staging = staging
        self._lake = lake
        self._committer = Committer(inbox, staging, lake, clock=clock)
        self._recovery = LakeRecovery(inbox, staging, lake)

    def find_damaged_files(self, app_id: str, kind: Kind) -> list[DataFile]:
        """The data files of a table's newest recorded version that are missing or altered.

        Raises:
            LakeDamagedError: The table's log cannot be read, so its files are not known.
        """
        recorded = self._inbox.last_commits(app_id).get(kind)
        if recorded is None:
            return []
        files = self._lake.files(app_id, kind, recorded.version)
        return [file for file in files if not self._is_intact(app_id, kind, file)]

    def give_up(self, app_id: str, kind: Kind, paths: Sequence[str]) -> list[DataFile]:
        """Take damaged files out of a table, with the rows that they held; all others stay.

        Returns:
            The files, with how many rows each held by the table's log.

        Raises:
            BadInputError: A path is none of a damaged file of the table.
            LakeDamagedError: The table is damaged otherwise too, and is refused still.
        """
        with self._unmarked(app_id, kind):
            damaged = {file.path: file for file in self.find_damaged_files(app_id, kind)}
            wrong = [path for path in paths if path not in damaged]
            if wrong:
                raise BadInputError(
                    f"The file to give up must be a damaged one of the table, got {wrong[0]!r}; "
                    f"damaged: {', '.join(sorted(damaged)) or 'none'}."
                )
            removed = [damaged[path] for path in dict.fromkeys(paths)]
            self._replace(app_id, kind, removed, ())
        return removed

    def restore(
        self, app_id: str, kind: Kind, records: Iterable[pl.DataFrame], *, is_partial: bool
    ) -> list[RestoredDay]:
        """Put records in the place of damaged files: those of the files' days that no other has.

        What a record lacks of a row stays null. Its sequence says the order in which it comes among
        the records of its device and instant; those of sound files come after it.

        Args:
            app_id: The app.
            kind: The kind of the table, of which every row is a record of its own.
            records: Rows with the columns of the table's files, such as an export delivered.
            is_partial: Whether fewer rows are accepted than the files held by the table's log.

        Returns:
            What became of each day. One without records is left as it was.

        Raises:
            BadInputError: Other rows are found than the damaged files held. Nothing was changed.
            LakeDamagedError: The table is damaged otherwise too, and is refused still.
        """
        with self._unmarked(app_id, kind):
            damaged = self.find_damaged_files(app_id, kind)
            if not damaged:
                raise BadInputError("No file of the table is damaged; there is nothing to restore.")
            sound = self._scan_sound(app_id, kind, damaged)
            rows = find_lost_rows(kind, damaged, sound, records)
            restored = compare_days(damaged, rows, is_partial=is_partial)
            days = {day.day for day in restored}
            added = self._lake.write_rows(app_id, kind, rows).added
            removed = [file for file in damaged if file.day in days]
            self._replace(app_id, kind, removed, added)
        return restored

    def _scan_sound(self, app_id: str, kind: Kind, damaged: Sequence[DataFile]) -> pl.LazyFrame:
        """The rows of the days of damaged files that are in others."""
        version = self._inbox.last_commits(app_id)[kind].version
        days, lost = {file.day for file in damaged}, {file.path for file in damaged}
        files = self._lake.files(app_id, kind, version)
        paths = [file.path for file in files if file.day in days and file.path not in lost]
        if not paths:
            return pl.LazyFrame(schema=file_schema(kind))
        return self._lake.scan(app_id, kind, paths)

    @contextmanager
    def _unmarked(self, app_id: str, kind: Kind) -> Iterator[None]:
        """Let a table take commits; at the end it is looked at again, and marked if need be.

        Raises:
            LakeDamagedError: It is damaged still.
        """
        with self._lake.rewrite_lock(app_id, kind):
            self._staging.mark_damaged(app_id, kind, None)
            try:
                # What is staged comes first, since a damaged file may be among it.
                self._committer.commit(app_id)
                yield
            finally:
                failures = self._recovery.mark(app_id, [kind], digests=True)
        if failures:
            raise failures[0]

    def _replace(
        self, app_id: str, kind: Kind, removed: Sequence[DataFile], added: Sequence[FileChange]
    ) -> None:
        group = self._committer.stage_rewrite(app_id, kind, old=removed, new=added)
        self._committer.commit_rewrites(app_id, kind, {group})

    def _is_intact(self, app_id: str, kind: Kind, file: DataFile) -> bool:
        try:
            self._lake.check_files(app_id, kind, [file])
            self._lake.check_digests(app_id, kind, [file.path])
        except LakeDamagedError:
            return False
        return True
