"""Gives up the processes of a cluster that are gone or stopped, so that others take over."""

import time
from collections.abc import Callable

import structlog

from engagement.exceptions import StorageUnavailableError
from engagement.runtime.cluster import Member
from engagement.store.locks import LockPurpose, Locks
from engagement.store.queries.executors import ExecutorQueries

REAP_SECONDS = 1.0
"""How often each worker looks; one of them at a time does."""
_log = structlog.get_logger()


class Reaper:
    """Ends the sessions of dead processes, which is what keeps a stopped one from going on."""

    def __init__(self, member: Member, executors: ExecutorQueries, locks: Locks) -> None:
        self._member = member
        self._executors = executors
        self._locks = locks
        self._unreachable_at: float | None = None

    def look(self, afterwards: Callable[[], object] = lambda: None) -> None:
        """Give up who is dead, unless another worker is looking right now.

        A process that is given up and was only stopped finds itself forgotten when it goes on, and
        ends. While the database could not be reached from here it could not be from elsewhere
        either, so that nobody is given up for a lease after that.

        Args:
            afterwards: What else one worker at a time has to do.
        """
        try:
            with self._locks.hold_if_free(LockPurpose.REAP) as is_ours:
                if is_ours:
                    if self._may_judge():
                        self._give_up_dead()
                    afterwards()
        except StorageUnavailableError:
            self._unreachable_at = time.monotonic()
            raise

    def _may_judge(self) -> bool:
        unreachable_at = self._unreachable_at
        lease = self._executors.lease_seconds
        return unreachable_at is None or time.monotonic() - unreachable_at >= lease

    def _give_up_dead(self) -> None:
        for executor in self._executors.find_dead():
            if executor.executor_id == self._member.executor_id:
                continue
            ended = self._executors.end_sessions(executor.executor_id)
            self._executors.remove(executor.executor_id)
            _log.warning(
                "executor_given_up",
                executor=executor.executor_id,
                silent_seconds=round(executor.silent_seconds, 1),
                sessions_ended=ended,
            )
