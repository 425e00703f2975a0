"""Mends a damaged table in the ways that somebody has to ask for, since they give up rows."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from engagement.exceptions import BadInputError, LakeDamagedError
from engagement.model.records import Kind
from engagement.store.commits import TableChange
from engagement.store.committing import Committer
from engagement.store.data_files import DataFile
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.staging import StagingQueries
from engagement.store.recovery import LakeRecovery


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
        self._clock = clock
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
        with self._lake.rewrite_lock(app_id, kind):
            # What is staged comes first, since a damaged file may be among it.
            self._staging.mark_damaged(app_id, kind, None)
            self._committer.commit(app_id)
            damaged = {file.path: file for file in self.find_damaged_files(app_id, kind)}
            wrong = [path for path in paths if path not in damaged]
            if not wrong:
                removed = [damaged[path] for path in dict.fromkeys(paths)]
                change = TableChange(removed=tuple(file.as_change() for file in removed))
                self._staging.stage_rewrite(app_id, kind, change, staged_at=self._clock())
                self._committer.commit(app_id)
        failures = self._recovery.mark(app_id, [kind], digests=True)
        if wrong:
            raise BadInputError(
                f"The file to give up must be a damaged one of the table, got {wrong[0]!r}; "
                f"damaged: {', '.join(sorted(damaged)) or 'none'}."
            )
        if failures:
            raise failures[0]
        return removed

    def _is_intact(self, app_id: str, kind: Kind, file: DataFile) -> bool:
        try:
            self._lake.check_files(app_id, kind, [file])
            self._lake.check_digests(app_id, kind, [file.path])
        except LakeDamagedError:
            return False
        return True
