"""Tests that a task's retries end."""

import pytest

from engagement.exceptions import TransientDestinationError
from engagement.export.retry_limit import RetryLimit


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_task_that_fails_for_too_long_may_not_try_again() -> None:
    clock, error = Clock(), TransientDestinationError("busy")
    limit = RetryLimit(10, clock=clock)

    assert limit.note_failure("task", error)
    clock.now = 9.9
    assert limit.note_failure("task", error)
    limit.check("task")
    clock.now = 10
    assert not limit.note_failure("task", error)

    with pytest.raises(TransientDestinationError, match="busy"):
        limit.check("task")
    limit.check("other")


def test_a_success_or_the_end_of_a_task_begins_anew() -> None:
    clock, error = Clock(), TransientDestinationError("busy")
    limit = RetryLimit(10, clock=clock)
    limit.note_failure("task", error)
    clock.now = 11

    limit.forget("task")

    limit.check("task")
    assert limit.note_failure("task", error)
