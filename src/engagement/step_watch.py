"""Knows the steps of tasks that run in this process, and which of them do not go on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

STALL_SECONDS = 3_600.0
LOOK_SECONDS_MAX = 30.0
"""What the time between two looks counts at most: a process that was stopped, or a machine that
slept, says nothing about its steps."""


@dataclass(slots=True, eq=False)
class _Step:
    task_id: str
    has_progressed: bool = True
    silent_seconds: float = 0.0
    is_given_up: bool = False


class StepWatch:
    """The steps that run now; each says from time to time that it goes on.

    A thread that waits for ever cannot be ended from outside, so its task is failed in its stead.
    """

    def __init__(
        self,
        stall_seconds: float = STALL_SECONDS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stall_seconds = stall_seconds
        """How long a step may go without progress."""
        self._clock = clock
        self._looked_at = clock()
        self._lock = threading.Lock()
        self._steps: set[_Step] = set()

    @contextmanager
    def watch(self, task_id: str) -> Iterator[Callable[[], None]]:
        """Watch over a step of a task while it runs; call what is yielded whenever it goes on."""
        step = _Step(task_id)

        def note_progress() -> None:
            step.has_progressed = True

        with self._lock:
            self._steps.add(step)
        try:
            yield note_progress
        finally:
            with self._lock:
                self._steps.discard(step)

    def find_stalled(self) -> list[str]:
        """Look at every step; return the tasks that one holds up for too long, until given up."""
        with self._lock:
            now = self._clock()
            elapsed = min(now - self._looked_at, LOOK_SECONDS_MAX)
            self._looked_at = now
            for step in self._steps:
                step.silent_seconds = 0.0 if step.has_progressed else step.silent_seconds + elapsed
                step.has_progressed = False
            return [
                step.task_id
                for step in self._steps
                if self._is_stalled(step) and not step.is_given_up
            ]

    def give_up(self, task_id: str) -> None:
        """Name a task's stalled steps no more: what they held up has failed."""
        with self._lock:
            for step in self._steps:
                step.is_given_up |= step.task_id == task_id and self._is_stalled(step)

    def describe_stall(self) -> str:
        """Return why a task that was found stalled has failed."""
        return f"A step of the task made no progress for {self.stall_seconds:g} s."

    @property
    def has_stalled(self) -> bool:
        """Whether a step that was given up still holds a thread."""
        with self._lock:
            return any(step.is_given_up for step in self._steps)

    def _is_stalled(self, step: _Step) -> bool:
        return step.silent_seconds > self.stall_seconds
