"""Brings what is staged into the lake's tables: the one way in which a table changes."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from engagement.exceptions import LakeDamagedError
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.model.records import Kind
from engagement.store.commits import FileChange, TableChange
from engagement.store.data_files import DataFile
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.staging import ClosedCommit, StagingQueries
from engagement.store.recovery import LakeRecovery


class Committer:
    """Commits to the tables of apps, one numbered commit a table at a time."""

    def __init__(
        self,
        inbox: InboxQueries,
        staging: StagingQueries,
        lake: Lake,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_failpoint: FailpointHook = no_failpoint,
    ) -> None:
        self._recovery = LakeRecovery(inbox, staging, lake)
        self._staging = staging
        self._lake = lake
        self._clock = clock
        self._on_failpoint = on_failpoint

    def commit(self, app_id: str) -> set[str]:
        """Return only when all that was staged of an app before the call is in its tables.

        Safe to repeat after a crash anywhere, and beside others that do the same: what belongs to
        a commit is frozen with its number, and the number tells whether it is in the table. What
        is staged for a damaged table stays so until it is mended; the others go on.

        Returns:
            The ids of the groups that came to nothing, since what they replace was gone.

        Raises:
            LakeDamagedError: A table took no commit although nothing damaged is found there.
        """
        dropped: set[str] = set()
        failures: list[LakeDamagedError] = []
        with self._lake.commit_lock(app_id):
            while not failures and (pending := self._staging.open_commits(app_id)):
                self._on_failpoint(Failpoint.COMMIT_FROZEN)
                closed = []
                for each in pending:
                    try:
                        commit, left_out = self._lake.commit(app_id, each)
                    except LakeDamagedError as error:
                        if not self._recovery.mark(app_id, [each.kind], digests=False):
                            failures.append(error)
                        continue
                    self._on_failpoint(Failpoint.COMMIT_IN_LAKE)
                    closed.append(ClosedCommit(commit_id=each.commit_id, commit=commit))
                    dropped |= left_out
                self._staging.close(app_id, closed, committed_at=self._clock())
                self._on_failpoint(Failpoint.COMMIT_RECORDED)
        if failures:
            raise failures[0]
        return dropped

    def stage_rewrite(
        self, app_id: str, kind: Kind, *, old: Sequence[DataFile], new: Sequence[FileChange]
    ) -> str:
        """Let new files come in the place of old ones with the next commit; the group's id."""
        change = TableChange(added=tuple(new), removed=tuple(file.as_change() for file in old))
        return self._staging.stage_rewrite(app_id, kind, change, staged_at=self._clock())

    def commit_rewrites(self, app_id: str, kind: Kind, groups: Collection[str]) -> None:
        """Return only when staged groups are in a table; all its other files stay.

        Raises:
            LakeDamagedError: The table takes no commit, or an old file is in its place no more;
                the table is left as it was, since what became of the file's rows may be in the
                table already.
        """
        dropped = self.commit(app_id) if groups else set()
        self._staging.require_sound(app_id, {kind})
        if not dropped.isdisjoint(groups):
            raise LakeDamagedError(
                f"A file to replace is not in the {kind.value} table of app {app_id} any more."
            )
