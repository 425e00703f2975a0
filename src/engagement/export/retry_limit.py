"""Ends the retries of a task of which nothing has succeeded for too long."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from engagement.exceptions import EngagementError

RETRY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Outage:
    since: float
    last: EngagementError


class RetryLimit:
    """How long each task has failed, whichever of its parts did; any success begins anew.

    The time is a task's, not a part's, so that parts which wait for one another do not add up. It
    is kept in memory: a process that starts again gives every task its whole time.
    """

    def __init__(
        self,
        seconds_max: float = RETRY_SECONDS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds_max = seconds_max
        self._clock = clock
        self._lock = threading.Lock()
        self._outages: dict[str, _Outage] = {}

    def check(self, task_id: str) -> None:
        """Return only if the task may go on trying; raise what it failed with last otherwise."""
        with self._lock:
            outage = self._outages.get(task_id)
        if outage is not None and self._is_over(outage):
            raise outage.last

    def note_failure(self, task_id: str, error: EngagementError) -> bool:
        """Note that an effect of the task has failed; whether it may be tried again."""
        with self._lock:
            before = self._outages.get(task_id)
            since = self._clock() if before is None else before.since
            outage = self._outages[task_id] = _Outage(since, error)
        return not self._is_over(outage)

    def forget(self, task_id: str) -> None:
        """Begin anew: an effect of the task has succeeded, or the task has ended."""
        with self._lock:
            self._outages.pop(task_id, None)

    def _is_over(self, outage: _Outage) -> bool:
        return self._clock() - outage.since >= self._seconds_max
