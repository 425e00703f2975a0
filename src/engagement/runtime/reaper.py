"""Gives up the processes of a cluster that are gone or stopped, so that others take over."""

from collections.abc import Callable

import structlog

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

    def look(self, afterwards: Callable[[], object] = lambda: None) -> None:
        """Give up who is dead, unless another worker is looking right now.

        A process that is given up and was only stopped finds itself forgotten when it goes on, and
        ends.

        Args:
            afterwards: What else one worker at a time has to do.
        """
        with self._locks.hold_if_free(LockPurpose.REAP) as is_ours:
            if not is_ours:
                return
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
            afterwards()
