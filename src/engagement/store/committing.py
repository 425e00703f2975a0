"""Brings what is staged into the lake's tables: the one way in which a table changes."""

from collections.abc import Callable
from datetime import UTC, datetime

from engagement.exceptions import LakeDamagedError
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
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
